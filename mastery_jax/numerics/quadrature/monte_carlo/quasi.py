"""Randomized quasi-Monte Carlo: the way to begin with an integral in one to some twenty dimensions.

    Q_r = V/n Σ_i f(x_ri),    estimate = mean Q_r,    standard error = σ(Q_r) / √R

Point sets that fill the box evenly, R times, each made random by itself: every Q_r is unbiased, and
their spread is an honest error, Student's t with R − 1 degrees of freedom. For a smooth integrand
the error falls nearly like n^−2 (folded lattice) or n^−3/2 (Sobol) instead of n^−1/2.

Source: L'Ecuyer & Lemieux (2002), *Recent advances in randomized quasi-Monte Carlo methods*,
section 3; L'Ecuyer, Nakayama, Owen & Tuffin (2023), *Confidence intervals for randomized
quasi-Monte Carlo estimators* (why Student's t).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key
from scipy.special import stdtrit

from mastery_jax.core.check import checked
from mastery_jax.numerics.quadrature.monte_carlo import (
    chunks,
    halton,
    lattice,
    moments,
    sobol,
    unit_cube,
)

__all__ = ["Info", "integrate"]


class Info(NamedTuple):
    """What is known of the error."""

    std_error: Float[Array, "..."]  # standard error of the estimate, unit of the integral
    half_width: Float[Array, "..."]  # of the 95 % interval, unit of the integral
    replicates: Float[Array, "randomizations ..."]  # the estimate of each point set
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status


@partial(
    jax.jit, static_argnames=("num_samples", "num_randomizations", "points", "max_bytes", "mesh")
)
@checked
def integrate(
    key: Key[Array, ""],
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_samples: int,
    num_randomizations: int = 16,
    points: Literal["lattice", "sobol", "halton"] = "lattice",
    max_bytes: int = chunks.MAX_BYTES,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, "..."], Info]:
    """Average the integrand over R random copies of an even point set. O(n) calls of ``fn``.

    Differentiable with respect to the data in ``fn`` and to the bounds.

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number, or an array.
        lower: Bounds, finite or infinite; reversed bounds change the sign.
        upper: The other bounds.
        num_samples: All points together: R times a power of two. Static.
        num_randomizations: R ≥ 2; more make the error bar surer, fewer the estimate better. Static.
        points: ``lattice``, at most 2^20 a copy, best where the integrand is smooth; ``sobol``,
            best where it has kinks or jumps; ``halton``. Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The integral, and ``Info`` with the status of ``plain.integrate``.

    Raises:
        ValueError: a number of samples that is not R times a power of two, R below two, points
            of no known name, or more dimensions than the points have.

    Example:
        >>> fn = Partial(lambda rate, x: jnp.exp(-rate * (x**2).sum()), jnp.array(1.0))
        >>> estimate, info = integrate(
        ...     jax.random.key(0), fn, jnp.zeros(6), jnp.ones(6), num_samples=16 * 1024
        ... )
        >>> bool(abs(estimate - 0.1735) < 1e-4), bool(info.half_width < 1e-4)
        (True, True)
    """
    copies = num_randomizations
    each = num_samples // max(copies, 1)
    if copies < 2:
        raise ValueError(f"quasi.integrate: num_randomizations is {copies}, not at least 2")
    if each < 1 or each * copies != num_samples or each & (each - 1):
        raise ValueError(
            f"quasi.integrate: num_samples is {num_samples}, not num_randomizations ({copies}) "
            "times a power of two"
        )
    randomize, points_of = _rule(points, len(lower), each)
    plan = chunks.plan(
        "quasi.integrate",
        each,
        bytes_each=unit_cube.bytes_each(
            "quasi.integrate", fn, lower, copies=1 if points == "lattice" else 3
        ),
        max_bytes=max_bytes,
        num_series=copies,
        is_binary=True,
    )
    sets = jax.vmap(randomize)(jax.random.split(key, copies))

    def run(is_infinite: bool) -> Array:
        def part(data: Any, series: Array, chunk: Array) -> chunks.Sum:
            sets, fn, lower, upper = data
            here = jax.tree.map(lambda leaf: leaf[series], sets)
            start = chunk.astype(jnp.uint32) * plan.size
            unit = points_of(here, start, size=plan.size, dtype=lower.dtype)
            values = unit_cube.evaluate(fn, unit, lower, upper, is_infinite=is_infinite)
            return chunks.exact(chunks.block_sum(values))

        found = chunks.reduce(part, chunks.add, (sets, fn, lower, upper), plan=plan, mesh=mesh)
        return (found.high + found.low) / each

    replicates = unit_cube.split(lower, upper, run)
    estimate = replicates.mean(axis=0)
    apart = jnp.moveaxis(replicates - estimate[None], 0, -1)
    unit = moments.unit_of(apart)
    squares = jnp.square(apart / jnp.where(unit > 0, unit, 1)[..., None]).sum(axis=-1)
    std_error = unit * moments.error_of(squares / (copies - 1) / copies)
    half_width = float(stdtrit(copies - 1, 0.975)) * std_error
    status = unit_cube.ending(lower, upper, estimate, std_error)
    return estimate, Info(std_error, half_width, replicates, jnp.int32(num_samples), status)


def _rule(points: str, num_dims: int, num_points: int) -> tuple[Any, Any]:
    """Return how a point set is made random, and its points."""
    rules = {
        "lattice": (partial(lattice.randomize, num_points=num_points), lattice.points),
        "sobol": (sobol.randomize, sobol.points),
        "halton": (halton.randomize, halton.points),
    }
    if points not in rules:
        raise ValueError(f"quasi.integrate: points is {points!r}, not one of {sorted(rules)}")
    randomize, points_of = rules[points]
    return partial(randomize, num_dims=num_dims), points_of
