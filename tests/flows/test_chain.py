"""What is true of chains, of their bases, and of the densities that they carry."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.numerics.quadrature import gauss_kronrod, product_grid
from mastery_jax.probability.flows import (
    affine_coupling,
    autoregressive,
    base,
    chain,
    continuous,
    frozen,
    inverted,
    linear,
    permutation,
    planar,
    radial,
    spline,
    spline_coupling,
    sylvester,
)
from tests.flows.layers import ALL, CONDITIONAL
from tests.statistics import assert_mean

MIXED = (affine_coupling, planar, inverted.Inverted(autoregressive), permutation, linear)


def stack(name, key, repeats, dim=3, scale=1.0):
    layer, init = ALL[name]
    return (layer,), (jax.vmap(lambda key: init(key, dim, scale))(jax.random.split(key, repeats)),)


def mixed(key, repeats=3, dim=3):
    names = ("affine_coupling", "planar", "inverted autoregressive", "permutation", "linear")
    keys = jax.random.split(key, (len(names), repeats))
    return tuple(
        jax.vmap(lambda key, name=name: ALL[name][1](key, dim, 1.0))(row)
        for name, row in zip(names, keys, strict=True)
    )


def density(params, x, *, layers, start=None, context=None):
    return jnp.exp(chain.log_prob(params, x, layers=layers, base=start, context=context))


@pytest.mark.parametrize("name", ["planar", "radial", "spline", "linear", "autoregressive"])
@pytest.mark.slow
def test_a_density_of_one_coordinate_integrates_to_one(name):
    with jax.enable_x64(True):
        layers, params = stack(name, jax.random.key(1), 3, dim=1)
        fn = Partial(lambda params, x: density(params, x[None], layers=layers), params)
        mass, _ = gauss_kronrod.integrate(fn, -jnp.inf, jnp.inf, rtol=1e-9, max_intervals=256)
        np.testing.assert_allclose(mass, 1, rtol=1e-7)


@pytest.mark.parametrize("name", [name for name in ALL if name != "permutation"])
@pytest.mark.slow
def test_a_density_of_two_coordinates_integrates_to_one(name):
    """By Gauss's rule on pieces of a plane, which end where splines do; their knots are kinks."""
    scale, num_nodes = (0.3, 20) if "spline" in name else (0.7, 8)
    layers, params = stack(name, jax.random.key(1), 1, dim=2, scale=scale)
    fn = Partial(lambda params, x: density(params, x, layers=layers), params)
    edges = np.linspace(-16, 16, 33)

    def piece(corner):
        return product_grid.integrate(fn, corner, corner + 1.0, num_nodes=num_nodes)[0]

    corners = jnp.stack(jnp.meshgrid(edges[:-1], edges[:-1]), axis=-1).reshape(-1, 2)
    mass = jax.jit(lambda corners: jax.lax.map(piece, corners))(corners).sum()
    np.testing.assert_allclose(mass, 1, atol=2e-3)


@pytest.mark.parametrize("family", ["normal", "student_t", "uniform"])
@pytest.mark.slow
def test_a_base_integrates_to_one_and_its_samples_are_its_own(family):
    with jax.enable_x64(True):
        start = base.init(family=family, dim=1, scale=1.5, df=5.0)
        fn = Partial(lambda params, x: jnp.exp(base.log_prob(params, x[None])), start)
        ends = jnp.array([-1.5, 1.5]) if family == "uniform" else jnp.array([-jnp.inf, jnp.inf])
        mass, _ = gauss_kronrod.integrate(fn, *ends, rtol=1e-10)
        np.testing.assert_allclose(mass, 1, rtol=1e-9)
        draws = base.sample(jax.random.key(0), start, shape=(100, 200))[..., 0]
        variance = {"normal": 1.5**2, "student_t": 1.5**2 * 5 / 3, "uniform": 1.5**2 / 3}[family]
        assert_mean(draws, 0.0)
        assert_mean(draws**2, variance)
        with pytest.raises(AssertionError):
            assert_mean(draws + 0.1, 0.0)


def test_a_box_has_no_density_outside_and_its_slopes_are_finite():
    start = base.init(family="uniform", dim=2)
    slope = jax.grad(lambda z: base.log_prob(start, z))(jnp.array([0.0, 3.0]))
    np.testing.assert_array_equal(slope, 0)
    assert base.log_prob(start, jnp.array([0.0, 3.0])) == -jnp.inf


