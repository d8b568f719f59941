"""mastery_jax: machine learning from an equation to an endpoint, compiled by JAX."""

__version__ = "0.1.0"
