"""What is true of every layer, whatever its parameters and points."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.probability.flows import continuous, planar, radial, ridge, spline
from mastery_jax.probability.flows.frozen import Frozen
from tests.flows import definitions
from tests.flows.layers import ALL, CONDITIONAL, EXACT

seeds = st.integers(0, 2**31 - 1)
few = settings(deadline=None, max_examples=15, derandomize=True)
TIGHT = {"rtol": 1e-12, "atol": 1e-12, "max_steps": 1024}


def measure(name, *, key, spread):
    """Return what came and what was wanted: the way back, three log dets, the Jacobians."""
    layer, init = ALL[name]
    options = TIGHT if layer is continuous else {}
    params = init(key, 3, 1.0)
    x = spread * jax.random.normal(key, (3,))
    y, log_det = layer.forward(params, x, **options)
    back, log_det_back = layer.inverse(params, y, **options)
    modes = ({"adjoint": "forward"}, {}) if layer is continuous else ({}, {})
    jacobian = jax.jacfwd(lambda x: layer.forward(params, x, **options, **modes[0])[0])(x)
    jacobian_back = jax.jacrev(lambda y: layer.inverse(params, y, **options, **modes[1])[0])(y)
    found = back, log_det, log_det_back, jacobian_back @ jacobian
    return found, (x, jnp.linalg.slogdet(jacobian)[1], -log_det, jnp.eye(3))


@pytest.mark.parametrize("name", ALL)
def test_inverse_undoes_forward_and_log_det_is_autodiffs(name):
    run = jax.jit(lambda key, spread: measure(name, key=key, spread=spread))

    @few
    @given(seed=seeds, spread=st.sampled_from([0.1, 2.0, 50.0]))
    def check(seed, spread):
        for found, wanted in zip(*run(jax.random.key(seed), spread), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-9)

    with jax.enable_x64(True):
        check()


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("spread", [2.0, 50.0])
@pytest.mark.slow
def test_round_trips_in_float32_lose_what_the_slopes_say(name, spread):
    """An error of rounding grows by the layer's steepest slope back, and by no more."""
    layer, init = EXACT[name]

    @jax.jit
    @jax.vmap
    def run(key):
        params, x = init(key, 3, 1.0), spread * jax.random.normal(key, (3,))
        y, _ = layer.forward(params, x)
        back, _ = layer.inverse(params, y)
        jacobian = jax.jacrev(lambda y: layer.inverse(params, y)[0])(y)
        size = jnp.maximum(jnp.abs(x).max(), jnp.abs(y).max()) + 4.0
        return jnp.abs(back - x).max() / size / jnp.maximum(jnp.linalg.norm(jacobian), 1)

    lost = run(jax.random.split(jax.random.key(3), 200))
    assert lost.max() < 1e-5


@pytest.mark.parametrize("name", CONDITIONAL)
@pytest.mark.slow
def test_a_context_is_what_the_layer_is_without_it_at_each_value(name):
    """For a fixed context the network is one without, its first bias moved by the context's."""
    layer, init = CONDITIONAL[name]
    params = init(jax.random.key(0), 3, 1.0, context_dim=2)
    context, x = jnp.array([0.5, -2.0]), jnp.array([0.3, -0.2, 1.0])
    network = getattr(params, "network", params)
    first = network["layers"][0]
    bias = first["bias"] + context @ first["kernel"][-2:]
    own = {"layers": network["layers"] | {0: {"kernel": first["kernel"][:-2], "bias": bias}}}
    plain = own if network is params else params._replace(network=own)
    if "autoregressive" in name:
        # A context gives some hidden units another degree: the same units must be told apart.
        found, _ = layer.forward(params, x, context=context)
        moved, _ = layer.forward(params, x, context=context + 1)
        back, _ = layer.inverse(params, found, context=context)
        assert jnp.abs(found - moved).max() > 1e-2
        np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-4)
        jacobian = jax.jacobian(lambda x: layer.forward(params, x, context=context)[0][::-1])(x)
        if not name.startswith("inverted"):
            np.testing.assert_allclose(jnp.triu(jacobian, 1), 0, atol=1e-6)
        return
    for way in (layer.forward, layer.inverse):
        with_context, without = way(params, x, context=context), way(plain, x)
        for a, b in zip(with_context, without, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_the_first_coordinate_of_an_order_sees_the_context(name):
    """A conditional density of one coordinate, given the rest, is not the same for all contexts."""
    layer, init = CONDITIONAL[name]
    params = init(jax.random.key(1), 3, 1.0, context_dim=1)
    ends = [layer.inverse(params, jnp.ones(3), context=jnp.array([c]))[0] for c in (0.0, 3.0)]
    num_still = 1 if "coupling" in name else 0
    assert (jnp.abs(ends[0] - ends[1])[num_still:] > 1e-4).all()


def test_a_masked_network_of_one_coordinate_is_a_constant_without_a_context():
    layer, init = CONDITIONAL["autoregressive"]
    params = init(jax.random.key(0), 1, 1.0)
    slope = jax.grad(lambda x: layer.forward(params, x)[0][0])
    images = jax.vmap(slope)(jnp.linspace(-3, 3, 7)[:, None])
    np.testing.assert_allclose(images, images[0][None] + 0 * images, rtol=1e-6)
    assert sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params)) > 0