@pytest.mark.slow
def test_chain_is_the_sum_of_its_layers():
    params, x = mixed(jax.random.key(5)), jax.random.normal(jax.random.key(6), (3,))
    z, total = x, 0.0
    for i in (2, 1, 0):
        for layer, own in zip(MIXED[::-1], params[::-1], strict=True):
            z, log_det = layer.inverse(jax.tree.map(lambda leaf, i=i: leaf[i], own), z)
            total += log_det
    expected = total + jax.scipy.stats.norm.logpdf(z).sum()
    np.testing.assert_allclose(chain.log_prob(params, x, layers=MIXED), expected, rtol=1e-4)
    start = base.init(family="student_t", dim=3, scale=2.0)
    found = chain.log_prob(params, x, layers=MIXED, base=start)
    np.testing.assert_allclose(found, total + base.log_prob(start, z), rtol=1e-4)
    for log_df in (-3.0, 3.0, 14.0, 40.0):  # a million degrees of freedom are nearly a normal
        many = start._replace(log_df=jnp.full(3, log_df), log_scale=jnp.zeros(3))
        exact = stats.t.logpdf(np.asarray(z, float), np.exp(log_df)).sum()
        np.testing.assert_allclose(base.log_prob(many, z), exact, rtol=1e-5)


@pytest.mark.slow
def test_a_chain_is_a_layer_of_another_chain():
    params, x = mixed(jax.random.key(5)), jnp.array([0.3, -1.0, 2.0])
    nested = jax.tree.map(lambda leaf: leaf[None], params)
    outer = (inverted.Inverted(chain.Block(MIXED)),)
    found = chain.forward((nested,), x, layers=outer)
    for a, b in zip(found, chain.inverse(params, x, layers=MIXED), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert outer == (inverted.Inverted(chain.Block(MIXED)),)
    assert hash(outer) == hash((inverted.Inverted(chain.Block(MIXED)),))


@pytest.mark.slow
def test_one_pass_tells_the_densities_of_its_samples():
    params = mixed(jax.random.key(7))
    options = {"layers": MIXED, "dim": 3, "shape": (5, 2)}
    for start in (None, base.init(family="normal", dim=3, scale=2.0)):
        xs, log_probs = chain.sample_and_log_prob(jax.random.key(8), params, **options, base=start)
        alone = chain.sample(jax.random.key(8), params, **options, base=start)
        np.testing.assert_array_equal(xs, alone)
        known = jax.vmap(
            jax.vmap(lambda x, start=start: chain.log_prob(params, x, layers=MIXED, base=start))
        )
        np.testing.assert_allclose(log_probs, known(xs), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_samples_are_images_of_a_standard_normal():
    """Sent back, 4,000 samples have mean 0 and covariance 1, to five standard deviations."""
    params, num = mixed(jax.random.key(7), 2), 4000
    xs = chain.sample(jax.random.key(8), params, layers=MIXED, dim=3, shape=(num // 2, 2))
    assert xs.shape == (num // 2, 2, 3)
    undo = jax.vmap(lambda x: chain.inverse(params, x, layers=MIXED)[0])
    z = np.asarray(undo(xs.reshape(num, 3)))
    assert np.abs(z.mean(axis=0)).max() < 5 / num**0.5
    assert np.abs(np.cov(z.T) - np.eye(3)).max() < 5 * (2 / num) ** 0.5


@pytest.mark.parametrize("name", CONDITIONAL)
@pytest.mark.slow
def test_a_chain_hands_its_context_to_every_layer(name):
    layer, init = CONDITIONAL[name]
    keys = jax.random.split(jax.random.key(2), 2)
    params = jax.vmap(lambda key: init(key, 3, 1.0, context_dim=1))(keys)
    turned = jax.vmap(lambda key: ALL["planar"][1](key, 3, 1.0))(keys)
    layers, both = (layer, planar), (params, turned)
    options = {"layers": layers, "context": jnp.array([0.7])}
    xs, log_probs = chain.sample_and_log_prob(jax.random.key(0), both, dim=3, shape=(4,), **options)
    known = jax.vmap(lambda x: chain.log_prob(both, x, **options))(xs)
    np.testing.assert_allclose(log_probs, known, rtol=1e-3, atol=1e-3)
    other = jax.vmap(lambda x: chain.log_prob(both, x, layers=layers, context=jnp.array([-3.0])))(
        xs
    )
    assert jnp.abs(other - known).max() > 1e-2


@pytest.mark.slow
def test_repeats_are_compiled_once():
    """Eight layers cost the program of one: a scan, whatever the number of repeats."""
    x = jnp.zeros(3)
    texts = [
        str(jax.make_jaxpr(partial(chain.log_prob, layers=MIXED))(mixed(jax.random.key(0), n), x))
        for n in (2, 8)
    ]
    assert abs(len(texts[0]) - len(texts[1])) < 0.01 * len(texts[0])


def test_linear_draws_rotations_and_mixes_all():
    params = linear.init(jax.random.key(0), dim=5)
    matrix = jax.vmap(lambda e: linear.forward(params, e)[0], out_axes=1)(jnp.eye(5))
    np.testing.assert_allclose(matrix @ matrix.T, jnp.eye(5), atol=1e-5)
    assert (jnp.abs(matrix) > 1e-4).all()


def test_what_is_frozen_is_not_split_off_and_keys_are_renewed():
    own = spline.init(jax.random.key(0), dim=2)
    flow = continuous.init(jax.random.key(0), dim=2, widths=(4,), num_probes=3)
    trained, join = frozen.split((own, flow, permutation.init(jax.random.key(0), dim=2)))
    assert len(trained) == 3 + 4
    moved = join([leaf + 1 for leaf in trained])
    assert moved[0].interval == own.interval
    np.testing.assert_array_equal(moved[0].slopes, own.slopes + 1)
    fresh = frozen.renew(jax.random.key(1), flow)
    assert (jax.random.key_data(fresh.probes.value) != jax.random.key_data(flow.probes.value)).any()
    np.testing.assert_array_equal(
        fresh.network["layers"][0]["kernel"], flow.network["layers"][0]["kernel"]
    )


KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: affine_coupling.init(KEY, dim=1, widths=(4,)), r"affine_coupling\.init: dim is 1"),
        (lambda: spline_coupling.init(KEY, dim=1, widths=()), r"spline_coupling\.init: dim is 1, "),
        (
            lambda: spline_coupling.init(KEY, dim=2, widths=(), num_bins=1),
            r"spline_coupling\.init: num_bins is 1, not from 2 to 500",
        ),
        (lambda: spline.init(KEY, dim=2, num_bins=0), r"spline\.init: num_bins is 0"),
        (lambda: spline.init(KEY, dim=2, num_bins=1001), r"spline\.init: num_bins is 1001"),
        (lambda: autoregressive.init(KEY, dim=0, widths=()), r"autoregressive\.init: dim is 0"),
        (
            lambda: autoregressive.init(KEY, dim=2, widths=(), num_bins=1),
            r"autoregressive\.init: num_bins is 1",
        ),
        (lambda: sylvester.init(KEY, dim=2, num_ridges=3), r"sylvester\.init: num_ridges is 3"),
        (
            lambda: continuous.init(KEY, dim=2, widths=(), num_probes=-1),
            r"continuous\.init: num_probes is -1",
        ),
        (lambda: permutation.init(KEY, dim=2, kind="same"), r"permutation\.init: kind is 'same'"),
        (lambda: base.init(family="cauchy", dim=2), r"base\.init: family is 'cauchy'"),
        (lambda: base.log_prob((1.0,), jnp.zeros(2)), r"base\.log_prob: params is a tuple"),
        (
            lambda: base.log_prob(base.init(family="normal", dim=3), jnp.zeros(2)),
            r"base\.log_prob: params have shapes \[\(3,\)\], not \(2,\) alone",
        ),
        (
            lambda: chain.forward((), jnp.zeros(2), layers=(planar,)),
            r"chain\.forward: params has 0 parts for 1 layers",
        ),
        (
            lambda: chain.inverse(
                (planar.init(KEY, dim=2),), jnp.zeros(2), layers=(planar,)
            ),
            r"chain\.inverse: params have leading axes",
        ),
        (
            lambda: radial.forward(radial.init(KEY, dim=3), jnp.zeros(4)),
            r"radial\.forward: x is float32\[4\]",
        ),
        (
            lambda: affine_coupling.forward(
                affine_coupling.init(KEY, dim=2, widths=(4,)), jnp.zeros(2), context=jnp.zeros(1)
            ),
            r"map 1 numbers to 2, this point with a context of 1 needs 2 to 2",
        ),
        (
            lambda: autoregressive.inverse(
                autoregressive.init(KEY, dim=2, widths=(4,)), jnp.zeros(3)
            ),
            r"autoregressive: params map 2 numbers to 4",
        ),
        (
            lambda: spline_coupling.forward(
                spline_coupling.init(KEY, dim=2, widths=(4,)), jnp.zeros(3)
            ),
            r"spline_coupling: params map 1 numbers to 23",
        ),
    ],
)  # fmt: skip
def test_errors_name_the_argument(call, said):
    with pytest.raises(ValueError, match=said):
        call()
