"""VEGAS+: a map that follows the integrand, and strata that get as many points as they need.

    ∫ f dx = ∫ f(x(y)) J(y) dy,      x_i(y_i) piecewise linear on a grid, J = Π dx_i/dy_i

Each iteration samples y in H = k^d cubes, n_h points in cube h, and estimates Σ_h mean_h / H with
variance Σ_h s_h² / (n_h H²). Then every axis gets a new grid, finer where Σ (f J)² over the other
axes was large, and n_h ∝ s_h^β. Iterations after the warm-up are averaged, weighted by 1/variance;
their chi² says whether they agree.

Source: Lepage (2021), *J. Comput. Phys.* 439, 110386, eq. 7-24 (map, smoothing, damping) and 34-39
(adaptive strata); Lepage (1978), *J. Comput. Phys.* 27, 192.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaincc
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature.monte_carlo import counter_hash, moments, unit_cube

__all__ = ["Info", "State", "integrate"]


class State(NamedTuple):
    """The map and the strata."""

    edges: Float[Array, "d edges"]  # of the grid, in the unit cube, rising from 0 to 1
    shares: Float[Array, " cubes"]  # of the points beyond two in each cube; sum 1


class Info(NamedTuple):
    """What is known of the error."""

    std_error: Float[Array, ""]  # unit of the integral
    chi2: Float[Array, ""]  # of the iterations about their mean, per degree of freedom
    probability: Float[Array, ""]  # of a larger chi2, were the errors honest
    estimates: Float[Array, " iterations"]  # after the warm-up
    std_errors: Float[Array, " iterations"]
    state: State
    num_evals: Int[Array, ""]  # calls of the integrand, warm-up included
    status: Int[Array, ""]  # core.status.Status


_STATIC = ("num_samples", "num_iterations", "num_warmup", "num_bins", "generator")


@partial(jax.jit, static_argnames=_STATIC)
@checked
def integrate(
    key: Key[Array, ""],
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_samples: int,
    num_iterations: int = 10,
    num_warmup: int = 5,
    num_bins: int = 128,
    damping: Scalar = 0.5,
    strata_power: Scalar = 0.75,
    generator: counter_hash.Generator = "hash",
) -> tuple[Float[Array, ""], Info]:
    """Integrate peaks that lie along axes, or anywhere, by adapting. O(n (d + log H)).

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number.
        lower: Bounds, finite or infinite; reversed bounds change the sign.
        upper: The other bounds.
        num_samples: All calls of ``fn``, a multiple of the iterations, at least 8 in each. What
            one iteration draws is held in memory. Static.
        num_iterations: With those of the warm-up. Static.
        num_warmup: First iterations, which only adapt; two or more must follow. Static.
        num_bins: Of the grid on every axis. Static.
        damping: α ≥ 0: how fast the map adapts.
        strata_power: β in [0, 1]: how much points follow the cubes' deviations; 0: equal shares.
        generator: As in ``plain``. Static.

    Returns:
        The integral, and ``Info``: CONVERGED; DIVERGED where the iterations contradict one
        another (a larger chi² has probability below 1e-4): more samples or warm-up are needed;
        else as in ``plain.integrate``.

    Raises:
        ValueError: numbers of samples, iterations or bins that do not fit together.

    Example:
        >>> peak = Partial(lambda width, x: jnp.exp(-(((x - 0.3) / width) ** 2).sum()), 0.05)
        >>> estimate, info = integrate(
        ...     jax.random.key(0), peak, jnp.zeros(3), jnp.ones(3), num_samples=40_000
        ... )
        >>> exact = (0.05 * jnp.sqrt(jnp.pi)) ** 3
        >>> bool(abs(estimate / exact - 1) < 0.01), int(info.status)
        (True, 1)
    """
    _check(fn, lower, num_samples, num_iterations, num_warmup, num_bins)
    num_points = num_samples // num_iterations
    per_axis = max(1, int((num_points / 4) ** (1 / len(lower)) + 1e-9))
    draw = partial(_iterate, num_points=num_points, per_axis=per_axis, generator=generator)
    grid = jnp.linspace(0, 1, num_bins + 1, dtype=lower.dtype)
    cubes = per_axis ** len(lower)
    start = State(
        jnp.broadcast_to(grid[None, :], (len(lower), num_bins + 1)),
        jnp.full(cubes, 1 / cubes, lower.dtype),
    )

    def run(is_infinite: bool) -> tuple[State, tuple[Array, Array]]:
        step = partial(draw, problem=(fn, lower, upper), is_infinite=is_infinite)
        rates = (jnp.asarray(damping, lower.dtype), jnp.asarray(strata_power, lower.dtype))
        return loop.scan(step, start, key=key, num_steps=num_iterations, rates=rates)

    state, found = unit_cube.split(lower, upper, run)
    estimates, errors = (each[num_warmup:] for each in found)
    # Iterations that saw no variance at all agree exactly, or say nothing.
    is_exact = errors.max() == 0
    least = jax.lax.stop_gradient(jnp.where(errors > 0, errors, jnp.inf).min())
    least = jnp.where(is_exact, 1, least)
    weights = jnp.where(errors > 0, least / jnp.where(errors > 0, errors, 1), 0) ** 2
    weights = jnp.where(is_exact, 1, jnp.where(jnp.isnan(errors), jnp.nan, weights))
    estimate = (weights * estimates).sum() / weights.sum()
    std_error = jnp.where(is_exact, 0, least * moments.error_of(1 / weights.sum()))
    freedom = num_iterations - num_warmup - 1
    chi2 = (weights * jnp.square((estimates - estimate) / least)).sum() / freedom
    half = jnp.asarray(freedom / 2, lower.dtype)
    probability = gammaincc(half, jax.lax.stop_gradient(half * chi2))
    status = unit_cube.ending(lower, upper, estimate, std_error)
    is_at_odds = (status == Status.CONVERGED) & (probability < 1e-4)
    status = jnp.where(is_at_odds, Status.DIVERGED, status).astype(jnp.int32)
    info = Info(
        std_error, chi2, probability, estimates, errors, state, jnp.int32(num_samples), status
    )
    return estimate, info


def _iterate(
    key: Array,
    state: State,
    *,
    problem: tuple[Partial, Array, Array],
    rates: tuple[Array, Array],
    num_points: int,
    per_axis: int,
    generator: counter_hash.Generator,
    is_infinite: bool,
) -> tuple[State, tuple[Array, Array]]:
    """Sample once; return the adapted state, and the estimate and its standard error."""
    fn, lower, upper = problem
    state = jax.lax.stop_gradient(state)  # where points lie is no part of a derivative
    num_dims, cubes = len(lower), len(state.shares)
    counts, cube = _allocate(state.shares, num_points)
    digits = counter_hash.digits(key, shape=(num_dims, num_points), generator=generator)
    inside = counter_hash.to_unit(digits, lower.dtype)
    corner = jnp.stack([cube // per_axis**i % per_axis for i in range(num_dims)])
    y = (corner.astype(lower.dtype) + inside) / per_axis
    unit, jacobian, bins = _map(state.edges, y)
    values = jacobian * unit_cube.evaluate(fn, unit, lower, upper, is_infinite=is_infinite)
    size = moments.unit_of(values)
    values = values / jnp.where(size > 0, size, 1)

    def total(each: Array) -> Array:
        return jax.ops.segment_sum(each, cube, cubes, indices_are_sorted=True)

    n = counts.astype(lower.dtype)
    means = total(values) / n
    squares = total(jnp.square(values - means[cube]))
    variances = squares / (n - 1)
    estimate, variance = means.mean(), (variances / n).mean() / cubes
    damping, power = rates
    # A cube that gets n_h = n / H points has the variance s_h² / n_h of its mean.
    weight = jax.lax.stop_gradient(jnp.square(values) * (1 / n)[cube] * (num_points / cubes))
    edges = jax.vmap(partial(_refine, damping=damping), (0, 0, None))(state.edges, bins, weight)
    spread = jax.lax.stop_gradient(jnp.where(variances > 0, variances, 0)) ** (power / 2)
    shares = spread / jnp.where(spread.sum() > 0, spread.sum(), 1)
    is_usable = jnp.isfinite(edges).all() & jnp.isfinite(shares).all() & (spread.sum() > 0)
    adapted = State(edges, shares)
    adapted = jax.tree.map(lambda new, old: jnp.where(is_usable, new, old), adapted, state)
    return adapted, (size * estimate, size * moments.error_of(variance))


def _allocate(shares: Array, num_points: int) -> tuple[Array, Array]:
    """Give every cube two points, and the others by shares; return counts and each point's cube."""
    cubes = len(shares)
    spare = num_points - 2 * cubes
    ends = jnp.floor(jnp.cumsum(shares) / shares.sum() * spare).astype(jnp.int32)
    ends = jnp.clip(ends, 0, spare).at[-1].set(spare)
    ends = ends + 2 * jnp.arange(1, cubes + 1, dtype=jnp.int32)
    marks = jnp.zeros(num_points, jnp.int32).at[ends[:-1]].add(1)
    return jnp.diff(ends, prepend=0), jnp.cumsum(marks)


