"""The one architecture of ``benchmarks.flows`` and ``benchmarks.flow_likelihood``, twice.

Eight coupling layers, whose networks have two hidden layers of 64 units with tanh between, and
whose moves are affine, or rational-quadratic splines of eight bins in [-4, 4]. flowjax's layers are
scanned, as ours are, and its bijections inverted, as it does by default, so that densities are
cheap for both. Both permute at random between layers; orders, first weights and the bound of the
affine scale are each one's own.
"""

from collections.abc import Callable
from typing import Any

LAYERS, WIDTH, DEPTH = 8, 64, 2
BINS, INTERVAL = 8, 4.0
KINDS = ("spline", "affine")


def ours(kind: str, *, dim: int) -> tuple[Any, tuple[Any, ...]]:
    """Return parameters and layers of a chain."""
    import jax

    from mastery_jax.probability.flows import (
        affine_coupling,
        inverted,
        permutation,
        spline_coupling,
    )

    layer, options = affine_coupling, {"widths": (WIDTH,) * DEPTH}
    if kind == "spline":
        layer, options = spline_coupling, options | {"num_bins": BINS, "interval": INTERVAL}
    keys = jax.random.split(jax.random.key(0), LAYERS)
    moves = jax.vmap(lambda key: layer.init(key, dim=dim, **options))(keys)
    orders = jax.vmap(lambda key: permutation.init(key, dim=dim))(keys)
    return (moves, orders), (inverted.Inverted(layer), permutation)


def flowjax(kind: str, *, dim: int) -> Any:
    """Return flowjax's flow."""
    import jax
    import jax.numpy as jnp
    from flowjax import bijections, distributions, flows

    transformer = None
    if kind == "spline":
        transformer = bijections.RationalQuadraticSpline(knots=BINS, interval=INTERVAL)
    return flows.coupling_flow(
        jax.random.key(0),
        base_dist=distributions.Normal(jnp.zeros(dim)),
        transformer=transformer,
        flow_layers=LAYERS,
        nn_width=WIDTH,
        nn_depth=DEPTH,
        nn_activation=jnp.tanh,
    )


def ours_as_functions(kind: str, *, dim: int) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return parameters, log densities of points, and samples."""
    import jax

    from mastery_jax.probability.flows import chain, frozen

    params, layers = ours(kind, dim=dim)
    trained, join = frozen.split(params)

    def log_probs(trained: Any, x: Any) -> Any:
        return jax.vmap(lambda x: chain.log_prob(join(trained), x, layers=layers))(x)

    def samples(trained: Any, key: Any, count: int) -> Any:
        return chain.sample(key, join(trained), layers=layers, dim=dim, shape=(count,))

    return trained, log_probs, samples


def flowjax_as_functions(
    kind: str, *, dim: int
) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return the same of flowjax."""
    import equinox as eqx
    from paramax import unwrap

    params, static = eqx.partition(flowjax(kind, dim=dim), eqx.is_inexact_array)

    def log_probs(params: Any, x: Any) -> Any:
        return unwrap(eqx.combine(params, static)).log_prob(x)

    def samples(params: Any, key: Any, count: int) -> Any:
        return unwrap(eqx.combine(params, static)).sample(key, (count,))

    return params, log_probs, samples
