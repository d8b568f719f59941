"""Importance sampling: points from a proposal q, each weighted by what q gave too little or much.

    integral      ∫ f dx ≈ 1/n Σ f(x_i) / q(x_i)
    expectation   E_p f ≈ Σ w_i f(x_i) / Σ w_i,     w = p / q up to a constant (self-normalized)
    effective sample size = (Σ w)² / Σ w²

The self-normalized estimate has a bias of order 1/n; its variance is by the delta method. Both say
how heavy the tail of the weights is (``pareto_tail``): above k = 0.7 the error bar is not to be
trusted. Where q is zero and the integrand is not, no sample can tell, and so the integral asks:
it tries both at uniform points of the box.

Source: Owen (2013), *Monte Carlo theory, methods and examples*, sections 9.1-9.3; Vehtari et al.
(2024), *Pareto smoothed importance sampling*, JMLR 25(72).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature.monte_carlo import (
    chunks,
    counter_hash,
    moments,
    pareto_tail,
    unit_cube,
)

__all__ = ["Info", "expectation", "integrate"]

_LONGEST_TAIL = 1024  # weights kept for the fit of their tail


class Info(NamedTuple):
    """What is known of the error, and of the proposal."""

    std_error: Float[Array, ""]  # unit of the integral
    effective_size: Float[Array, ""]  # (Σ w)² / Σ w², number of samples
    pareto_shape: Float[Array, ""]  # k of the largest weights; trust below 0.7
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status


class _Sums(NamedTuple):
    ratios: moments.Moments  # r
    products: chunks.Sum  # of w, w², w r, r², over the units
    units: Array  # powers of two, of w and r; 0 where all are
    tail: Array  # the largest w, in falling order
    num_holes: Array  # samples where q is zero and f is not


@partial(jax.jit, static_argnames=("num_samples", "num_probes", "max_bytes", "mesh"))
@checked
def integrate(
    key: Key[Array, ""],
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    sample: Partial,
    log_density: Partial,
    num_samples: int,
    num_probes: int = 256,
    max_bytes: int = chunks.MAX_BYTES,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, ""], Info]:
    """Integrate over a box with points from a proposal. O(n).

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number.
        lower: Bounds, finite or infinite; points outside count as zero. Reversed: the sign.
        upper: The other bounds.
        sample: ``sample(key)``: one point of the proposal.
        log_density: ``log_density(x)``: its normalized log density, in nats.
        num_samples: n ≥ 25. Static.
        num_probes: Uniform points where a proposal of zero is looked for. Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The integral, and ``Info`` of the weights |f|/q: INFEASIBLE where the proposal is zero and
        ``fn`` is not, at a sample or a probe: a part of the integral may be missing. Else as in
        ``plain.integrate``.

    Raises:
        ValueError: fewer than 25 samples, ``fn`` not a number, or ``max_bytes`` too small.

    Example:
        >>> proposal = {
        ...     "sample": Partial(lambda key: jax.random.normal(key, (1,))),
        ...     "log_density": Partial(lambda x: -(x[0] ** 2 + jnp.log(2 * jnp.pi)) / 2),
        ... }
        >>> fn, infinity = Partial(lambda x: jnp.exp(-(x[0] ** 2))), jnp.full(1, jnp.inf)
        >>> estimate, info = integrate(
        ...     jax.random.key(0), fn, -infinity, infinity, num_samples=10_000, **proposal
        ... )
        >>> bool(abs(estimate - jnp.sqrt(jnp.pi)) < 4 * info.std_error), int(info.status)
        (True, 1)
    """
    where = "importance.integrate"
    if unit_cube.value_of(where, fn, lower).shape:
        raise ValueError(f"{where}: fn(x) is an array, not a number")
    sample_key, probe_key = jax.random.split(key)
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    data = (fn, log_density, low, high)
    plan = _plan(where, sample, sample_key, num_samples, max_bytes)
    sums = _sums(sample_key, sample, _inside, data, plan=plan, mesh=mesh)
    total, squares = (each.high + each.low for each in sums.ratios[:2])
    sign = jnp.where(upper < lower, -1, 1).prod().astype(lower.dtype)
    estimate = sign * total / num_samples
    variance = squares / (num_samples - plan.num_chunks)
    std_error = sums.ratios.unit * moments.error_of(variance / num_samples)
    digits = jax.random.bits(probe_key, (len(lower), num_probes), jnp.uint32)
    probes, _ = unit_cube.rational(counter_hash.to_unit(digits, lower.dtype), low, high)
    seen = jax.vmap(partial(_inside, data), in_axes=1)(probes)[2]
    status = unit_cube.ending(lower, upper, estimate, std_error)
    is_missing = (status == Status.CONVERGED) & ((sums.num_holes > 0) | seen.any())
    status = jnp.where(is_missing, Status.INFEASIBLE, status).astype(jnp.int32)
    return estimate, _info(sums, std_error, num_samples + num_probes, status)


@partial(jax.jit, static_argnames=("num_samples", "max_bytes", "mesh"))
@checked
def expectation(
    key: Key[Array, ""],
    fn: Partial,
    *,
    sample: Partial,
    log_density: Partial,
    log_target: Partial,
    num_samples: int,
    max_bytes: int = chunks.MAX_BYTES,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, ""], Info]:
    """Return the mean of ``fn`` under a density known up to a constant. O(n).

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point is a number.
        sample: ``sample(key)``: one point of the proposal.
        log_density: ``log_density(x)`` of the proposal, in nats, up to a constant.
        log_target: ``log_target(x)`` of the target, in nats, up to a constant.
        num_samples: n ≥ 25. Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The mean, and ``Info`` of the weights: INFEASIBLE where a sample has a proposal of zero
        and a target that is not, NOT_FINITE where a value is not finite or no weight is positive.

    Raises:
        ValueError: fewer than 25 samples, ``fn`` not a number, or ``max_bytes`` too small.

    Example:
        >>> estimate, info = expectation(
        ...     jax.random.key(0),
        ...     Partial(lambda x: x**2),
        ...     sample=Partial(lambda key: 2 * jax.random.normal(key)),
        ...     log_density=Partial(lambda x: -(x**2) / 8),
        ...     log_target=Partial(lambda x: -(x**2) / 2),
        ...     num_samples=10_000,
        ... )
        >>> bool(abs(estimate - 1) < 4 * info.std_error), bool(info.effective_size > 5000)
        (True, True)
    """
    where = "importance.expectation"
    shape = jax.eval_shape(lambda: fn(sample(key)))
    if shape.shape:
        raise ValueError(f"{where}: fn(x) is an array, not a number")
    plan = _plan(where, sample, key, num_samples, max_bytes)
    sample_key, pilot_key = jax.random.split(key)
    # A few samples say about how large weights and values are: sums are of what is left.
    pilot = jax.vmap(sample)(jax.random.split(pilot_key, min(num_samples, 256)))
    log_weights = jax.vmap(lambda x: log_target(x) - log_density(x))(pilot)
    shift = jax.lax.stop_gradient(log_weights.max())
    shift = jnp.where(jnp.isfinite(shift), shift, 0)
    center = jax.lax.stop_gradient((jax.nn.softmax(log_weights) * jax.vmap(fn)(pilot)).sum())
    center = jnp.where(jnp.isfinite(center), center, 0)
    data = (fn, log_density, log_target, shift, center)
    sums = _sums(sample_key, sample, _weighted, data, plan=plan, mesh=mesh)
    weight, weight2, crossed, squared = sums.products.high + sums.products.low
    of_weight, of_ratio = jnp.where(sums.units > 0, sums.units, 1)
    total = (sums.ratios.total.high + sums.ratios.total.low) / of_ratio
    off = total / weight
    variance = squared - 2 * off * crossed + off**2 * weight2
    off, std_error = (
        of_ratio / of_weight * each for each in (off, moments.error_of(variance) / weight)
    )
    is_finite = jnp.isfinite(off) & jnp.isfinite(std_error)
    status = jnp.where(is_finite, Status.CONVERGED, Status.NOT_FINITE)
    is_missing = is_finite & (sums.num_holes > 0)
    status = jnp.where(is_missing, Status.INFEASIBLE, status).astype(jnp.int32)
    return center + off, _info(sums, std_error, num_samples + len(log_weights), status)


def _inside(data: Any, x: Array) -> tuple[Array, Array, Array]:
    """Return f/q at a point, its size as weight, and whether q is zero where f is not."""
    fn, log_density, low, high = data
    is_inside = ((x >= low) & (x <= high)).all()
    # Elsewhere fn may have no value, and no slope.
    value = jnp.where(is_inside, fn(jnp.where(is_inside, x, _middle(low, high))), 0)
    log_q = log_density(x)
    is_hole = (log_q == -jnp.inf) & (value != 0)
    # An integrand of zero needs no proposal.
    is_used = ~is_hole & (value != 0)
    ratio = value * jnp.where(is_used, jnp.exp(-jnp.where(is_used, log_q, 0)), 0)
    return ratio, jnp.abs(ratio), is_hole


def _middle(low: Array, high: Array) -> Array:
    """Return a point inside of a box."""
    from_low, from_high = jnp.isfinite(low), jnp.isfinite(high)
    beside = jnp.where(from_low, low + 1, jnp.where(from_high, high - 1, 0))
    return jnp.where(from_low & from_high, low + (high - low) / 2, beside)


def _weighted(data: Any, x: Array) -> tuple[Array, Array, Array]:
    """Return w (f − center) at a point, w, and whether q is zero where the target is not."""
    fn, log_density, log_target, shift, center = data
    log_q, log_p = log_density(x), log_target(x)
    is_hole = (log_q == -jnp.inf) & (log_p > -jnp.inf)
    weight = jnp.exp(jnp.where(is_hole | (log_p == -jnp.inf), -jnp.inf, log_p - log_q - shift))
    return weight * (fn(x) - center), weight, is_hole


def _plan(where: str, sample: Partial, key: Array, num_samples: int, max_bytes: int) -> chunks.Plan:
    if num_samples < 25:
        raise ValueError(f"{where}: num_samples is {num_samples}, not at least 25")
    point = jax.eval_shape(sample, key)
    each = 3 * point.dtype.itemsize * (2 * point.size + 3) + 16  # and a key
    return chunks.plan(where, num_samples, bytes_each=each, max_bytes=max_bytes)


def _sums(
    key: Array, sample: Partial, ratios: Any, data: Any, *, plan: chunks.Plan, mesh: Mesh | None
) -> _Sums:
    # As many of the largest weights as the fit of a tail wants.
    longest = min(plan.num_points // 5, int(3 * plan.num_points**0.5), _LONGEST_TAIL)

    def part(data: Any, series: Array, chunk: Array) -> _Sums:
        del series
        key, sample, rest = data
        keys = jax.random.split(jax.random.fold_in(key, chunk), plan.size)
        r, w, is_hole = jax.vmap(lambda key: ratios(rest, sample(key)))(keys)
        total, deviations, count = moments.centered(r, chunk, plan)
        counts = jnp.arange(plan.size, dtype=jnp.uint32) < count
        r, w = jnp.where(counts, r, 0), jnp.where(counts, w, 0)
        units = moments.unit_of(jnp.stack([w, r]))
        v, s = jnp.stack([w, r]) / jnp.where(units > 0, units, 1)[:, None]
        products = chunks.block_sum(jnp.stack([v, v * v, v * s, s * s]))
        some = jnp.pad(w, (0, max(0, longest + 1 - plan.size)))
        return _Sums(
            moments.of(total, deviations),
            chunks.exact(products),
            units,
            jax.lax.top_k(some, longest + 1)[0],
            (counts & is_hole).sum(dtype=jnp.int32),
        )

    found = chunks.reduce(part, _merge, (key, sample, data), plan=plan, mesh=mesh)
    return jax.tree.map(lambda leaf: leaf[0], found)


def _merge(a: _Sums, b: _Sums) -> _Sums:
    tail = jax.lax.top_k(jnp.concatenate([a.tail, b.tail]), len(a.tail))[0]
    units = jnp.maximum(a.units, b.units)

    def products(part: _Sums) -> chunks.Sum:
        w, r = moments.ratio(part.units, units)
        return moments.grown(part.products, jnp.stack([w, w * w, w * r, r * r]))

    return _Sums(
        moments.merge(a.ratios, b.ratios),
        chunks.add(products(a), products(b)),
        units,
        tail,
        a.num_holes + b.num_holes,
    )


def _info(sums: _Sums, std_error: Array, num_evals: int, status: Array) -> Info:
    weight, weight2 = (sums.products.high + sums.products.low)[:2]
    shape = pareto_tail.fit(sums.tail[:-1] - sums.tail[-1], limit=sums.tail[-1]).shape
    return Info(std_error, weight**2 / weight2, shape, jnp.int32(num_evals), status)
