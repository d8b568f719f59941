"""Maximum likelihood by gradients, with standard errors from the curvature at the maximum.

    θ̂ = argmax Σ_i ℓ(θ; y_i)       J = −∂²/∂θ² Σ_i ℓ(θ̂; y_i)     (observed Fisher information)
    cov θ̂ = J⁻¹        robust: J⁻¹ (Σ_i s_i s_iᵀ) J⁻¹,   s_i = ∂ℓ(θ̂; y_i)/∂θ      (sandwich)

The search is L-BFGS on the mean of −ℓ, first in the parameters' own units, then in those that give
the scores a mean square of 1, so that its end depends on no unit. Any function of θ̂ gets its
standard error by the delta method from ``cov``. Parameters must be free: write a scale as its
logarithm.

Source: Fisher (1925), Proc. Camb. Phil. Soc. 22, section 8; Efron & Hinkley (1978), *Biometrika*
65(3), eq. 1.2 (observed information); White (1982), *Econometrica* 50(1), theorem 3.2 (sandwich);
Berndt, Hall, Hall & Hausman (1974), Ann. Econ. Soc. Meas. 3(4) (units from the scores).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_solve
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import lbfgs, report

__all__ = ["Info", "State", "fit"]


class State(NamedTuple):
    """What was estimated."""

    params: Any  # θ̂, shaped like the start
    std_error: Any  # of every entry, shaped alike; unit of the entry
    cov: Float[Array, "p p"]  # of the entries in the order of ``jax.flatten_util.ravel_pytree``


class Info(NamedTuple):
    """How the search ended."""

    log_likelihood: Float[Array, ""]  # Σ ℓ at the maximum, nats
    first: report.Info  # of the mean of −ℓ, nats per observation, in the parameters' own units
    search: report.Info  # from there on, in units of the scores: its gradient is in nats
    status: Int[Array, ""]  # that of the search; SINGULAR where the maximum is not a strict one


@partial(jax.jit, static_argnames=("robust", "max_steps"))
@checked
def fit(
    log_density: Partial,
    params: Any,
    data: Any,
    *,
    robust: bool = False,
    gtol: Scalar = 1e-5,
    max_steps: int = 200,
) -> tuple[State, Info]:
    """Maximize Σ ℓ over n observations. O(n p) a step, O(n p² + p³) for the standard errors.

    Args:
        log_density: ``Partial(f, *constants)``; ``f(*constants, params, row)`` is ℓ of one
            observation, in nats. Code static, constants traced.
        params: The start: a tree of floats, of one dtype.
        data: A tree of arrays with one leading axis of observations; ``row`` is one of it.
        robust: Take the sandwich, right where the model is not, in place of J⁻¹. Static.
        gtol: Converged when no entry of the mean score is more than this part of its root mean
            square.
        max_steps: Of each of the two searches at most. Static.

    Returns:
        The estimate, and Info. SINGULAR, with NaN in ``cov``, where the search converged and J is
        not positive definite: a saddle, or a direction of which the data say nothing. A search
        that did not converge says itself why.

    Raises:
        ValueError: no observation, or arrays of ``data`` that disagree on how many there are.

    Example:
        >>> def log_density(params, y):
        ...     z = (y - params["loc"]) / jnp.exp(params["log_scale"])
        ...     return -params["log_scale"] - z**2 / 2
        >>> start = {"loc": jnp.array(0.0), "log_scale": jnp.array(0.0)}
        >>> state, info = fit(Partial(log_density), start, jnp.array([1.0, 2.0, 3.0, 6.0]))
        >>> float(state.params["loc"].round(2)), float((100 * state.std_error["loc"]).round())
        (3.0, 94.0)
    """
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(sizes) != 1 or not min(sizes) or not min(min(sizes)):
        raise ValueError(f"maximum_likelihood.fit: data has leading axes {sorted(sizes)}, not one")
    ((size,),) = sizes
    start, unravel = ravel_pytree(params)

    def loss(log_density: Partial, data: Any, origin: Array, unit: Array, z: Array) -> Array:
        params = unravel(origin + unit * z)
        return -jax.vmap(lambda row: log_density(params, row))(data).mean()

    def score(flat: Array) -> Array:
        one = jax.grad(lambda flat, row: log_density(unravel(flat), row))
        return jax.vmap(one, in_axes=(None, 0))(flat, data)

    def search_in(origin: Array, is_last: Array) -> tuple[Array, report.Info]:
        origin = jax.lax.stop_gradient(origin)
        unit = jax.lax.stop_gradient(jnp.where(is_last, _units(score(origin)), 1))
        fn = Partial(loss, log_density, data, origin, unit)
        z, info = lbfgs.minimize(fn, jnp.zeros_like(start), gtol=gtol, max_steps=max_steps)
        return origin + unit * z, info

    flat, searches = loop.scan(search_in, start, jnp.array([False, True]))
    first, search = (jax.tree.map(lambda leaf, i=i: leaf[i], searches) for i in (0, 1))
    objective = Partial(loss, log_density, data, jnp.zeros_like(start), jnp.ones_like(start))
    with jax.default_matmul_precision("highest"):
        information = size * jax.hessian(objective)(flat)
        unit = jnp.sqrt(jnp.diagonal(information))
        factor = jnp.linalg.cholesky(information / unit[:, None] / unit[None, :])
        cov = cho_solve((factor, True), jnp.eye(len(flat), dtype=flat.dtype))
        cov = cov / unit[:, None] / unit[None, :]
        rounding = 32 * len(flat) * jnp.finfo(flat.dtype).eps
        cov = jnp.where(jnp.diagonal(factor).min() ** 2 > rounding, cov, jnp.nan)
        if robust:
            scores = score(flat)
            cov = cov @ (scores.T @ scores) @ cov
    is_strict = jnp.isfinite(cov).all()
    status = jnp.where(is_strict | ~search.is_done, search.status, Status.SINGULAR)
    std_error = unravel(jnp.sqrt(jnp.diagonal(cov)))
    return State(unravel(flat), std_error, cov), Info(
        log_likelihood=-size * objective(flat),
        first=first,
        search=search,
        status=status.astype(jnp.int32),
    )


def _units(scores: Array) -> Array:
    """Return 1 / √(mean square) of every column, or 1 where it is not a positive number."""
    size = jnp.abs(scores).max(axis=0)
    is_plain = (size > 0) & jnp.isfinite(size)
    size = jnp.where(is_plain, size, 1)
    unit = 1 / size / jnp.sqrt(((scores / size[None, :]) ** 2).mean(axis=0))
    return jnp.where(is_plain & jnp.isfinite(unit), unit, 1)
