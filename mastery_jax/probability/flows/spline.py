"""Every coordinate bent by a spline of its own: monotone, rational and quadratic in each bin.

    ξ = (x − x_k)/w_k,    s = h_k/w_k,    D = d_k+1 + d_k − 2s
    y = y_k + h_k (s ξ² + d_k ξ(1−ξ)) / (s + D ξ(1−ξ))
    dy/dx = s² (d_k+1 ξ² + 2s ξ(1−ξ) + d_k (1−ξ)²) / (s + D ξ(1−ξ))²

Widths w and heights h of the bins are shares of [−B, B] by softmax, of a thousandth at least;
slopes d at inner knots are 0.001 or more, those at the ends 1. Outside [−B, B] nothing moves. All
zeros is the identity. The inverse is a root of a quadratic, in the one of its two forms that does
not subtract.

Source: Durkan, Bekasov, Murray & Papamakarios (2019), *Neural Spline Flows*, eq. 4-8; Gregory &
Delbourgo (1982), *IMA Journal of Numerical Analysis* 2(2), eq. 2.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Params", "forward", "init", "insist", "inverse", "unpack"]

LEAST = 1e-3  # share of a bin, and slope: both would lose float32's digits at 0
MOST = 500  # bins: half of the interval is then left to be shared
_ONE = math.log(math.expm1(1 - LEAST))  # softplus of it is 1 less the least slope


class Params(NamedTuple):
    """One spline for each coordinate, before its constraints: any finite numbers are allowed."""

    widths: Float[Array, "d bins"]  # softmax of them, shares of the interval
    heights: Float[Array, "d bins"]  # likewise
    slopes: Float[Array, "d knots"]  # at inner knots, one fewer than bins
    interval: Frozen  # B, one number, unit of x


class _Bin(NamedTuple):
    """The bin that each coordinate is in, and which coordinates are in any."""

    left: Any  # x_k
    width: Any
    bottom: Any  # y_k
    height: Any
    first: Any  # d_k
    last: Any  # d_k+1


@partial(jax.jit, static_argnames=("dim", "num_bins"))
@checked
def init(
    key: Key[Array, ""],
    *,
    dim: int,
    num_bins: int = 8,
    interval: Scalar = 4.0,
    scale: Scalar = 0.0,
) -> Params:
    """Draw a layer at random. O(d bins).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, d. Static.
        num_bins: Bins of each spline, from 2 to 500. Static.
        interval: B, where splines end; unit of x; > 0. It is not trained.
        scale: Standard deviation of all the rest; 0 gives the identity. Its dtype is that of the
            layer.

    Raises:
        ValueError: ``num_bins`` is not from 2 to 500.
    """
    insist("spline.init", num_bins)
    draws = scale * jax.random.normal(key, (dim, 3 * num_bins - 1), jnp.result_type(scale))
    return unpack(draws, Frozen(jnp.asarray(interval, draws.dtype)))


def unpack(raw: Any, interval: Frozen) -> Params:
    """Return the splines of a table with 3 bins − 1 numbers for each coordinate.

    Args:
        raw: (d, 3 bins − 1), the outputs of a network.
        interval: B.
    """
    num_bins = (raw.shape[-1] + 1) // 3
    return Params(
        widths=raw[:, :num_bins],
        heights=raw[:, num_bins : 2 * num_bins],
        slopes=raw[:, 2 * num_bins :],
        interval=interval,
    )


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats. O(d bins).

    Args:
        params: From :func:`init`, or any finite numbers with ``interval`` > 0.
        x: One point; ``vmap`` takes many.
        context: Taken, because a chain hands it to each of its layers, and without effect.

    Example:
        >>> params = init(jax.random.key(0), dim=2, scale=1.0)
        >>> y, log_det = forward(params, jnp.array([0.5, 100.0]))
        >>> float(y[1]), inverse(params, y)[0].round(4)
        (100.0, Array([  0.5, 100. ], dtype=float32))
    """
    bound, is_inside, inner = _inside(params, x)
    here = _locate(params, bound, inner, by_height=False)
    xi = _within((inner - here.left) / here.width)
    slope = here.height / here.width
    mixed, bend = xi * (1 - xi), here.last + here.first - 2 * slope
    moved = here.bottom + here.height * (slope * xi**2 + here.first * mixed) / (
        slope + bend * mixed
    )
    log_slope = jnp.where(is_inside, _log_slope(here, xi), 0)
    return jnp.where(is_inside, moved, x), log_slope.sum()


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, exactly, and its log det in nats. O(d bins).

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.
    """
    bound, is_inside, inner = _inside(params, y)
    here = _locate(params, bound, inner, by_height=True)
    slope = here.height / here.width
    above, bend = inner - here.bottom, here.last + here.first - 2 * slope
    a = here.height * (slope - here.first) + above * bend
    b = here.height * here.first - above * bend
    # Rounding must not make it negative, nor its root's slope infinite: the least that b resolves.
    square = jnp.maximum(b**2 + 4 * a * slope * above, (jnp.finfo(y.dtype).eps * b) ** 2)
    root, is_rising = jnp.sqrt(square), b >= 0
    xi = jnp.where(
        is_rising,
        2 * slope * above / jnp.where(is_rising, b + root, 1),
        (root - b) / jnp.where(is_rising, 1, 2 * a),
    )
    xi = _within(xi)
    log_slope = jnp.where(is_inside, _log_slope(here, xi), 0)
    return jnp.where(is_inside, here.left + here.width * xi, y), -log_slope.sum()


def insist(where: str, num_bins: int) -> None:
    """Raise where there are too few bins, or so many that the least shares leave nothing to learn.

    Raises:
        ValueError: ``num_bins`` is not from 2 to ``MOST``.
    """
    if not 2 <= num_bins <= MOST:
        raise ValueError(f"{where}: num_bins is {num_bins}, not from 2 to {MOST}")


def _inside(params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return B, which coordinates are inside, and all of them brought there.

    What is outside is clipped before it meets the spline: its slopes would be NaN times 0.
    """
    bound = params.interval.value.astype(x.dtype)
    return bound, jnp.abs(x) < bound, jnp.clip(x, -bound, bound)


