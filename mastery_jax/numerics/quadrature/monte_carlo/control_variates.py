"""Control variates: functions whose integrals are known take away what they explain.

    ∫ f dx ≈ V (mean f − βᵀ (mean h − ∫ h dx / V)),     β = cov(h)⁻¹ cov(h, f)
    variance = V² (var f − βᵀ cov(h, f)) / n

β is estimated from the same points, which costs m degrees of freedom and a bias of order 1/n,
smaller than the standard error by 1/√n.

Source: Owen (2013), *Monte Carlo theory, methods and examples*, section 8.9 (the regression
estimator, eq. 8.32, and its bias); Lavenberg & Welch (1981), *Management Science* 27, 322.
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
from mastery_jax.numerics.quadrature.monte_carlo import chunks, counter_hash, moments, unit_cube

__all__ = ["Info", "integrate"]


class Info(NamedTuple):
    """What is known of the error, and of the controls."""

    std_error: Float[Array, ""]  # unit of the integral
    coefficients: Float[Array, " m"]  # β, unit of f per unit of h
    explained: Float[Array, ""]  # share of the variance of f that the controls take away
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status


class _Sums(NamedTuple):
    values: chunks.Sum  # of f and h
    products: chunks.Sum  # of their deviations, over the units
    units: Array  # powers of two, of f and h; 0 where nothing deviates


@partial(jax.jit, static_argnames=("num_samples", "generator", "max_bytes", "mesh"))
@checked
def integrate(
    key: Key[Array, ""],
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    controls: Partial,
    integrals: Float[Array, " m"],
    num_samples: int,
    generator: counter_hash.Generator = "threefry",
    max_bytes: int = chunks.MAX_BYTES,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, ""], Info]:
    """Average what the controls do not explain. O(n m²), and O(m³) once.

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number.
        lower: Bounds, finite or infinite; reversed bounds change the sign.
        upper: The other bounds.
        controls: ``controls(x)`` of one point: the m values h(x).
        integrals: ∫ h dx over the same box, with the sign of its bounds.
        num_samples: n ≥ m + 3. Static.
        generator: As in ``plain``. Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The integral, and ``Info``: CONVERGED; SINGULAR, and NaN, where controls are constant or
        combinations of one another; else as in ``plain.integrate``.

    Raises:
        ValueError: too few samples, ``fn`` not a number, or ``max_bytes`` below one point.

    Example:
        >>> fn, controls = Partial(lambda x: jnp.exp(x[0])), Partial(lambda x: x)
        >>> estimate, info = integrate(
        ...     jax.random.key(0), fn, jnp.zeros(1), jnp.ones(1),
        ...     controls=controls, integrals=jnp.array([0.5]), num_samples=10_000,
        ... )
        >>> bool(abs(estimate - 1.718282) < 4 * info.std_error), bool(info.explained > 0.98)
        (True, True)
    """
    num_controls = len(integrals)
    if num_samples < num_controls + 3:
        raise ValueError(
            f"control_variates.integrate: num_samples is {num_samples}, not at least "
            f"{num_controls + 3}, three more than controls"
        )
    if jax.eval_shape(fn, lower).shape:
        raise ValueError("control_variates.integrate: fn(x) is an array, not a number")
    both = Partial(_both, fn, controls)
    each = (num_controls + 2) * unit_cube.bytes_each("control_variates.integrate", both, lower)
    plan = chunks.plan(
        "control_variates.integrate", num_samples, bytes_each=each, max_bytes=max_bytes
    )
    # A chunk's mean costs a degree of freedom of the covariance, the regression m more.
    freedom = max(num_samples - plan.num_chunks - num_controls, 1)

    def run(is_infinite: bool) -> tuple[Array, Array, Array]:
        part = partial(_part, plan=plan, generator=generator, is_infinite=is_infinite)
        data = (key, both, lower, upper)
        found = chunks.reduce(part, _merge, data, plan=plan, mesh=mesh)
        values, products = ((each.high + each.low)[0] for each in found[:2])
        return values / num_samples, products / freedom, found.units[0]

    means, cov, units = unit_cube.split(lower, upper, run)
    # Scaled to correlations, so that controls of any unit are told from dependent ones.
    scale = jax.lax.stop_gradient(moments.error_of(jnp.diag(cov)[1:]))
    correlation = cov[1:, 1:] / jnp.where(scale > 0, scale, 1)[:, None] / scale[None, :]
    coefficients = jnp.linalg.solve(correlation, cov[1:, 0] / scale) / scale
    smallest = jnp.linalg.eigvalsh(jax.lax.stop_gradient(_known(correlation)))[0]
    is_singular = ~(smallest > 10 * num_controls * jnp.finfo(lower.dtype).eps)
    coefficients = jnp.where(is_singular, jnp.nan, coefficients)
    explained = (coefficients * cov[1:, 0]).sum()
    std_error = units[0] * moments.error_of((cov[0, 0] - explained) / num_samples)
    coefficients = coefficients * (units[0] / jnp.where(units[1:] > 0, units[1:], 1))
    estimate = means[0] - (coefficients * (means[1:] - integrals)).sum()
    status = unit_cube.ending(lower, upper, means, cov)
    is_fine = status == Status.CONVERGED
    status = jnp.where(is_fine & is_singular, Status.SINGULAR, status).astype(jnp.int32)
    share = explained / jnp.where(cov[0, 0] > 0, cov[0, 0], 1)
    return estimate, Info(std_error, coefficients, share, jnp.int32(num_samples), status)


def _known(matrix: Array) -> Array:
    """Return zeros for a matrix with a NaN, which has no eigenvalues."""
    return jnp.where(jnp.isfinite(matrix).all(), matrix, 0)


def _both(fn: Partial, controls: Partial, x: Array) -> Array:
    return jnp.concatenate([fn(x)[None], controls(x)])


def _part(
    data: Any,
    series: Array,
    chunk: Array,
    *,
    plan: chunks.Plan,
    generator: counter_hash.Generator,
    is_infinite: bool,
) -> _Sums:
    del series
    key, fn, lower, upper = data
    key = jax.random.fold_in(key, chunk)
    digits = counter_hash.digits(key, shape=(len(lower), plan.size), generator=generator)
    unit = counter_hash.to_unit(digits, lower.dtype)
    values = unit_cube.evaluate(fn, unit, lower, upper, is_infinite=is_infinite)
    total, deviations, _ = moments.centered(values, chunk, plan)
    units = moments.unit_of(deviations)
    deviations = deviations / jnp.where(units > 0, units, 1)[:, None]
    products = chunks.block_sum(deviations[:, None] * deviations[None, :])
    return _Sums(chunks.exact(total), chunks.exact(products), units)


def _merge(a: _Sums, b: _Sums) -> _Sums:
    units = jnp.maximum(a.units, b.units)

    def products(part: _Sums) -> chunks.Sum:
        ratio = moments.ratio(part.units, units)
        return moments.grown(part.products, ratio[:, None] * ratio[None, :])

    return _Sums(chunks.add(a.values, b.values), chunks.add(products(a), products(b)), units)