def _map(edges: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return x(y) in the unit cube, the Jacobian, and the bin of every coordinate."""
    num_bins = edges.shape[1] - 1
    scaled = y * num_bins
    bins = jnp.minimum(scaled.astype(jnp.int32), num_bins - 1)
    left = jnp.take_along_axis(edges, bins, axis=1)
    width = jnp.take_along_axis(jnp.diff(edges, axis=1), bins, axis=1)
    x = left + (scaled - bins.astype(y.dtype)) * width
    tiny = jnp.finfo(y.dtype).eps / 4  # an edge is no point of the open cube
    return jnp.clip(x, tiny, 1 - tiny), (num_bins * width).prod(axis=0), bins


def _refine(edges: Array, bins: Array, weight: Array, damping: Array) -> Array:
    """Return edges between which smoothed and damped weights are equal."""
    num_bins = len(edges) - 1
    found = jnp.zeros(num_bins, edges.dtype).at[bins].add(weight)
    padded = jnp.pad(found, 1, mode="edge")
    smooth = (padded[:-2] + 6 * found + padded[2:]) / 8
    share = smooth / smooth.sum()
    is_inner = (share > 0) & (share < 1)
    safe = jnp.where(is_inner, share, 0.5)
    damped = jnp.where(is_inner, ((1 - safe) / -jnp.log(safe)) ** damping, share)
    heights = jnp.concatenate([jnp.zeros(1, edges.dtype), jnp.cumsum(damped)])
    inner = jnp.arange(1, num_bins, dtype=edges.dtype) / num_bins * heights[-1]
    return edges.at[1:-1].set(jnp.interp(inner, heights, edges))


def _check(
    fn: Partial, lower: Array, num_samples: int, iterations: int, warmup: int, bins: int
) -> None:
    if unit_cube.value_of("vegas.integrate", fn, lower).shape:
        raise ValueError("vegas.integrate: fn(x) is an array, not a number")
    if bins < 2:
        raise ValueError(f"vegas.integrate: num_bins is {bins}, not at least 2")
    if warmup < 0 or iterations < warmup + 2:
        raise ValueError(
            f"vegas.integrate: num_iterations is {iterations}, not at least num_warmup "
            f"({warmup}) and two"
        )
    if num_samples % iterations or num_samples < 8 * iterations:
        raise ValueError(
            f"vegas.integrate: num_samples is {num_samples}, not a multiple of num_iterations "
            f"({iterations}) with at least 8 in each"
        )
