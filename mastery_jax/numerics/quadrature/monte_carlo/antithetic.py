"""Antithetic Monte Carlo: every uniform point together with its mirror image.

    ∫ f dx ≈ V/m Σ (f(x_i) + f(x'_i)) / 2,     x' the image of 1 − u

Each pair is one independent value. What is odd about the centre of the box cancels: a linear
integrand is exact, a monotone one has a smaller error than 2 m independent points. An integrand
even about the centre has the error of m points.

Source: Hammersley & Morton (1956), *Proc. Camb. Phil. Soc.* 52, 449; Owen (2013), *Monte Carlo
theory, methods and examples*, section 8.2.
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
    """Average the integrand over pairs of mirrored points. O(n) calls of ``fn``.

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number, or an array.
        lower: Bounds, finite or infinite; reversed bounds change the sign.
        upper: The other bounds.
        num_samples: n, even, ≥ 4. Static.
        generator: As in ``plain``. Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The integral, and ``Spread`` with the status of ``plain.integrate``.

    Raises:
        ValueError: an odd number of samples, fewer than four, or ``max_bytes`` below one pair.

    Example:
        >>> fn = Partial(lambda x: 1 + x.sum())
        >>> estimate, info = integrate(
        ...     jax.random.key(0), fn, jnp.zeros(3), jnp.ones(3), num_samples=100
        ... )
        >>> round(float(estimate), 5), bool(info.std_error < 1e-6)
        (2.5, True)
    """
    if num_samples < 4 or num_samples % 2:
        raise ValueError(
            f"antithetic.integrate: num_samples is {num_samples}, not even and at least 4"
        )
    each = 2 * unit_cube.bytes_each("antithetic.integrate", fn, lower)
    plan = chunks.plan(
        "antithetic.integrate", num_samples // 2, bytes_each=each, max_bytes=max_bytes
    )

    def run(is_infinite: bool) -> tuple[Array, Array]:
        def values(data: Any, chunk: Array) -> Array:
            key, fn, lower, upper = data
            key = jax.random.fold_in(key, chunk)
            shape = (len(lower), plan.size)
            digits = counter_hash.digits(key, shape=shape, generator=generator)
            unit = counter_hash.to_unit(digits, lower.dtype)
            there, mirrored = (
                unit_cube.evaluate(fn, each, lower, upper, is_infinite=is_infinite)
                for each in (unit, 1 - unit)
            )
            return (there + mirrored) / 2

        return moments.average(values, (key, fn, lower, upper), plan=plan, mesh=mesh)

    estimate, std_error = unit_cube.split(lower, upper, run)
    status = unit_cube.ending(lower, upper, estimate, std_error)
    return estimate, Spread(std_error, jnp.int32(num_samples), status)
