"""Minimize what has many valleys: look at many points, go down from the best few.

    x* = argmin over j of L-BFGS(f, c_j),    c_1 … c_m the m candidates where f is least

Source: Rinnooy Kan & Timmer (1987), Math. Program. 39, section 2 (multistart, with the starts
reduced to the best of a sample).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import lbfgs, report

__all__ = ["minimize"]

MEMORY = 5  # pairs: compiles in half the time of 10, and takes as many steps in a few dimensions


@partial(jax.jit, static_argnames=("num_searches", "max_steps"))
@checked
def minimize(
    fn: Partial,
    candidates: Float[Array, "m n"],
    *,
    lower: Float[Array, " n"] | None = None,
    upper: Float[Array, " n"] | None = None,
    is_fixed: Bool[Array, " n"] | None = None,
    gtol: Scalar = 1e-5,
    ftol: Scalar = 0.0,
    num_searches: int = 8,
    max_steps: int = 100,
) -> tuple[Float[Array, " n"], report.Info]:
    """Return the lowest point found. m evaluations at once, then ``num_searches`` searches at once.

    Args:
        fn: ``Partial(f, *data)``: ``f(*data, x)`` is the objective.
        candidates: Where to look first, one point a row.
        lower: Lower bounds.
        upper: Upper bounds.
        is_fixed: Variables that keep the value of the candidate, such as integers.
        gtol: As in ``lbfgs.minimize``.
        ftol: As in ``lbfgs.minimize``.
        num_searches: Candidates to go down from. Static.
        max_steps: Of each search. Static.

    Returns:
        The point, and the Info of its search; a candidate without finite value comes last, and
        NOT_FINITE says that there was none with one.

    Raises:
        ValueError: ``num_searches`` is not between 1 and the number of candidates.

    Example:
        >>> def waves(shift, x):
        ...     return (jnp.cos(5 * x) + (x - shift) ** 2).sum()
        >>> fn = Partial(waves, jnp.array(0.5))
        >>> minimize(fn, jnp.linspace(-3, 3, 13)[:, None], num_searches=2)[0].round(3)
        Array([0.619], dtype=float32)
    """
    if not 1 <= num_searches <= len(candidates):
        raise ValueError(
            f"multistart.minimize: num_searches is {num_searches}, not between 1 and the "
            f"{len(candidates)} candidates"
        )
    low = jnp.full_like(candidates[0], -jnp.inf) if lower is None else lower
    high = jnp.full_like(candidates[0], jnp.inf) if upper is None else upper
    values = jax.vmap(fn)(jax.lax.stop_gradient(candidates))
    _, rows = jax.lax.top_k(-jnp.where(jnp.isfinite(values), values, jnp.inf), num_searches)

    def search(start: Array) -> tuple[Array, report.Info]:
        fixed = jnp.zeros(len(start), bool) if is_fixed is None else is_fixed
        return lbfgs.minimize(
            fn,
            start,
            lower=jnp.where(fixed, start, low),
            upper=jnp.where(fixed, start, high),
            gtol=gtol,
            ftol=ftol,
            max_steps=max_steps,
            memory=MEMORY,
        )

    found, info = jax.vmap(search)(candidates[rows])
    best = jnp.argmin(jnp.where(jnp.isfinite(info.value), info.value, jnp.inf))
    return found[best], jax.tree.map(lambda leaf: leaf[best], info)
