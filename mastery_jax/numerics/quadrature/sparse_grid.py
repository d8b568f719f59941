"""Smolyak's sparse grids: of all product grids only those whose levels add up to little.

    A(ℓ, d) = Σ_{max(0, ℓ−d+1) ≤ |i| ≤ ℓ} (−1)^(ℓ−|i|) C(d − 1, ℓ − |i|)  U_i1 ⊗ … ⊗ U_id

U_i has 1, 3, 5, 9, 17, … nodes of Clenshaw & Curtis, nested, or 2i + 1 of Gauss. A smooth function
of many variables needs some d^ℓ/ℓ! points instead of n^d. Points that several grids share are
merged while tracing; some weights are negative.

Source: Gerstner & Griebel (1998), *Numerical Algorithms* 18, sections 2-4; Clenshaw & Curtis
(1960), *Numerische Mathematik* 2.
"""

import functools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.quadrature import gauss_hermite, gauss_legendre, report
from mastery_jax.numerics.quadrature.report import Bound

__all__ = ["expectation", "integrate", "make", "num_points"]

Basis = Literal["clenshaw_curtis", "gauss_legendre", "gauss_hermite"]


@functools.cache
def make(*, dim: int, level: int, basis: Basis) -> tuple[Any, Any]:
    """Return the points (n, d) and two columns of weights: of this level and the one below.

    In NumPy; cached. O(points · d), with the points counted before they are merged.

    Args:
        dim: d ≥ 1.
        level: ℓ ≥ 1; exact for polynomials of total degree 2ℓ + 1.
        basis: The rule of each axis: over [−1, 1], or for ``gauss_hermite`` of the standard
            normal density.

    Raises:
        ValueError: the level is below 1.

    Example:
        >>> points, weights = make(dim=10, level=2, basis="clenshaw_curtis")
        >>> points.shape, weights.sum(axis=0).round(6)
        ((221, 10), array([1024., 1024.]))
    """
    if level < 1:
        raise ValueError(f"sparse_grid.make: level is {level}, not at least 1")
    rules = [_rule(basis, one) for one in range(level + 1)]
    known = np.unique(np.concatenate([x for x, _ in rules]).round(13))
    index = [np.searchsorted(known, x.round(13)).astype(np.int32) for x, _ in rules]
    value = np.zeros(len(known))
    for at, (x, _) in zip(index, rules, strict=True):
        value[at] = x
    places, masses = [], []
    for column, top in enumerate((level, level - 1)):
        for total in range(max(0, top - dim + 1), top + 1):
            factor = (-1) ** (top - total) * math.comb(dim - 1, top - total)
            for levels in _compositions(total, dim):
                axes = [i for i in range(dim) if levels[i]]
                grid = np.meshgrid(*(index[levels[i]] for i in axes), indexing="ij")
                mass = np.meshgrid(*(rules[levels[i]][1] for i in axes), indexing="ij")
                size = math.prod(len(index[levels[i]]) for i in axes)
                place = np.full((size, dim), index[0][0])
                place[:, axes] = np.stack([g.reshape(-1) for g in grid], -1) if axes else 0
                flat = math.prod((m.reshape(-1) for m in mass), start=np.full(size, factor * 1.0))
                flat = flat * rules[0][1][0] ** (dim - len(axes))
                places.append(place)
                masses.append(np.stack([flat, 0 * flat][:: 1 - 2 * column], axis=1))
    unique, inverse = np.unique(np.concatenate(places), axis=0, return_inverse=True)
    weights = np.zeros((len(unique), 2))
    np.add.at(weights, inverse.reshape(-1), np.concatenate(masses))
    return value[unique], weights


def num_points(*, dim: int, level: int, basis: Basis) -> int:
    """Return how many points ``make`` works on before it merges them. O(d ℓ²).

    Example:
        >>> num_points(dim=20, level=3, basis="clenshaw_curtis")
        40402
    """
    sizes = [_size(basis, one) for one in range(level + 1)]
    counts = [1] + [0] * level  # points of all grids whose levels add up to each total
    for _ in range(dim):
        counts = [
            sum(counts[total - one] * sizes[one] for one in range(total + 1))
            for total in range(level + 1)
        ]
    return sum(
        sum(counts[max(0, top - dim + 1) : top + 1]) for top in (level, level - 1) if top >= 0
    )


