"""What every kernel stands on: a log density at a position, a spread, and the rule of acceptance.

With f the log density, q a proposal and L a factor of the spread of steps, Σ = L Lᵀ,

    α = min(1, exp(f(x') − f(x) + log q(x | x') − log q(x' | x))),      u = L⁻¹ x

A factor is a number, a number for each coordinate, or a matrix. In u the target is nearer to a
standard normal the better Σ is its covariance; ∂f/∂u = Lᵀ ∂f/∂x, so that no kernel inverts L.

Source: Metropolis et al. (1953), *J. Chem. Phys.* 21, 1087; Hastings (1970), *Biometrika* 57, 97.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import Scalar
from mastery_jax.inference import vector

__all__ = [
    "Factor",
    "State",
    "against",
    "choose",
    "decide",
    "gradient_at",
    "stand",
    "times",
]

Factor = Scalar | Float[Array, " d"] | Float[Array, "d d"]
"""L: of every coordinate, of each, or of all together; in units of the position."""


class State(NamedTuple):
    """Where a chain stands that asks for gradients."""

    position: Any  # a pytree of floats of one dtype
    gradient: Any  # of log_density, the same pytree
    log_density: Float[Array, ""]  # nats, up to a constant


def gradient_at(where: str, log_density: Partial, position: Any) -> tuple[Array, Any]:
    """Return the log density and its gradient, a tree like the position. O(1) gradients.

    Raises:
        ValueError: the log density is not one number.

    Example:
        >>> gradient_at("here", Partial(lambda x: -x @ x), jnp.ones(2))
        (Array(-2., dtype=float32), Array([-2., -2.], dtype=float32))
    """
    return jax.value_and_grad(lambda x: vector.value_at(where, log_density, x))(position)


def stand(where: str, log_density: Partial, position: Any) -> State:
    """Return a chain that stands at a position. One gradient.

    Raises:
        ValueError: the position is not of floats of one dtype, or the density no scalar.

    Example:
        >>> stand("here", Partial(lambda x: -x @ x), jnp.ones(2)).log_density
        Array(-2., dtype=float32)
    """
    vector.flat(where, position)
    value, gradient = gradient_at(where, log_density, position)
    return State(position=position, gradient=gradient, log_density=value)


def against(where: str, gradient: Any, position: Any) -> Array:
    """Return the numbers of a gradient that is a tree like the position. O(d).

    Raises:
        ValueError: it is none.

    Example:
        >>> against("here", jnp.ones(2), jnp.zeros(2))
        Array([1., 1.], dtype=float32)
    """
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (gradient, position)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{where}: gradient has shapes {shapes[0]}, not the position's {shapes[1]}"
        )
    return ravel_pytree(gradient)[0]


def times(where: str, factor: Any, x: Array, *, transpose: bool = False) -> Array:
    """Return L x, or Lᵀ x. O(d), or O(d²) for a matrix.

    Raises:
        ValueError: L is of another number of coordinates.

    Example:
        >>> times("here", jnp.array([2.0, 3.0]), jnp.ones(2))
        Array([2., 3.], dtype=float32)
    """
    factor = jnp.asarray(factor, x.dtype)
    if factor.shape not in ((), x.shape, 2 * x.shape):
        raise ValueError(
            f"{where}: factor has shape {factor.shape}, not that of a number, of {x.shape} or of "
            f"{2 * x.shape}: the position has {x.size}"
        )
    if factor.ndim < 2:
        return factor * x
    with jax.default_matmul_precision("highest"):
        return factor.T @ x if transpose else factor @ x


def decide(
    key: Array, log_ratio: Array, proposed: Array
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Return α = min(1, exp(log_ratio)), and whether a coin of that weight falls on its head. O(1).

    A ratio that is NaN, as from nowhere to nowhere, and a log density ``proposed`` of NaN or +∞
    give 0: a chain that entered there would never leave.

    Example:
        >>> prob, is_accepted = decide(jax.random.key(0), jnp.array(9.0), jnp.array(jnp.inf))
        >>> float(prob), bool(is_accepted)
        (0.0, False)
    """
    is_place = (proposed < jnp.inf) & ~jnp.isnan(log_ratio)
    prob = jnp.where(is_place, jnp.exp(jnp.minimum(log_ratio, 0)), 0)
    return prob, jax.random.uniform(key, (), prob.dtype) < prob


def choose(is_new: Array, new: Any, old: Any) -> Any:
    """Return one of two trees of one structure. O(d).

    Example:
        >>> choose(jnp.array(True), jnp.ones(2), jnp.zeros(2))
        Array([1., 1.], dtype=float32)
    """
    return jax.tree.map(lambda a, b: jnp.where(is_new, a, b), new, old)
