"""The evidence lower bound: how near a density comes to a posterior, in nats.

    ELBO = E_q [log p(x) − log q(x)] = log ∫ p dx − KL(q ‖ p/∫p)

It is below the log evidence by just the divergence. The gradient is that of the draws
x = x(ε, φ) as they move with the guide's parameters φ. Its other part, E_q[∂ log q/∂φ], is zero,
and noise only: it may be left out (*sticking the landing*), so that the noise vanishes as q comes
to p.

Source: Blei, Kucukelbir & McAuliffe (2017), *Variational inference: a review for statisticians*,
JASA 112, eq. 13; Roeder, Wu & Duvenaud (2017), *Sticking the landing*, NeurIPS, eq. 8.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.inference import vector

__all__ = ["Guide", "estimate", "gains"]


class Guide(Protocol):
    """A family of densities: any module (``mean_field``, ``full_rank``) with these two."""

    @property
    def sample(self) -> Callable[..., tuple[Any, Any]]:
        """(key, params) -> (position, log_prob)."""
        ...

    @property
    def log_prob(self) -> Callable[..., Any]:
        """(params, position) -> log_prob."""
        ...


@partial(jax.jit, static_argnames=("guide", "num_draws"))
@checked
def estimate(
    key: Key[Array, ""], params: Any, *, guide: Guide, log_density: Partial, num_draws: int = 1000
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Estimate the bound, and its standard error, in nats. O(num_draws) densities.

    Args:
        key: Consumed.
        params: Of the guide.
        guide: The family. Static.
        log_density: ``position -> nats``, up to a constant. Code static, data traced.
        num_draws: At least 2. Static.

    Returns:
        The mean of log p − log q over draws, and its standard error; −∞ or NaN where a draw lies
        outside of the support: it is not left out.

    Raises:
        ValueError: fewer than 2 draws, or a density that is not one number.

    Example:
        >>> import jax.numpy as jnp
        >>> from mastery_jax.inference.vi import mean_field
        >>> bell = Partial(lambda x: -(x**2).sum() / 2)
        >>> params = mean_field.init(jnp.zeros(2), scale=1.0)
        >>> value, error = estimate(
        ...     jax.random.key(0), params, guide=mean_field, log_density=bell
        ... )
        >>> value.round(3), error < 1e-6  # log 2π: the guide is exact
        (Array(1.838, dtype=float32), Array(True, dtype=bool))
    """
    if num_draws < 2:
        raise ValueError(f"elbo.estimate: num_draws is {num_draws}, not at least 2")
    each = gains(key, params, guide=guide, log_density=log_density, num_draws=num_draws)[1]
    return each.mean(), each.std(ddof=1) / num_draws**0.5


@partial(jax.jit, static_argnames=("guide", "num_draws", "is_stuck"))
@checked
def gains(
    key: Key[Array, ""],
    params: Any,
    *,
    guide: Guide,
    log_density: Partial,
    num_draws: int,
    is_stuck: bool = False,
) -> tuple[Any, Float[Array, " draws"]]:
    """Draw positions, and return log p − log q at each: its mean is the bound. O(num_draws).

    Args:
        key: Consumed.
        params: Of the guide; the gradient with respect to them is that of the bound.
        guide: The family. Static.
        log_density: As ``estimate``.
        num_draws: At least 1. Static.
        is_stuck: Leave the part of the gradient out that has mean zero: less noise near the end,
            for a second evaluation of the guide's density. Static.

    Returns:
        The draws, with a leading axis, and the gain of each.

    Raises:
        ValueError: no draw, or a density that is not one number.
    """
    if num_draws < 1:
        raise ValueError(f"elbo.gains: num_draws is {num_draws}, not at least 1")

    def one(key: Array) -> tuple[Any, Array]:
        position, log_q = guide.sample(key, params)
        if is_stuck:
            # Its slope alone: an inverse may lose digits of the value that the draw still has.
            path = guide.log_prob(jax.lax.stop_gradient(params), position)
            log_q = jax.lax.stop_gradient(log_q - path) + path
        return position, vector.value_at("elbo.gains", log_density, position) - log_q

    return jax.vmap(one)(jax.random.split(key, num_draws))
