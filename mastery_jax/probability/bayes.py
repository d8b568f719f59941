"""Bayes' rule over a finite table of hypotheses, in logarithms.

    log p(h | y) = log p(h) + log p(y | h) − log p(y)      log p(y) = log Σ_h p(h) p(y | h)

Observations that are independent given h may be taken one by one, in any order, or all at once
with their log-likelihoods added: the posterior is the same.

Source: Laplace (1774), *Mémoire sur la probabilité des causes par les événements*; Gelman et al.
(2013), *Bayesian Data Analysis*, eq. 1.1-1.2 and section 2.4.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["Info", "filter", "update"]


class Info(NamedTuple):
    """What one observation was worth."""

    log_evidence: Float[Array, "..."]  # log p(y), nats; −∞ where no hypothesis allows it


@jax.jit
@checked
def update(
    log_prior: Float[Array, " hypotheses"], log_likelihood: Float[Array, " hypotheses"]
) -> tuple[Float[Array, " hypotheses"], Info]:
    """Return the log posterior of every hypothesis, normalized. O(hypotheses).

    Args:
        log_prior: Nats; −∞ rules a hypothesis out for good. Any constant added to all of it
            appears in the evidence and nowhere else.
        log_likelihood: log p(y | h) of what was seen, for every hypothesis.

    Returns:
        The log posterior, and the log evidence. Where no hypothesis allows the observation the
        evidence is −∞ and the posterior NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> prior, likelihood = jnp.array([0.01, 0.99]), jnp.array([0.95, 0.05])
        >>> log_posterior, info = update(jnp.log(prior), jnp.log(likelihood))
        >>> (100 * jnp.exp(log_posterior)).round()
        Array([16., 84.], dtype=float32)
    """
    joint = log_prior + log_likelihood
    log_evidence = jax.nn.logsumexp(joint)
    return joint - log_evidence, Info(log_evidence)


@jax.jit
@checked
def filter(
    log_prior: Float[Array, " hypotheses"], log_likelihoods: Float[Array, "time hypotheses"]
) -> tuple[Float[Array, "time hypotheses"], Info]:
    """Return the log posterior after every observation. O(time hypotheses).

    Args:
        log_prior: As in ``update``.
        log_likelihoods: One row per observation.

    Returns:
        The beliefs, and the log evidence of every observation given those before it; their sum
        is the log evidence of all.
    """

    def step(belief: Array, log_likelihood: Array) -> tuple[Array, tuple[Array, Info]]:
        belief, info = update(belief, log_likelihood)
        return belief, (belief, info)

    return loop.scan(step, log_prior, log_likelihoods)[1]
