"""A check of derivatives: automatic differentiation beside central differences.

Every entry of the Jacobian is compared, J_ad with the difference J(h) of order 4. What a difference
may be wrong by is measured, not assumed: twice the step shows what the series cuts off, and the
rounding of f divided by the step is known.

    allowed = 2 |J(2h) − J(h)| + 8 eps |f| / h + rtol |J_ad|

Source: Nocedal & Wright (2006), *Numerical Optimization*, section 8.1; Higham (2002), *Accuracy and
Stability of Numerical Algorithms*, section 1.14.1.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.numerics.calculus import finite_difference

__all__ = ["Report", "check"]


class Report(NamedTuple):
    """The entry of a Jacobian that is worst beside what is allowed, on the host."""

    is_close: bool  # every entry is within what is allowed
    entry: tuple[int, ...]  # the worst: the axes of f, then the entry of x
    autodiff: float  # unit of f per unit of x
    finite_difference: float
    error: float  # their distance
    allowed: float

    def __str__(self) -> str:
        """Say it in one sentence."""
        verdict = "agrees" if self.is_close else "does not agree"
        return (
            f"autodiff {verdict} with finite differences: at {self.entry} {self.autodiff:.7g} "
            f"beside {self.finite_difference:.7g}, {self.error:.1e} apart, {self.allowed:.1e} "
            f"allowed"
        )


def check(
    fn: Callable[..., Any],
    x: Any,
    *,
    mode: str = "rev",
    rtol: float | None = None,
    step_size: float | None = None,
) -> Report:
    """Compare the derivative that JAX takes with differences, entry by entry. O(n) calls.

    Args:
        fn: Maps a flat vector to a number or an array; a ``Partial``, or any function of JAX.
        x: A vector of floats. At a kink, where no derivative exists, nothing can be expected.
        mode: ``rev`` checks reverse mode, ``fwd`` forward mode.
        rtol: What autodiff itself may lose; None for the square root of the rounding unit.
        step_size: h; None for one that suits the dtype and the size of each entry.

    Returns:
        A ``Report`` on the worst entry.

    Raises:
        ValueError: a step that is not positive, another mode, an x that is no finite vector of
            floats, or an fn that gives something not finite at x or a step away.

    Example:
        >>> print(check(lambda x: (x**3).sum(), jnp.array([1.0, 2.0])))
        autodiff agrees with finite differences: at ...
    """
    x = _refused_or_array(x, mode, step_size)
    fn = fn if isinstance(fn, Partial) else Partial(fn)
    step = finite_difference.step_size(x) if step_size is None else jnp.full_like(x, step_size)
    value, exact, near, far = jax.tree.map(np.asarray, _compute(fn, x, step, mode=mode))
    named = {"fn": value, "the derivative of fn": exact, "fn a step away": near + far}
    for name, numbers in named.items():
        if not np.isfinite(numbers).all():
            raise ValueError(f"gradient_check.check: {name} is not finite at x")
    eps = float(jnp.finfo(x.dtype).eps)
    # Of each output, its size over the steps that were taken: another's is no excuse.
    reach = np.abs(value) + 2 * np.abs(exact * np.asarray(step)).max(axis=-1, initial=0)
    rounding = 8 * eps * reach[..., None] / np.asarray(step)
    allowed = 2 * np.abs(far - near) + rounding
    allowed = allowed + (math.sqrt(eps) if rtol is None else rtol) * np.abs(exact)
    error = np.abs(exact - near)
    excess = error / np.where(allowed > 0, allowed, np.where(error > 0, 1e-300, 1))
    index = np.unravel_index(excess.argmax(), excess.shape)
    return Report(
        is_close=bool((error <= allowed).all()),
        entry=tuple(int(i) for i in index),
        autodiff=float(exact[index]),
        finite_difference=float(near[index]),
        error=float(error[index]),
        allowed=float(allowed[index]),
    )


@partial(jax.jit, static_argnames=("mode",))
def _compute(fn: Partial, x: Any, step: Any, *, mode: str) -> tuple[Any, ...]:
    """Return fn, its Jacobian by autodiff, and by differences of one step and of two."""
    jacobian = {"rev": jax.jacrev, "fwd": jax.jacfwd}[mode](fn)(x)
    scaled = Partial(_in_steps, fn, x, step)
    near, far = (finite_difference.jacobian(scaled, jnp.zeros_like(x), step_size=h) for h in (1, 2))
    step = step.reshape([1] * (near.ndim - 1) + [-1])
    return fn(x), jacobian, near / step, far / step


def _in_steps(fn: Partial, x: Any, step: Any, steps: Any) -> Any:
    """Return fn at x plus so many steps along each entry."""
    return fn(x + steps * step)


def _refused_or_array(x: Any, mode: str, step_size: float | None) -> jax.Array:
    if step_size is not None and not step_size > 0:
        raise ValueError(f"gradient_check.check: step_size is {step_size}, not greater than 0")
    if mode not in ("rev", "fwd"):
        raise ValueError(f"gradient_check.check: mode is {mode!r}, not 'rev' or 'fwd'")
    x = jnp.asarray(x)
    if x.ndim != 1 or not x.size or not jnp.issubdtype(x.dtype, jnp.floating):
        shown = jax.typeof(x).str_short()
        raise ValueError(f"gradient_check.check: x is {shown}, not a vector of floats")
    if not jnp.isfinite(x).all():
        worst = int(jnp.argmin(jnp.isfinite(x)))
        raise ValueError(f"gradient_check.check: x[{worst}] is {x[worst]}, not finite")
    return x
