"""A linear Gaussian model and beliefs about it by square roots of their covariances.

    P = L Lᵀ,   Q = Q^½ (Q^½)ᵀ,   R = R^½ (R^½)ᵀ

A square root may have any number of columns, one for each independent shock. Written so, a noise
that moves several components at once is exact, and no digits are lost by squaring.

Source: Bierman (1977), *Factorization Methods for Discrete Sequential Estimation*, chapter V.
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import kalman, linear_gaussian, matrix

__all__ = ["Beliefs", "Model", "State", "from_linear", "init", "moments"]


class Model(NamedTuple):
    """As ``linear_gaussian.Model``, with square roots in place of covariances."""

    transition: (  # F, u per u
        Float[Array, "state state"] | Float[Array, "steps state state"]
    )
    process_factor: (  # Q^½, u: Q = Q^½ (Q^½)ᵀ
        Float[Array, "state shocks"] | Float[Array, "steps state shocks"]
    )
    emission: (  # H, v per u
        Float[Array, "obs state"] | Float[Array, "steps obs state"]
    )
    emission_factor: (  # R^½, v
        Float[Array, "obs noises"] | Float[Array, "steps obs noises"]
    )
    process_mean: (  # b, u
        Float[Array, " state"] | Float[Array, "steps state"] | None
    ) = None
    emission_mean: (  # d, v
        Float[Array, " obs"] | Float[Array, "steps obs"] | None
    ) = None


class State(NamedTuple):
    """A belief N(mean, factor factorᵀ) about x_t."""

    mean: Float[Array, " state"]  # u
    factor: Float[Array, "state state"]  # L, u; lower triangular but perhaps in the first belief


class Beliefs(NamedTuple):
    """Beliefs about x_1 … x_T."""

    mean: Float[Array, "time state"]  # u
    factor: Float[Array, "time state state"]  # u


@jax.jit
@checked
def init(mean: Float[Array, " state"], cov: Float[Array, "state state"]) -> State:
    """Return the belief held before any observation. O(state³).

    Args:
        mean: E[x_0], in u.
        cov: In u², positive semi-definite; better, build ``State`` of a factor that you have.

    Returns:
        The belief; its factor is NaN where the covariance is not positive semi-definite.

    Example:
        >>> import jax.numpy as jnp
        >>> init(jnp.zeros(1), 9 * jnp.ones((1, 1))).factor
        Array([[3.]], dtype=float32)
    """
    return State(mean=mean, factor=matrix.root(cov))


@jax.jit
@checked
def from_linear(model: linear_gaussian.Model) -> Model:
    """Return a model by square roots of its covariances. O(state³ + obs³), for each step given.

    Args:
        model: Its covariances may be singular; the result then has the derivative that
            ``matrix.root`` tells of.

    Returns:
        The model; NaN in the square root of what is not positive semi-definite.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> from_linear(linear_gaussian.Model(one, 4 * one, one, 9 * one)).emission_factor
        Array([[3.]], dtype=float32)
    """

    def root(cov: Array) -> Array:
        return jax.vmap(matrix.root)(cov) if cov.ndim == 3 else matrix.root(cov)

    return Model(
        transition=model.transition,
        process_factor=root(model.process_cov),
        emission=model.emission,
        emission_factor=root(model.emission_cov),
        process_mean=model.process_mean,
        emission_mean=model.emission_mean,
    )


@jax.jit
@checked
def moments(beliefs: Beliefs) -> kalman.Beliefs:
    """Return means and covariances. O(time state³).

    Example:
        >>> import jax.numpy as jnp
        >>> moments(Beliefs(mean=jnp.zeros((1, 1)), factor=3 * jnp.ones((1, 1, 1)))).cov
        Array([[[9.]]], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        factor = beliefs.factor
        cov = jax.vmap(matrix.product)(factor, factor.swapaxes(1, 2))
        return kalman.Beliefs(mean=beliefs.mean, cov=matrix.symmetric(cov))
