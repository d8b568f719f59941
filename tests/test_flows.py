"""What is true of every flow, whatever its parameters and points."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.probability.flows import affine_coupling, chain, planar

seeds = st.integers(0, 2**31 - 1)
few = settings(deadline=None, max_examples=20, derandomize=True)
# One point of three coordinates; the first layer stands alone, the chain mixes both kinds.
LAYERS = (affine_coupling, planar)


def coupling(key, dim=3):
    return affine_coupling.init(key, dim=dim, widths=(8,), scale=1.0)


def stack(key, repeats, dim=3):
    keys = jax.random.split(key, repeats)
    plane = partial(planar.init, dim=dim, scale=1.0)
    return jax.vmap(partial(coupling, dim=dim))(keys), jax.vmap(plane)(keys)


def moved(key, scale):
    """Return raw planar parameters of any size: nothing constrains them but the layer itself."""
    u_key, w_key, b_key = jax.random.split(key, 3)
    return planar.Params(
        u=scale * jax.random.normal(u_key, (3,)),
        w=scale * jax.random.normal(w_key, (3,)),
        b=scale * jax.random.normal(b_key),
    )


BIJECTIONS = {
    "planar": (planar.forward, planar.inverse, lambda key: planar.init(key, dim=3, scale=2.0)),
    "affine_coupling": (affine_coupling.forward, affine_coupling.inverse, coupling),
    "chain": (
        partial(chain.forward, layers=LAYERS),
        partial(chain.inverse, layers=LAYERS),
        partial(stack, repeats=3),
    ),
}


@pytest.mark.parametrize("name", BIJECTIONS)
def test_inverse_undoes_forward_and_log_det_is_autodiffs(name):
    forward, inverse, init = BIJECTIONS[name]

    @jax.jit
    def measure(key):
        x = 2 * jax.random.normal(key, (3,))
        params = init(key)
        y, log_det = forward(params, x)
        back, log_det_back = inverse(params, y)
        jacobian = jax.jacfwd(lambda x: forward(params, x)[0])(x)
        jacobian_back = jax.jacrev(lambda y: inverse(params, y)[0])(y)
        found = back, log_det, log_det_back, jacobian_back @ jacobian
        wanted = x, jnp.linalg.slogdet(jacobian)[1], -log_det, jnp.eye(3)
        return found, wanted

    @few
    @given(seed=seeds)
    def check(seed):
        for found, wanted in zip(*measure(jax.random.key(seed)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)

    with jax.enable_x64(True):
        check()


@few
@given(seed=seeds, scale=st.sampled_from([0.0, 1e-20, 1e-3, 1.0, 10.0]))
def test_planar_is_invertible_for_any_parameters(seed, scale):
    """Along any line the image moves on in the direction of w, in float32 too."""
    params = moved(jax.random.key(seed), scale)
    normal = params.w / jnp.maximum(jnp.linalg.norm(params.w), 1e-30)
    points = normal[None, :] * jnp.linspace(-3, 3, 101)[:, None]
    images, log_dets = jax.vmap(planar.forward, (None, 0))(params, points)
    assert jnp.isfinite(images).all()
    assert jnp.isfinite(log_dets).all()
    along = images @ normal
    assert (jnp.diff(along) >= -1e-6 * jnp.abs(along).max()).all()


def test_planar_inverse_is_exact_to_rounding_in_float32():
    key = jax.random.key(4)
    params = jax.vmap(lambda key: planar.init(key, dim=3, scale=2.0))(jax.random.split(key, 500))
    x = jax.random.normal(key, (500, 3))
    y, log_det = jax.vmap(planar.forward)(params, x)
    back, _ = jax.vmap(planar.inverse)(params, y)
    # A nearly flat layer loses digits in proportion: the docstring's promise.
    size = jnp.abs(x).max(axis=1) + jnp.abs(params.u).max(axis=1)
    lost = jnp.abs(back - x).max(axis=1) * jnp.exp(jnp.minimum(log_det, 0)) / size
    assert lost.max() < 32 * jnp.finfo(jnp.float32).eps


@pytest.mark.parametrize("layer", [planar, affine_coupling], ids=["planar", "affine_coupling"])
def test_density_integrates_to_one(layer):
    init = {
        planar: partial(planar.init, dim=2, scale=1.0),
        affine_coupling: partial(coupling, dim=2),
    }
    params = (jax.vmap(init[layer])(jax.random.split(jax.random.key(1), 4)),)
    axis = jnp.linspace(-20, 20, 801)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_prob = partial(chain.log_prob, layers=(layer,))
    log_probs = jax.jit(jax.vmap(log_prob, in_axes=(None, 0)))(params, grid)
    mass = jnp.exp(log_probs).sum() * (axis[1] - axis[0]) ** 2
    assert abs(mass - 1) < 2e-3


def test_chain_is_the_sum_of_its_layers():
    params = stack(jax.random.key(5), 3)
    x = jax.random.normal(jax.random.key(6), (3,))
    z, total = x, 0.0
    for i in (2, 1, 0):
        for layer, own in zip(LAYERS[::-1], params[::-1], strict=True):
            z, log_det = layer.inverse(jax.tree.map(lambda leaf, i=i: leaf[i], own), z)
            total += log_det
    expected = total + jax.scipy.stats.norm.logpdf(z).sum()
    np.testing.assert_allclose(chain.log_prob(params, x, layers=LAYERS), expected, rtol=1e-5)


def test_samples_are_images_of_a_standard_normal():
    """Sent back, 4,000 samples have mean 0 and covariance 1, to five standard deviations."""
    params, num = stack(jax.random.key(7), 2), 4000
    xs = chain.sample(jax.random.key(8), params, layers=LAYERS, dim=3, shape=(num // 2, 2))
    assert xs.shape == (num // 2, 2, 3)
    undo = jax.vmap(lambda x: chain.inverse(params, x, layers=LAYERS)[0])
    z = np.asarray(undo(xs.reshape(num, 3)))
    assert np.abs(z.mean(axis=0)).max() < 5 / num**0.5
    assert np.abs(np.cov(z.T) - np.eye(3)).max() < 5 * (2 / num) ** 0.5


def test_scale_zero_is_the_identity():
    x = jnp.arange(4.0)
    y, log_det = planar.forward(planar.init(jax.random.key(0), dim=4, scale=0.0), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_allclose(log_det, 0, atol=1e-6)
    params = affine_coupling.init(jax.random.key(0), dim=4, widths=(8,))
    y, log_det = affine_coupling.forward(params, x)
    np.testing.assert_array_equal(y, x[::-1])
    assert log_det == 0


def test_repeats_are_compiled_once():
    """Eight layers cost the program of one: a scan, whatever the number of repeats."""
    x = jnp.zeros(3)
    texts = [
        str(jax.make_jaxpr(partial(chain.log_prob, layers=LAYERS))(stack(jax.random.key(0), n), x))
        for n in (2, 8)
    ]
    assert abs(len(texts[0]) - len(texts[1])) < 0.01 * len(texts[0])


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"affine_coupling\.init: dim is 1"):
        affine_coupling.init(jax.random.key(0), dim=1, widths=(4,))
    params = coupling(jax.random.key(0), dim=2)
    with pytest.raises(ValueError, match="a point has 3 coordinates, params are for 2"):
        affine_coupling.forward(params, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"planar.forward: x is float32\[4\]"):
        planar.forward(planar.init(jax.random.key(0), dim=3), jnp.zeros(4))
