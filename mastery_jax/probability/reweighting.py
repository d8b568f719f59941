"""Newton's method for a sum of losses of a linear predictor: iteratively reweighted least squares.

    minimize  −Σ_i w_i ℓ_i(η_i) + uᵀ P u / 2,        η = A u,        Σ w = 1
    g = P u − Aᵀ (w ℓ'),        H = Aᵀ diag(w c) A + P,        c = −ℓ'',        u ← u − t H⁻¹ g

A is a column of ones and the given columns in coordinates in which they are centered, of size 1
and uncorrelated. ``terms(η, y)`` gives ℓ' and c of every row. The step t is halved from 1 until
|g| falls by its share, so that a step costs one evaluation of the terms and no loss is needed.

Source: Green (1984), J. R. Statist. Soc. B 46(2), section 2; Boyd & Vandenberghe (2004), *Convex
Optimization*, section 10.3.2 (the halved step).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop, smallmat
from mastery_jax.core.check import Scalar
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Coordinates", "Problem", "change", "coordinates", "curvature", "pose", "search"]

Terms = Callable[[Array, Array], tuple[Array, Array]]


class Problem(NamedTuple):
    """What is minimized."""

    A: Float[Array, "n p"]  # ones, then the columns in the coordinates of the search
    y: Float[Array, " n"]
    weights: Float[Array, " n"]  # of sum 1
    penalty: Float[Array, "p p"]  # of u
    pairs: Float[Array, "n r"] | None  # products of two columns of A, each pair once; if p is small


class Coordinates(NamedTuple):
    """Where the search runs: u = (b + β·center, L⁻¹β)."""

    center: Float[Array, " d"]
    L: Float[Array, "d d"]
    is_seen: Bool[Array, " d"]  # false for a direction in which the points do not differ


class _Point(NamedTuple):
    u: Float[Array, " p"]
    gradient: Float[Array, " p"]
    hessian: Float[Array, "p p"]  # so that no lane of a vmap copies a number of every row


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    excess: Float[Array, ""] | None = None  # over the minimum, estimated; nats per row


def coordinates(X: Array, share: Array | None = None) -> Coordinates:
    """Make the columns of (X − center) L orthonormal. O(n d² + d³).

    Any choice of coordinates gives the same model: they need no derivative. Without ``share``,
    which adds up to 1, rows count alike, so that replicates of the weights share the coordinates.
    """
    X = jax.lax.stop_gradient(X)
    n, d = X.shape
    share = jnp.full(n, 1 / n, X.dtype) if share is None else jax.lax.stop_gradient(share)
    center = (share[:, None] * X).sum(axis=0)
    Z, unit = _in_units(X - center[None, :])
    deviation = jnp.sqrt((share[:, None] * Z**2).sum(axis=0))
    is_constant = deviation <= 8 * jnp.finfo(X.dtype).eps * jnp.abs(center / unit)
    scale = jnp.where(is_constant, 0, 1 / jnp.where(is_constant, 1, deviation))
    Z = Z * scale[None, :] * jnp.sqrt(share)[:, None]
    R = jnp.linalg.qr(jnp.concatenate([Z, jnp.zeros((d, d), X.dtype)]), mode="r")
    _, size, Vt = jnp.linalg.svd(R)
    is_seen = size > 8 * d * jnp.finfo(X.dtype).eps * size[:1]
    L = scale[:, None] * Vt.T / jnp.where(is_seen, size, 1)[None, :]
    return Coordinates(center, L / unit[:, None], is_seen)


def _in_units(Z: Array) -> tuple[Array, Array]:
    """Return the columns in units of about their size, in which squares are numbers, and those."""
    unit = power_of_two(jnp.abs(Z).max(axis=0))
    return Z / unit[None, :], unit


def change(coordinates: Coordinates) -> Array:
    """Return the matrix that turns u into (b, β)."""
    first = jnp.append(1, -coordinates.center @ coordinates.L)
    return jnp.concatenate([first[None, :], jnp.pad(coordinates.L, ((0, 0), (1, 0)))])


def pose(
    X: Array, y: Array, weights: Array, coordinates: Coordinates, *, penalty: Scalar
) -> Problem:
    """State the problem whose penalty is that of β in weighted standard deviations of X."""
    center, L, is_seen = coordinates
    Z, unit = _in_units(X - center[None, :])
    L = L * unit[:, None]
    # Two products of matrices where replicates of the weights share Z, which is centered.
    variance = jnp.maximum(weights @ Z**2 - (weights @ Z) ** 2, 0)
    part = jnp.asarray(penalty, X.dtype) * L.T @ (variance[:, None] * L)
    A = jnp.append(jnp.ones_like(y)[:, None], jnp.where(is_seen[None, :], Z @ L, 0), axis=1)
    # Under vmap over weights the pairs are shared, and all Hessians are one product of matrices.
    first, second = jnp.triu_indices(len(L) + 1)
    pairs = A[:, first] * A[:, second] if len(L) < smallmat.MAX_SIZE else None
    return Problem(A, y, weights, jnp.pad(part, ((1, 0), (1, 0))), pairs)


def search(
    terms: Terms, problem: Problem, start: Array, *, atol: Scalar, max_steps: int
) -> tuple[Array, Array, Array]:
    """Find the root of the gradient, differentiable as an implicit function. O(n p²) a step.

    Returns:
        The root, the excess of the objective before the last step, and the number of steps.
    """

    def gradient(u: Array) -> Array:
        return _look(terms, problem, u).gradient

    def newton(_: Any, u: Array) -> tuple[Array, Any]:
        point = _look(terms, problem, u)
        point, verdict, num_steps = loop.until(
            _step, point, max_steps=max_steps, terms=terms, problem=problem, atol=atol
        )
        return point.u, (verdict.excess, num_steps.astype(u.dtype))  # integers have no tangent

    def tangent(product: Any, target: Array) -> Array:
        def solve(product: Any, target: Array) -> Array:
            matrix = jax.vmap(product)(jnp.eye(len(target), dtype=target.dtype))
            return _solve(matrix, target, refinements=3)

        return jax.lax.custom_linear_solve(product, target, solve, symmetric=True)

    u, (excess, num_steps) = jax.lax.custom_root(gradient, start, newton, tangent, has_aux=True)
    return u, excess, num_steps.astype(jnp.int32)


def _look(terms: Terms, problem: Problem, u: Array) -> _Point:
    slope, curvature = terms(u @ problem.A.T, problem.y)
    gradient = problem.penalty @ u - (problem.weights * slope) @ problem.A
    return _Point(u, gradient, _hessian(problem, problem.weights * curvature))


def _step(
    point: _Point, *, terms: Terms, problem: Problem, atol: Scalar
) -> tuple[_Point, _Verdict]:
    """Take a Newton step, halved until the gradient falls."""
    direction = -_solve(point.hessian, point.gradient)
    excess = jnp.abs((point.gradient * direction).sum()) / 2
    size = jnp.sqrt((point.gradient**2).sum())
    rounding = 8 * jnp.finfo(size.dtype).eps * jnp.abs(problem.y).max()
    excess = jnp.where(size <= rounding, 0, excess)  # no more can be seen

    def halve(carry: tuple[Array, _Point]) -> tuple[tuple[Array, _Point], _Verdict]:
        t, _ = carry
        there = _look(terms, problem, point.u + t * direction)
        is_less = (there.gradient**2).sum() <= ((1 - t / 16) * size + rounding) ** 2
        return (t / 2, there), _Verdict(is_less)

    (_, there), _, _ = loop.until(halve, (jnp.ones_like(size), point), max_steps=30)
    is_done = (excess <= jnp.asarray(atol, size.dtype)) | jnp.isnan(excess)
    return there, _Verdict(is_done, excess)


def _hessian(problem: Problem, weights: Array) -> Array:
    A = problem.A
    if problem.pairs is None:
        return (A * weights[:, None]).T @ A + problem.penalty
    size = A.shape[1]
    first, second = jnp.triu_indices(size)
    upper = jnp.zeros((size, size), A.dtype).at[first, second].set(weights @ problem.pairs)
    return upper + jnp.triu(upper, 1).T + problem.penalty


def _solve(matrix: Array, target: Array, *, refinements: int = 0) -> Array:
    """Solve for a matrix that may have lost rank.

    A share of the diagonal is added, which keeps every direction finite. Newton's root stays where
    it was, and each refinement takes away most of what the addition changes elsewhere.
    """
    unit, raised, _ = _raise(matrix)

    def solve(target: Array) -> Array:
        if len(raised) <= smallmat.MAX_SIZE:
            return smallmat.solve(raised, target / unit) / unit
        factor = (jnp.linalg.cholesky(raised), True)
        return jax.scipy.linalg.cho_solve(factor, target / unit) / unit

    x = solve(target)
    for _ in range(refinements):
        x = x + solve(target - matrix @ x)
    return x


def _raise(matrix: Array) -> tuple[Array, Array, Array]:
    """Return the roots of the diagonal, the matrix over them and raised a little, and by what."""
    size, diagonal = len(matrix), jnp.diagonal(matrix)
    unit = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    floor = jnp.asarray(16 * size * jnp.finfo(matrix.dtype).eps, matrix.dtype)
    extra = floor + jnp.where(diagonal > 0, 0, 1).astype(matrix.dtype)
    return unit, matrix / unit[:, None] / unit[None, :] + jnp.diag(extra), floor


def curvature(
    terms: Terms, problem: Problem, u: Array, change: Array, weights: Array
) -> tuple[Array, Array, Array, Array]:
    """Look around the solution ``u`` of a problem. O(n p² + p³).

    Returns:
        The covariances of ``change`` u, plain and robust; how far one more step would move η; and
        whether some direction of u is not determined, when the covariances are NaN.
    """
    A, total = problem.A, weights.sum()
    point = _look(terms, problem, u)
    hessian = point.hessian
    step = _solve(hessian, point.gradient)
    reach = jnp.where(weights > 0, jnp.abs(A @ step), 0).max()
    inverse = jax.vmap(partial(_solve, hessian))(jnp.eye(len(hessian), dtype=A.dtype))
    unit, _, floor = _raise(hessian)
    # The trace of an inverse is between one and p times the reciprocal of the least eigenvalue.
    largest = jnp.trace(unit[:, None] * inverse * unit[None, :])
    is_singular = (4 * floor * largest > 1) | ~(jnp.diagonal(hessian) > 0).all()
    bread = jnp.where(is_singular, jnp.nan, change @ inverse)
    slope, _ = terms(A @ u, problem.y)
    meat = (A * ((weights * slope) ** 2)[:, None]).T @ A / total**2
    return bread @ change.T / total, bread @ meat @ bread.T, reach, is_singular