def _locate(params: Params, bound: jax.Array, x: jax.Array, *, by_height: bool) -> _Bin:
    """Return the bin of each coordinate, of x or of y.

    A gather would cost a scatter on the way back; there are few bins, and masks are cheap. Where
    the bins begin has no slope to take: only what is read of the one that was found.
    """
    widths, heights = _shares(params.widths), _shares(params.heights)
    num_bins = widths.shape[1]
    among = jax.lax.stop_gradient(heights if by_height else widths)
    with jax.default_matmul_precision("highest"):
        ends = among @ jnp.triu(jnp.ones((num_bins, num_bins - 1), among.dtype))
    index = (x[:, None] >= bound * (2 * ends - 1)).sum(axis=1)[:, None]
    places = jnp.arange(num_bins)[None, :]
    is_here, is_before = places == index, places < index

    def take(mask: jax.Array, table: jax.Array) -> jax.Array:
        return jnp.where(mask, table, 0).sum(axis=1)

    def slope(mask: jax.Array) -> jax.Array:
        # At both ends no knot is found, and 0 stands for a slope of 1.
        return LEAST + jax.nn.softplus(take(mask, params.slopes) + _ONE)

    return _Bin(
        left=bound * (2 * take(is_before, widths) - 1),
        width=2 * bound * take(is_here, widths),
        bottom=bound * (2 * take(is_before, heights) - 1),
        height=2 * bound * take(is_here, heights),
        first=slope(places[:, :-1] + 1 == index),
        last=slope(is_here[:, :-1]),
    )


def _shares(raw: jax.Array) -> jax.Array:
    return LEAST + (1 - raw.shape[1] * LEAST) * jax.nn.softmax(raw, axis=1)


def _within(xi: jax.Array) -> jax.Array:
    """Return ξ in [0, 1]: beside it, where rounding puts it, a steep spline may turn back."""
    return jnp.where(xi < 0, 0, jnp.where(xi > 1, 1, xi))  # with a whole slope at the ends


def _log_slope(here: _Bin, xi: jax.Array) -> jax.Array:
    slope = here.height / here.width
    mixed, bend = xi * (1 - xi), here.last + here.first - 2 * slope
    steep = here.last * xi**2 + 2 * slope * mixed + here.first * (1 - xi) ** 2
    return 2 * jnp.log(slope) + jnp.log(steep) - 2 * jnp.log(slope + bend * mixed)