@few
@given(seed=seeds, scale=st.sampled_from([0.0, 1e-20, 1e-10, 1e-3, 1.0, 10.0]))
def test_planar_is_invertible_for_any_parameters(seed, scale):
    """Along any line the image moves on in the direction of w, in float32 too."""
    u_key, w_key, b_key = jax.random.split(jax.random.key(seed), 3)
    params = planar.Params(
        u=scale * jax.random.normal(u_key, (3,)),
        w=scale * jax.random.normal(w_key, (3,)),
        b=scale * jax.random.normal(b_key),
    )
    normal = params.w / jnp.maximum(jnp.linalg.norm(params.w), 1e-30)
    points = normal[None, :] * jnp.linspace(-3, 3, 101)[:, None]
    images, log_dets = jax.vmap(planar.forward, (None, 0))(params, points)
    assert jnp.isfinite(images).all()
    assert jnp.isfinite(log_dets).all()
    along = images @ normal
    assert (jnp.diff(along) >= -1e-6 * jnp.abs(along).max()).all()


def test_a_ridge_stays_bounded_where_its_normal_vanishes():
    """The difference m(a) − a has no digits left below 1e-7; û would then be 1e-7 / |w|."""
    u = jnp.array([1.0, 0.0])
    for size in (1e-3, 1e-6, 1e-10, 1e-18):
        w = jnp.array([size, 0.0])
        direction = ridge.constrain(u, w, u @ w, w @ w)
        assert jnp.abs(direction - u).max() < 1, size
    w = jnp.array([1e-4, 0.0])
    exact = (1 - 1 / np.e) * u  # the limit: m'(0) u along w
    np.testing.assert_allclose(ridge.constrain(u, w, u @ w, w @ w), exact, rtol=1e-3)


def splines(key, num_bins=8, interval=3.0, scale=2.0):
    return spline.init(key, dim=3, num_bins=num_bins, interval=interval, scale=scale)


@pytest.mark.slow
def test_spline_slopes_are_finite_everywhere_and_one_outside():
    """At the ends, at knots and far outside, of points and of every parameter, both ways."""
    params = splines(jax.random.key(0))
    knots = -3 + 6 * jnp.cumsum(
        spline.LEAST + (1 - 8 * spline.LEAST) * jax.nn.softmax(params.widths, axis=1), axis=1
    )
    special = jnp.array([-3.0, 3.0, -1e30, 1e30, 0.0, jnp.nextafter(3.0, 4.0)])
    points = jnp.concatenate([knots.T, jnp.broadcast_to(special[:, None], (6, 3))])
    for way in (spline.forward, spline.inverse):
        total = lambda params, x, way=way: sum(leaf.sum() for leaf in way(params, x))  # noqa: E731
        slopes = jax.vmap(jax.grad(total, (0, 1)), (None, 0))(params, points)
        for leaf in jax.tree.leaves(slopes):
            assert jnp.isfinite(leaf).all()
        far = jax.grad(total, (0, 1))(params, jnp.array([1e30, -4.0, 100.0]))
        np.testing.assert_array_equal(far[1], 1)
        for leaf in jax.tree.leaves(far[0]):
            np.testing.assert_array_equal(leaf, 0)


def test_a_spline_of_steep_and_flat_bins_keeps_its_digits():
    """In float32, with slopes from 1e-3 to 50 next to each other, both roots are needed."""
    raw = jnp.array([[-6.0, 6.0, -6.0, 6.0]])
    params = spline.Params(raw, -raw, jnp.array([[50.0, -20.0, 50.0]]), Frozen(jnp.array(1.0)))
    xs = jnp.linspace(-0.999, 0.999, 4001)[:, None]
    ys, log_dets = jax.vmap(spline.forward, (None, 0))(params, xs)
    back, log_dets_back = jax.vmap(spline.inverse, (None, 0))(params, ys)
    assert (jnp.diff(ys[:, 0]) > -3e-7).all()  # a unit or two in the last place of 1
    assert jnp.isfinite(back).all()
    assert jnp.isfinite(log_dets_back).all()
    # What one unit in the last place of y is worth in x.
    assert (jnp.abs(back - xs)[:, 0] <= 3e-6 * (1 + jnp.exp(-log_dets))).all()


