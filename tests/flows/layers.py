"""Every kind of layer, small, with parameters that are far from the identity."""

import jax.numpy as jnp

from mastery_jax.probability.flows import (
    affine_coupling,
    autoregressive,
    chain,
    continuous,
    inverted,
    linear,
    permutation,
    planar,
    radial,
    spline,
    spline_coupling,
    sylvester,
)

WIDTHS = (8,)


def one(scale):
    """Return a number whose dtype a layer takes over."""
    return jnp.asarray(scale, jnp.result_type(float))


def _network(layer, **options):
    def draw(key, dim, scale, context_dim=0):
        own = {"dim": dim, "widths": WIDTHS, "scale": one(scale), "context_dim": context_dim}
        return layer.init(key, **own, **options)

    return draw


LAYERS = {
    "planar": (planar, lambda key, dim, scale: planar.init(key, dim=dim, scale=one(scale))),
    "radial": (radial, lambda key, dim, scale: radial.init(key, dim=dim, scale=one(scale))),
    "sylvester": (
        sylvester,
        lambda key, dim, scale: sylvester.init(key, dim=dim, num_ridges=2, scale=one(scale)),
    ),
    "spline": (spline, lambda key, dim, scale: spline.init(key, dim=dim, scale=one(scale))),
    "permutation": (permutation, lambda key, dim, scale: permutation.init(key, dim=dim)),
    "linear": (linear, lambda key, dim, scale: linear.init(key, dim=dim, scale=one(scale))),
}
CONDITIONAL = {
    "affine_coupling": (affine_coupling, _network(affine_coupling)),
    "spline_coupling": (spline_coupling, _network(spline_coupling)),
    "autoregressive": (autoregressive, _network(autoregressive)),
    "autoregressive splines": (autoregressive, _network(autoregressive, num_bins=5)),
    "inverted autoregressive": (inverted.Inverted(autoregressive), _network(autoregressive)),
}
EXACT = LAYERS | CONDITIONAL
CONTINUOUS = {"continuous": (continuous, _network(continuous))}
ALL = EXACT | CONTINUOUS
BLOCK = chain.Block((affine_coupling, planar))
