"""Derivatives from values alone, by finite differences of any order of accuracy.

    f^(d)(x) ≈ Σ_a w_a f(x + a h) / h^d,      Σ_a w_a a^m = d! if m = d, else 0, for m < d + p

The error has two parts, C h^p from the series that is cut and some eps |f| / h^d from the rounding
of f. Their sum is least, up to a constant, at

    h = eps^(1 / (p + d)) max(|x_i|, 1),      where it is about eps^(p / (p + d)):

of the 7 digits of float32 and the 16 of float64, order 2 keeps 4.8 and 10.6 of exp near 1, order 8
keeps 6.1 and 14.0. The step is rounded to a power of two, so that x + a h is exact, or nearly.

Functions take one flat vector (``jax.flatten_util.ravel_pytree`` makes one of any pytree) and are
handed over as ``jax.tree_util.Partial``, their data in it.

Source: Fornberg (1988), *Mathematics of Computation* 51(184) (the weights); Nocedal & Wright
(2006), *Numerical Optimization*, section 8.1 (the step).
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = [
    "coefficients",
    "derivative",
    "gradient",
    "hessian",
    "jacobian",
    "step_size",
]

Kind = Literal["central", "forward"]
_STATIC = ("order", "kind")


def coefficients(offsets: Sequence[int], *, degree: int = 1) -> tuple[float, ...]:
    """Return the weights w of the most accurate rule on some points. O(k³), of exact fractions.

    Args:
        offsets: Where the function is known, in steps from x; all different, more than ``degree``.
        degree: Which derivative.

    Raises:
        ValueError: two offsets are equal, or there are too few of them.

    Example:
        >>> coefficients((-1, 0, 1), degree=2)
        (1.0, -2.0, 1.0)
    """
    count = len(offsets)
    if len(set(offsets)) < count or count <= degree:
        raise ValueError(
            f"finite_difference.coefficients: offsets are {tuple(offsets)}, not more than {degree} "
            f"different ones"
        )
    weights = []
    for chosen in offsets:
        # The Lagrange polynomial that is 1 at this offset and 0 at the others, by its coefficients.
        polynomial = [Fraction(1)]
        for other in set(offsets) - {chosen}:
            shifted, scaled = [Fraction(0), *polynomial], [*polynomial, Fraction(0)]
            gap = chosen - other
            polynomial = [(a - other * b) / gap for a, b in zip(shifted, scaled, strict=True)]
        weights.append(float(polynomial[degree] * math.factorial(degree)))
    return tuple(weights)


@partial(jax.jit, static_argnames=("order", "degree"))
@checked
def step_size(
    x: Float[Array, "*shape"], *, order: int = 4, degree: int = 1
) -> Float[Array, "*shape"]:
    """Return the step that balances truncation and rounding, for every entry. O(size).

    Args:
        x: Where the derivative is wanted. Entries below 1 in size count as 1: a function that
            varies on a smaller scale needs a step of the caller's.
        order: p, the order of accuracy. Static.
        degree: d, the derivative. Static.

    Returns:
        eps^(1 / (p + d)) max(|x|, 1), rounded down to a power of two; NaN where x is NaN.

    Example:
        >>> step_size(jnp.array([0.1, 100.0]), order=2)
        Array([0.00390625, 0.25      ], dtype=float32)
    """
    eps = float(jnp.finfo(x.dtype).eps)
    step = power_of_two(eps ** (1 / (order + degree)) * jnp.maximum(jnp.abs(x), 1))
    return jnp.where(jnp.isnan(x), jnp.nan, step)


@partial(jax.jit, static_argnames=("degree", *_STATIC))
@checked
def derivative(
    fn: Partial,
    x: Float[Array, ""],
    *,
    degree: int = 1,
    order: int = 4,
    kind: Kind = "central",
    step_size: Scalar | None = None,
) -> Float[Array, "..."]:
    """Return a derivative of a function of one number. O(p + d) calls.

    Args:
        fn: Maps a number to a number, or to an array.
        x: Where.
        degree: 1 for the first derivative, and so on. Static.
        order: p, the error falls as h^p: even for ``central``, any from 1 for ``forward``. Static.
        kind: ``central`` looks to both sides; ``forward`` to x and above only, for the edge of a
            domain. Static.
        step_size: h, in the unit of x; None for that of ``step_size``. Traced. 0 gives NaN.

    Returns:
        The derivative, of the shape of fn's value; NaN where fn gives NaN.

    Raises:
        ValueError: another kind, or an order that it does not have.

    Example:
        >>> derivative(Partial(jnp.exp), jnp.array(0.0)).round(4)
        Array(1., dtype=float32)
    """
    one = Partial(_of_first, fn)
    step = _step("derivative", x[None], step_size, order, degree)
    return _differentiate("derivative", one, x[None], step, degree, order, kind)[..., 0]


@partial(jax.jit, static_argnames=_STATIC)
@checked
def gradient(
    fn: Partial,
    x: Float[Array, " n"],
    *,
    order: int = 4,
    kind: Kind = "central",
    step_size: Scalar | None = None,
) -> Float[Array, " n"]:
    """Return the gradient of a function of a vector. O(n p) calls, all at once.

    Args:
        fn: Maps a vector to one number.
        x: Where.
        order: p, as in ``derivative``. Static.
        kind: ``central`` or ``forward``. Static.
        step_size: h, the same for all entries; None for that of ``step_size``, each entry its own.
            Traced. 0 gives NaN.

    Returns:
        One number for each entry of x; NaN where fn gives NaN.

    Raises:
        ValueError: fn's value is no number, or as in ``derivative``.

    Example:
        >>> g = gradient(Partial(lambda x: (x**2).sum()), jnp.array([1.0, 2.0]))
        >>> bool(jnp.allclose(g, jnp.array([2.0, 4.0]), atol=1e-5))
        True
    """
    _insist_on_a_number("gradient", fn, x)
    step = _step("gradient", x, step_size, order, 1)
    return _differentiate("gradient", fn, x, step, 1, order, kind)


@partial(jax.jit, static_argnames=_STATIC)
@checked
def jacobian(
    fn: Partial,
    x: Float[Array, " n"],
    *,
    order: int = 4,
    kind: Kind = "central",
    step_size: Scalar | None = None,
) -> Float[Array, "... n"]:
    """Return the Jacobian of a function of a vector. O(n p) calls, all at once.

    Args:
        fn: Maps a vector to an array.
        x: Where.
        order: p, as in ``derivative``. Static.
        kind: ``central`` or ``forward``. Static.
        step_size: As in ``gradient``. Traced.

    Returns:
        The axes of fn's value, then that of x: as ``jax.jacobian`` gives it.

    Example:
        >>> J = jacobian(Partial(lambda x: x[0] * x), jnp.array([2.0, 3.0]))
        >>> bool(jnp.allclose(J, jnp.array([[4.0, 0.0], [3.0, 2.0]]), atol=1e-5))
        True
    """
    step = _step("jacobian", x, step_size, order, 1)
    return _differentiate("jacobian", fn, x, step, 1, order, kind)


@partial(jax.jit, static_argnames=("order",))
@checked
def hessian(
    fn: Partial, x: Float[Array, " n"], *, order: int = 4, step_size: Scalar | None = None
) -> Float[Array, "n n"]:
    """Return the Hessian of a function of a vector by central differences. O(n² p²) calls.

    Args:
        fn: Maps a vector to one number.
        x: Where.
        order: p, even. Static.
        step_size: As in ``gradient``, but for d = 2. Traced.

    Returns:
        A matrix that is symmetric to the last bit; NaN where fn gives NaN.

    Raises:
        ValueError: as in ``gradient``.

    Example:
        >>> H = hessian(Partial(lambda x: x[0] ** 2 * x[1]), jnp.array([1.0, 2.0]))
        >>> bool(jnp.allclose(H, jnp.array([[4.0, 2.0], [2.0, 0.0]]), atol=1e-3))
        True
    """
    _insist_on_a_number("hessian", fn, x)
    step = _step("hessian", x, step_size, order, 2)
    curvature = _differentiate("hessian", fn, x, step, 2, order, "central")
    rows, columns = jnp.triu_indices(len(x), k=1)
    offsets, weights = _stencil("hessian", 1, order, "central", x)

    def mixed(i: Array, j: Array) -> Array:
        def at(a: Array, b: Array) -> Array:
            return fn(x.at[i].add(a * step[i]).at[j].add(b * step[j]))

        values = jax.vmap(lambda a: jax.vmap(partial(at, a))(offsets))(offsets)
        return (weights[:, None] * weights[None, :] * values).sum() / (step[i] * step[j])

    upper = jnp.diag(curvature)
    if len(x) > 1:
        beside = jax.vmap(mixed)(rows, columns)
        upper = upper.at[rows, columns].set(beside).at[columns, rows].set(beside)
    return upper


def _differentiate(
    where: str, fn: Partial, x: Array, step: Array, degree: int, order: int, kind: str
) -> Array:
    """Return one pure derivative along each axis of x, on a last axis."""
    offsets, weights = _stencil(where, degree, order, kind, x)

    def along(i: Array) -> Array:
        values = jax.vmap(lambda a: fn(x.at[i].add(a * step[i])))(offsets)
        shape = [-1] + [1] * (values.ndim - 1)
        return (weights.reshape(shape) * values).sum(axis=0) / step[i] ** degree

    return jnp.moveaxis(jax.vmap(along)(jnp.arange(len(x))), 0, -1)


def _stencil(where: str, degree: int, order: int, kind: str, x: Array) -> tuple[Array, Array]:
    """Return offsets and weights in the dtype of x."""
    if kind not in ("central", "forward"):
        raise ValueError(f"finite_difference.{where}: kind is {kind!r}, not 'central' or 'forward'")
    if order < 1 or (kind == "central" and order % 2):
        wanted = "2, 4, 6, …" if kind == "central" else "1, 2, 3, …"
        raise ValueError(f"finite_difference.{where}: order is {order}, not {wanted} ({kind})")
    if degree < 1:
        raise ValueError(f"finite_difference.{where}: degree is {degree}, not at least 1")
    reach = (degree + 1) // 2 + order // 2 - 1
    offsets = range(-reach, reach + 1) if kind == "central" else range(order + degree)
    weights = coefficients(offsets, degree=degree)
    used = [(a, w) for a, w in zip(offsets, weights, strict=True) if w]
    a, w = zip(*used, strict=True)
    return jnp.asarray(a, x.dtype), jnp.asarray(w, x.dtype)


def _step(where: str, x: Array, given: Scalar | None, order: int, degree: int) -> Array:
    if given is None:
        return step_size(x, order=order, degree=degree)
    step = jnp.full_like(x, given)
    return jnp.where(step == 0, jnp.nan, step)  # not an infinity whose sign is that of a rounding


def _insist_on_a_number(where: str, fn: Partial, x: Array) -> None:
    value = jax.eval_shape(fn, x)
    if getattr(value, "shape", None) != ():
        shown = jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", value)
        raise ValueError(f"finite_difference.{where}: fn gives {shown}, not one number")


def _of_first(fn: Partial, x: Array) -> Array:
    return fn(x[0])