def follower():
    """Return a flow that moves a point far, and the point."""
    return ALL["continuous"][1](jax.random.key(4), 3, 2.0), jnp.array([0.3, -1.0, 2.0])


def test_a_continuous_flow_is_that_of_scipy():
    with jax.enable_x64(True):
        params, x = follower()
        in_numpy = jax.tree.map(np.asarray, (params, x))
        for way, back in ((continuous.forward, False), (continuous.inverse, True)):
            known = definitions.continuous_oracle(back)(*in_numpy)
            for a, b in zip(way(params, x, **TIGHT), known, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.slow
def test_slopes_of_a_continuous_flow_are_those_of_finite_differences():
    with jax.enable_x64(True):
        params, x = follower()

        def total(size, adjoint):
            moved = jax.tree.map(lambda leaf: size * leaf, params)
            y, log_det = continuous.forward(moved, x, **TIGHT, adjoint=adjoint)
            return (y**2).sum() + log_det

        wanted = (total(1 + 1e-5, "direct") - total(1 - 1e-5, "direct")) / 2e-5
        for adjoint in ("direct", "backsolve"):
            np.testing.assert_allclose(jax.grad(total)(1.0, adjoint), wanted, rtol=1e-7)


@pytest.mark.slow
def test_probes_of_a_trace_average_to_it():
    """Of 4,000 keys, to five standard errors; and one key is the same both ways."""
    draw = partial(continuous.init, dim=3, widths=(8,), num_probes=2, scale=2.0)
    params = draw(jax.random.key(0))
    exact = continuous.forward(params._replace(probes=None), jnp.ones(3))[1]

    @jax.jit
    @jax.vmap
    def log_dets(key):
        own = params._replace(probes=Frozen(jax.random.split(key, 2)))
        y, log_det = continuous.forward(own, jnp.ones(3), rtol=1e-4, atol=1e-4)
        return log_det, continuous.inverse(own, y, rtol=1e-4, atol=1e-4)[1]

    found, back = log_dets(jax.random.split(jax.random.key(1), 4000))
    assert found.std() > 0.1
    assert abs(found.mean() - exact) < 5 * found.std() / 4000**0.5
    np.testing.assert_allclose(back, -found, atol=1e-2)


def test_steep_splines_keep_their_numbers():
    """A point beside its bin by rounding, where a spline of steep knots would turn back."""
    keys = jax.random.split(jax.random.key(0))
    raw = 40 * jax.random.normal(keys[0], (5000, 23))
    params = spline.unpack(raw, Frozen(jnp.asarray(4.0)))
    y, log_det = spline.forward(params, 2 * jax.random.normal(keys[1], (5000,)))
    assert jnp.isfinite(jnp.stack([log_det, spline.inverse(params, y)[1]])).all()


@pytest.mark.parametrize("log_radius", [-300.0, 80.0, 300.0])
def test_rings_of_any_radius_keep_their_numbers(log_radius):
    params = radial.Params(jnp.zeros(2), jnp.float32(log_radius), jnp.float32(1.0))
    for x in (jnp.zeros(2), jnp.array([3.0, 4.0])):
        y, log_det = radial.forward(params, x)
        back, log_det_back = radial.inverse(params, y)
        np.testing.assert_allclose(back, x, rtol=1e-6)
        np.testing.assert_allclose(log_det_back, -log_det, rtol=1e-6)
        slopes = jax.grad(lambda params, x: radial.forward(params, x)[1])(params, x)
        assert all(jnp.isfinite(leaf).all() for leaf in slopes)
    stretch = ridge.gain(params.strength) if log_radius > 0 else 1
    np.testing.assert_allclose(y, stretch * x, rtol=1e-6)
    np.testing.assert_allclose(log_det, 2 * jnp.log(stretch), rtol=1e-5)


def test_a_flow_that_does_not_arrive_is_nan():
    params = continuous.init(jax.random.key(0), dim=2, widths=(8,), scale=5.0)
    y, log_det = continuous.forward(params, jnp.ones(2), max_steps=1)
    assert jnp.isnan(y).all()
    assert jnp.isnan(log_det)


@pytest.mark.parametrize("name", [*CONDITIONAL, "continuous", "spline", "planar", "radial"])
@pytest.mark.slow
def test_scale_zero_is_the_identity(name):
    layer, init = ALL[name]
    x = jnp.array([0.1, -2.0, 30.0])
    y, log_det = layer.forward(init(jax.random.key(0), 3, 0.0), x)
    has_turned = name in CONDITIONAL
    np.testing.assert_allclose(y[::-1] if has_turned else y, x, rtol=1e-6)
    np.testing.assert_allclose(log_det, 0, atol=1e-5)
