"""Plain Monte Carlo: the average of the integrand at independent uniform points.

    ∫ f dx ≈ V/n Σ f(x_i),     standard error = V σ(f) / √n        whatever the dimension

Source: Owen (2013), *Monte Carlo theory, methods and examples*, sections 2.1-2.3.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.numerics.quadrature.monte_carlo import chunks, counter_hash, moments, unit_cube
from mastery_jax.numerics.quadrature.report import Spread

__all__ = ["integrate"]


@partial(jax.jit, static_argnames=("num_samples", "generator", "max_bytes", "mesh"))
@checked
def integrate(
    key: Key[Array, ""],
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_samples: int,
    generator: counter_hash.Generator = "threefry",
    max_bytes: int = chunks.MAX_BYTES,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, "..."], Spread]:
    """Average the integrand over uniform points. O(n) calls of ``fn``.

    Differentiable with respect to the data in ``fn`` and to the bounds.

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number, or an array.
        lower: Bounds, finite or infinite; reversed bounds change the sign.
        upper: The other bounds.
        num_samples: n ≥ 2. Static.
        generator: ``threefry`` is jax.random's, ``hash`` a faster one (``counter_hash``). Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The integral, and ``Spread``: CONVERGED; BAD_INPUT where a bound is NaN, NOT_FINITE where
        a value is not finite, and then the integral is NaN or infinite.

    Raises:
        ValueError: fewer than two samples, or ``max_bytes`` below one point.

    Example:
        >>> fn = Partial(lambda rate, x: jnp.exp(-rate * x.sum()), jnp.array(2.0))
        >>> lower, upper = jnp.zeros(2), jnp.full(2, jnp.inf)
        >>> estimate, info = integrate(jax.random.key(0), fn, lower, upper, num_samples=100_000)
        >>> bool(abs(estimate - 1 / 4) < 4 * info.std_error)
        True
    """
    if num_samples < 2:
        raise ValueError(f"plain.integrate: num_samples is {num_samples}, not at least 2")
    each = unit_cube.bytes_each("plain.integrate", fn, lower)
    plan = chunks.plan("plain.integrate", num_samples, bytes_each=each, max_bytes=max_bytes)

    def run(is_infinite: bool) -> tuple[Array, Array]:
        def values(data: Any, chunk: Array) -> Array:
            key, fn, lower, upper = data
            shape = (len(lower), plan.size)
            key = jax.random.fold_in(key, chunk)
            digits = counter_hash.digits(key, shape=shape, generator=generator)
            unit = counter_hash.to_unit(digits, lower.dtype)
            return unit_cube.evaluate(fn, unit, lower, upper, is_infinite=is_infinite)

        return moments.average(values, (key, fn, lower, upper), plan=plan, mesh=mesh)

    estimate, std_error = unit_cube.split(lower, upper, run)
    status = unit_cube.ending(lower, upper, estimate, std_error)
    return estimate, Spread(std_error, jnp.int32(num_samples), status)
