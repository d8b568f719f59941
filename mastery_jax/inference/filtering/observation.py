"""What filters of a linear model share: observations of which a part is missing, and their density.

    log N(r; 0, S) = −(rᵀ S⁻¹ r + log |S| + k log 2π) / 2        k components are observed

A missing component becomes one that is 0 and sees nothing but noise of variance 1: it has
innovation 0, and no part in the sum but the count.

Source: Durbin & Koopman (2012), *Time Series Analysis by State Space Methods*, section 4.10.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.inference.filtering import matrix
from mastery_jax.inference.filtering.linear_gaussian import Model

__all__ = ["count", "filled", "log_density", "of_the_seen"]


def of_the_seen(model: Model, is_observed: Array | None) -> Model:
    """Return the model of the observed components; the missing ones see nothing but noise."""
    if is_observed is None:
        return model
    mean = model.emission_mean
    both = is_observed[:, None] & is_observed[None, :]
    noise = jnp.eye(len(both), dtype=model.emission_cov.dtype)
    return model._replace(
        emission=jnp.where(is_observed[:, None], model.emission, 0),
        emission_cov=jnp.where(both, model.emission_cov, noise),
        emission_mean=None if mean is None else filled(mean, is_observed),
    )


def filled(y: Array, is_observed: Array | None) -> Array:
    """Return what is given of each component, and 0 for the missing ones."""
    return y if is_observed is None else jnp.where(is_observed, y, 0)


def log_density(innovation: Array, innovation_cov: Array, is_observed: Array | None) -> Array:
    """Return log N(innovation; 0, S) of each column, over the components that are observed."""
    distance = (innovation * matrix.solve(innovation_cov, innovation)).sum(axis=0)
    constant = count(innovation, is_observed) * math.log(2 * math.pi)
    return -(distance + matrix.log_det(innovation_cov) + constant) / 2


def count(innovation: Array, is_observed: Array | None) -> Array | int:
    """Return how many components are observed."""
    return len(innovation) if is_observed is None else is_observed.sum(dtype=innovation.dtype)
