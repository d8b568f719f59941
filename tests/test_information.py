"""Entropy and its relatives: inequalities that always hold, edges, and nearest neighbors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import mutual_info_regression

from mastery_jax.probability import information, ksg
from tests.cases.information import kl_normal

few = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def tables(seed):
    """Return two distributions over five outcomes, the first with a zero."""
    rng = np.random.default_rng(seed)
    p = np.append(rng.dirichlet(np.ones(4)), 0.0)
    return rng.permutation(p), rng.dirichlet(np.ones(5))


@few
@given(seeds)
def test_what_holds_for_all_tables(seed):
    p, q = tables(seed)
    kl = information.kl_divergence(p, q)
    assert 0 <= information.entropy(p) <= np.log(5)
    assert kl > 0
    np.testing.assert_allclose(information.kl_divergence(p, p), 0, atol=1e-15)
    together = information.entropy(p) + kl
    np.testing.assert_allclose(information.cross_entropy(p, q), together, rtol=1e-12)
    js = information.js_divergence(p, q)
    np.testing.assert_allclose(js, information.js_divergence(q, p), rtol=1e-12)
    assert 0 < js <= np.log(2)


@few
@given(seeds)
def test_mutual_information_is_what_the_entropies_leave(seed):
    joint = np.random.default_rng(seed).dirichlet(np.full(20, 0.3)).reshape(4, 5)
    sides = sum(information.entropy(joint.sum(axis=axis)) for axis in (0, 1))
    left = sides - information.entropy(joint.ravel())
    mutual = information.mutual_information(joint)
    np.testing.assert_allclose(mutual, left, atol=1e-12)
    np.testing.assert_allclose(information.mutual_information(joint.T), mutual, atol=1e-12)
    apart = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    np.testing.assert_allclose(information.mutual_information(apart), 0, atol=1e-12)


def test_zeros_are_exact_and_slopes_finite():
    p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(information.entropy(p), np.log(2), rtol=1e-15)
    assert information.entropy(q) == 0
    assert information.kl_divergence(p, q) == jnp.inf
    np.testing.assert_allclose(information.kl_divergence(q, p), np.log(2), rtol=1e-15)
    np.testing.assert_allclose(
        information.js_divergence(q, jnp.array([0.0, 0.0, 1.0])), np.log(2), rtol=1e-15
    )
    for fn in (information.kl_divergence, information.js_divergence, information.cross_entropy):
        for a, b in ((p, q), (q, p), (q, q)):
            assert all(jnp.isfinite(slope).all() for slope in jax.grad(fn, (0, 1))(a, b))
    assert jnp.isfinite(jax.grad(information.entropy)(q)).all()


@pytest.mark.parametrize("probs", [[0.5, 0.6], [1.5, -0.5], [0.5, np.nan], [0.0, 0.0]])
def test_what_is_no_distribution_gives_nan(probs):
    bad, good = jnp.array(probs), jnp.array([0.5, 0.5])
    assert not information.is_distribution(bad)
    assert jnp.isnan(information.entropy(bad))
    for fn in (information.kl_divergence, information.js_divergence, information.cross_entropy):
        assert jnp.isnan(fn(bad, good))
        assert jnp.isnan(fn(good, bad))
    assert jnp.isnan(information.mutual_information(bad[None, :]))


@few
@given(seeds)
def test_divergences_between_normals(seed):
    rng = np.random.default_rng(seed)
    means, roots = rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 5))
    P, Q = roots @ roots.transpose(0, 2, 1)
    turn = rng.normal(size=(3, 3))
    kl = information.kl_normal(means[0], P, means[1], Q)
    np.testing.assert_allclose(kl, kl_normal(means[0], P, means[1], Q), rtol=1e-9)
    turned = information.kl_normal(
        turn @ means[0], turn @ P @ turn.T, turn @ means[1], turn @ Q @ turn.T
    )
    np.testing.assert_allclose(turned, kl, rtol=1e-6)  # no change of variables matters
    np.testing.assert_allclose(information.kl_normal(means[0], P, means[0], P), 0, atol=1e-12)
    v, w = np.diagonal(P), np.diagonal(Q)
    apart = information.kl_normal(means[0], np.diag(v), means[1], np.diag(w))
    diagonal = information.kl_normal_diagonal(means[0], v, means[1], w)
    np.testing.assert_allclose(diagonal, apart, rtol=1e-10)
    of_vae = information.kl_normal_diagonal(means[0], v, np.zeros(3), np.ones(3))
    np.testing.assert_allclose(information.kl_vae(means[0], np.log(v)), of_vae, rtol=1e-10)


def test_the_price_of_a_code_loses_no_digit_near_zero():
    tiny = jnp.full(1, 1e-9)
    np.testing.assert_allclose(information.kl_vae(tiny * 0, tiny), 2.5e-19, rtol=1e-6)


def test_a_matrix_that_is_no_covariance_gives_nan():
    zero, one = jnp.zeros(2), jnp.eye(2)
    assert jnp.isnan(information.kl_normal(zero, -one, zero, one))
    assert jnp.isnan(information.kl_normal_diagonal(zero, -jnp.ones(2), zero, jnp.ones(2)))


def correlated(rho, size, seed=0):
    cov = [[1, rho], [rho, 1]]
    return np.random.default_rng(seed).multivariate_normal([0, 0], cov, size).T[..., None]


@pytest.mark.parametrize("k", [1, 4])
def test_ksg_is_scikit_learns(k):
    x, y = correlated(0.7, 150)
    x, y = x / x.std(), y / y.std()
    wanted = mutual_info_regression(x, y[:, 0], n_neighbors=k, random_state=0)  # adds 1e-10 noise
    got = ksg.mutual_information(x, y, k=k, batch_size=64)
    np.testing.assert_allclose(max(got, 0), wanted[0], rtol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_ksg_finds_what_normals_share(rho):
    """The estimate from 500 samples has a standard deviation of some 0.05 nats (eq. 8, fig. 4)."""
    x, y = correlated(rho, 500, seed=1)
    got = ksg.mutual_information(x, y, k=5)
    np.testing.assert_allclose(got, -np.log(1 - rho**2) / 2, atol=0.15)


def test_ksg_sees_what_correlation_does_not():
    x = np.random.default_rng(2).uniform(-1, 1, (400, 1))
    assert abs(np.corrcoef(x[:, 0], x[:, 0] ** 2)[0, 1]) < 0.1
    assert ksg.mutual_information(x, x**2, k=3) > 1.5
    shuffled = np.random.default_rng(3).permutation(x**2)
    assert abs(ksg.mutual_information(x, shuffled, k=3)) < 0.2


def test_ksg_is_symmetric_blind_to_order_and_to_the_size_of_a_batch():
    x, y = correlated(0.7, 90)
    got = ksg.mutual_information(x, y, k=3, batch_size=90)
    np.testing.assert_allclose(ksg.mutual_information(y, x, k=3, batch_size=7), got, rtol=1e-12)
    order = np.random.default_rng(0).permutation(90)
    np.testing.assert_allclose(ksg.mutual_information(x[order], y[order], k=3), got, rtol=1e-12)


def test_ksg_refuses_in_a_sentence():
    x, y = correlated(0.7, 20)
    with pytest.raises(ValueError, match=r"k is 20, not in 1 … n − 1 = 19"):
        ksg.mutual_information(x, y, k=20)
    with pytest.raises(ValueError, match="batch_size is 0"):
        ksg.mutual_information(x, y, batch_size=0)
    with pytest.raises(ValueError, match="Y is float64"):
        ksg.mutual_information(x, y[:10])
    assert jnp.isnan(ksg.mutual_information(x * np.nan, y))


def test_rare_pairs_and_nearly_equal_tables_are_told_in_float32():
    rare = jnp.diag(jnp.array([1.0, 1e-22, 1e-22], jnp.float32))
    np.testing.assert_allclose(information.mutual_information(rare), 1.013e-20, rtol=1e-3)
    keys = jax.random.split(jax.random.key(0), 200)
    p = jax.vmap(lambda key: jax.nn.softmax(jax.random.normal(key, (8,))))(keys)
    q = jax.vmap(lambda row: jax.nn.softmax(jnp.log(row) + 1e-4 * jnp.linspace(0, 1, 8)))(p)
    assert (jax.vmap(information.js_divergence)(p, q) >= 0).all()


def test_a_variance_below_zero_is_none_even_beside_another():
    minus = -jnp.ones(1)
    assert jnp.isnan(information.kl_normal_diagonal(jnp.zeros(1), minus, jnp.zeros(1), 2 * minus))