@partial(jax.jit, static_argnames=("level", "basis", "max_points"))
@checked
def integrate(
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    level: int = 3,
    basis: Literal["clenshaw_curtis", "gauss_legendre"] = "clenshaw_curtis",
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
    max_points: int = 1_000_000,
) -> tuple[Array, Bound]:
    """Integrate a smooth function over a box of up to some 20 dimensions. O(points) calls.

    Args:
        fn: The integrand: a point (d) to a number, or to an array, whose entries are integrated.
        lower: One corner of the box, finite.
        upper: The other; each axis on which it is below ``lower`` turns the sign.
        level: ℓ ≥ 1. Static.
        basis: The rule of each axis. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.
        max_points: Refuse a grid of more, counted before merging. Static.

    Returns:
        The estimate and its ``Bound``, whose error is the distance to the level below. CONVERGED
        within the tolerance, else OUT_OF_STEPS; NOT_FINITE where the integrand is not; BAD_INPUT,
        and NaN, for an end that is infinite or NaN.

    Raises:
        ValueError: a level below 1, a basis that is not known, or more points than allowed;
            nothing is allocated then.

    Example:
        >>> fn = Partial(lambda x: (x**2).sum())
        >>> estimate, bound = integrate(fn, jnp.zeros(12), jnp.ones(12), level=2)
        >>> round(float(estimate), 4), int(bound.num_evals)
        (4.0, 313)
    """
    if basis not in ("clenshaw_curtis", "gauss_legendre"):
        raise ValueError(f"sparse_grid.integrate: basis is {basis!r}, not one over a box")
    points, weights = _grid("integrate", len(lower), level, basis, max_points)
    dtype = report.dtype_of(fn, lower, upper)
    half = (upper - lower) / 2
    is_bad = ~(jnp.isfinite(lower) & jnp.isfinite(upper)).all()
    nodes = (lower + half)[None] + half[None] * jnp.asarray(points, dtype)
    both = half.prod() * report.weighted(fn, nodes, jnp.asarray(weights, dtype))
    return report.judge(both[0], both[1], len(points), is_bad=is_bad, rtol=rtol, atol=atol)


@partial(jax.jit, static_argnames=("level", "max_points"))
@checked
def expectation(
    fn: Partial,
    mean: Float[Array, " d"],
    cov: Float[Array, "d d"],
    *,
    level: int = 3,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
    max_points: int = 1_000_000,
) -> tuple[Array, Bound]:
    """Return E f(X) for X ~ N(mean, cov) in up to some 20 dimensions. O(points) calls, O(d³) once.

    Args:
        fn: f: a point (d) to a number, or to an array, whose entries are averaged.
        mean: Of X.
        cov: Covariance of X, positive definite; its lower triangle is read.
        level: ℓ ≥ 1; exact where f is a polynomial of total degree 2ℓ + 1. Static.
        rtol: What ``status`` calls converged, relative to the largest entry; √eps if not given.
        atol: The same, absolute.
        max_points: Refuse a grid of more, counted before merging. Static.

    Returns:
        As ``integrate``; BAD_INPUT, and NaN, for a covariance that is not positive definite.

    Raises:
        ValueError: a level below 1, or more points than allowed; nothing is allocated then.

    Example:
        >>> estimate, _ = expectation(Partial(lambda x: x @ x), jnp.zeros(9), jnp.eye(9), level=1)
        >>> round(float(estimate), 4)
        9.0
    """
    points, weights = _grid("expectation", len(mean), level, "gauss_hermite", max_points)
    dtype = report.dtype_of(fn, mean, cov)
    stretch, is_bad = report.normal(mean, cov)
    both = report.weighted(fn, stretch(jnp.asarray(points, dtype)), jnp.asarray(weights, dtype))
    return report.judge(both[0], both[1], len(points), is_bad=is_bad, rtol=rtol, atol=atol)


def _grid(verb: str, dim: int, level: int, basis: Basis, max_points: int) -> tuple[Any, Any]:
    """Return the points, and the weights of the level and of its distance to the one below."""
    if level < 1:
        raise ValueError(f"sparse_grid.{verb}: level is {level}, not at least 1")
    count = num_points(dim=dim, level=level, basis=basis)
    if count > max_points:
        raise ValueError(
            f"sparse_grid.{verb}: level is {level}, which makes {count} points in {dim} "
            f"dimensions, not at most max_points = {max_points}"
        )
    points, weights = make(dim=dim, level=level, basis=basis)
    return points, np.stack([weights[:, 0], weights[:, 0] - weights[:, 1]], axis=1)


def _size(basis: Basis, level: int) -> int:
    """Return how many nodes the rule of a level has."""
    return (2**level + 1 if level else 1) if basis == "clenshaw_curtis" else 2 * level + 1


def _rule(basis: Basis, level: int) -> tuple[Any, Any]:
    if basis == "gauss_legendre":
        return gauss_legendre.nodes(2 * level + 1)
    if basis == "gauss_hermite":
        x, weights = gauss_hermite.nodes(2 * level + 1)
        return math.sqrt(2) * x, weights / math.sqrt(math.pi)
    n = _size(basis, level) - 1
    if n == 0:
        return np.zeros(1), np.full(1, 2.0)
    k = np.arange(n // 2 + 1)
    means = np.zeros(n + 1)  # of cos(j angle) over the half circle: 0 for odd j
    means[::2] = 2 / (1 - 4 * k**2)
    weights = np.fft.irfft(means, 2 * n)[: n + 1] * 2
    weights[[0, -1]] /= 2
    x = np.cos(np.pi * np.arange(n + 1) / n)
    return (x - x[::-1]) / 2, weights


def _compositions(total: int, dim: int) -> Iterator[tuple[int, ...]]:
    """Yield every tuple of ``dim`` levels that add up to ``total``."""
    if dim == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, dim - 1):
            yield (first, *rest)
