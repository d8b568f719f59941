"""Clusters in any unit and far from 0, rows of weight 0, states of NaN, senseless options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.core.status import Status
from mastery_jax.learning.clustering import centering, dbscan, gaussian_mixture, kmeans
from mastery_jax.learning.components import rating_table

key = jax.random.key(0)
exponents = pytest.mark.parametrize("exponent", [-100, -66, 66, 110])
FORMS = ["full", "tied", "diag", "spherical"]


def groups(apart=80.0, n=100, start=0.0):
    rng = np.random.default_rng(0)
    side = np.arange(n) % 2
    return np.float32(start + rng.normal(size=(n, 2)) + apart * side[:, None]), side


def in_units(exponent):
    """Return rows, the same in another unit, and that unit, of which no digit is changed."""
    X, _ = groups()
    unit = np.ldexp(np.float32(1), exponent)
    return X, X * unit, unit


@exponents
def test_dbscan_is_the_same_in_any_unit(exponent):
    X, scaled, unit = in_units(exponent)
    state, info = dbscan.fit(scaled, radius=3 * unit)
    assert (info.status, info.num_clusters) == (Status.CONVERGED, 2)
    np.testing.assert_array_equal(state.labels, dbscan.fit(X, radius=3.0)[0].labels)


def test_a_row_that_is_no_number_of_radii_away_is_refused():
    _, info = dbscan.fit(groups()[0], radius=2e-37)
    assert (info.status, info.num_noise) == (Status.NOT_FINITE, 100)


@exponents
def test_kmeans_is_the_same_in_any_unit(exponent):
    X, scaled, unit = in_units(exponent)
    plain, _ = kmeans.fit(key, X, num_clusters=2)
    state, info = kmeans.fit(key, scaled, num_clusters=2)
    np.testing.assert_array_equal(state.centers, plain.centers * unit)
    np.testing.assert_array_equal(info.sizes, [50, 50])
    # The inertia has no number in large units: the centers are good, and the status says it.
    assert info.status == (Status.NOT_FINITE if jnp.isinf(info.inertia) else Status.CONVERGED)
    assert jnp.isinf(info.inertia) == (exponent > 0)
    np.testing.assert_array_equal(kmeans.predict(state, scaled), kmeans.predict(plain, X))
    distances = kmeans.transform(plain, X) * unit
    np.testing.assert_array_equal(kmeans.transform(state, scaled), distances)
    start = kmeans.init(key, scaled, num_clusters=2)
    moved = kmeans.step(kmeans.init(key, X, num_clusters=2), X)[0].centers
    np.testing.assert_array_equal(kmeans.step(start, scaled)[0].centers, moved * unit)


@exponents
@pytest.mark.parametrize("covariance", FORMS)
def test_a_mixture_is_the_same_in_any_unit(exponent, covariance):
    X, scaled, unit = in_units(exponent)
    given = {"num_clusters": 2, "covariance": covariance, "reg_covar": 0.0, "atol": 1e-4}
    plain, before = gaussian_mixture.fit(key, X, **given)
    state, info = gaussian_mixture.fit(key, scaled, **given)
    assert (info.status, bool(info.is_collapsed.any())) == (Status.CONVERGED, False)
    np.testing.assert_allclose(state.factors / unit, plain.factors, rtol=1e-4, atol=1e-4)
    wanted = before.log_likelihood - 2 * exponent * np.log(2)
    np.testing.assert_allclose(info.log_likelihood, wanted, rtol=1e-4)


def test_groups_that_are_far_apart_have_their_own_means_and_variances():
    X, side = groups(apart=2e6, n=100_000)
    means = np.stack([np.double(X[side == j]).mean(axis=0) for j in (0, 1)])
    scales = np.stack([np.double(X[side == j]).std(axis=0) for j in (0, 1)])
    state, info = kmeans.fit(key, X, num_clusters=2, num_restarts=2)
    centers = state.centers[state.centers[:, 0].argsort()]
    np.testing.assert_allclose(centers, means, rtol=0, atol=0.15)  # a step of float32 there
    np.testing.assert_allclose(info.inertia, 50_000 * (scales**2).sum(), rtol=1e-3)
    moved, end = kmeans.step(state, X)
    np.testing.assert_allclose(moved.centers, state.centers, rtol=0, atol=0.15)
    assert end.is_done
    for covariance in ("full", "diag"):
        state, _ = gaussian_mixture.fit(key, X, num_clusters=2, covariance=covariance)
        factors = state.factors[state.means[:, 0].argsort()]
        found = np.sqrt((factors**2).sum(axis=2)) if covariance == "full" else factors[:, 0]
        np.testing.assert_allclose(found, scales, rtol=5e-3)


def test_rows_far_from_zero_are_centered():
    # The first mean of a hundred thousand rows is off by ten; tolerances are of the variance.
    X, _ = groups(apart=2.0, n=100_000, start=1e6)
    rows, origin, unit = centering.center(X, jnp.ones(100_000))
    np.testing.assert_allclose(origin, np.double(X).mean(axis=0), rtol=0, atol=2**-5)
    np.testing.assert_allclose((rows**2).mean(), np.double(X).var(axis=0).mean(), rtol=1e-2)
    assert unit <= jnp.abs(rows).max() < 2 * unit


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e20])
def test_a_row_without_weight_is_not_read(odd):
    X, _ = groups()
    weights = np.append(np.ones(100, X.dtype), np.zeros(2, X.dtype))
    more = np.vstack([X, np.full((2, 2), odd, X.dtype)])
    state, info = kmeans.fit(key, more, num_clusters=2, weights=weights)
    assert info.status == Status.CONVERGED
    np.testing.assert_array_equal(info.sizes, [50, 50])
    moved = kmeans.step(state, more, weights=weights)[0].centers
    np.testing.assert_allclose(moved, state.centers, rtol=1e-6, atol=1e-6)
    assert jnp.isfinite(kmeans.init(key, more, num_clusters=2, weights=weights).centers).all()
    if odd == 1e20:  # finite, and nearer to one center than to the other
        assert (kmeans.predict(state, more)[100:] == state.centers[:, 0].argmax()).all()
    state, info = gaussian_mixture.fit(key, more, num_clusters=2, weights=weights)
    assert (info.status, bool(info.is_collapsed.any())) == (Status.CONVERGED, False)
    for criterion in (gaussian_mixture.bic, gaussian_mixture.aic):
        alone = criterion(state, X)
        np.testing.assert_allclose(criterion(state, more, weights=weights), alone, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_what_is_collapsed_does_not_depend_on_the_unit_of_weights(scale):
    X, _ = groups()
    weights = np.full(100, scale, X.dtype)
    weights[1] *= 200  # more than all rows of the other group
    _, info = gaussian_mixture.fit(key, X, num_clusters=2, weights=weights)
    assert not info.is_collapsed.any()
    _, info = gaussian_mixture.fit(key, X, num_clusters=100, weights=weights)
    assert info.is_collapsed.any()


def test_no_cluster_is_named_without_a_score():
    X, _ = groups()
    odd = X.copy()
    odd[3, 1] = np.nan
    odd[4, 0] = np.inf
    for module in (kmeans, gaussian_mixture):
        state, _ = module.fit(key, X, num_clusters=2)
        is_odd = np.isin(np.arange(100), [3, 4])
        np.testing.assert_array_equal(module.predict(state, odd) == -1, is_odd)
        nothing = jax.tree.map(lambda leaf: leaf * jnp.nan, state)
        np.testing.assert_array_equal(module.predict(nothing, X), -1)
    assert jnp.isnan(kmeans.transform(kmeans.State(X[:2]), odd)[3]).all()


@pytest.mark.parametrize("value", [-1e-3, np.nan])
def test_options_without_sense_are_bad_input(value):
    X, _ = groups()
    state, info = kmeans.fit(key, X, num_clusters=2, rtol=value)
    assert (info.status, bool(info.is_done)) == (Status.BAD_INPUT, False)
    assert jnp.isnan(state.centers).all()
    state, info = gaussian_mixture.fit(key, X, num_clusters=2, reg_covar=value)
    assert (info.status, bool(info.is_done)) == (Status.BAD_INPUT, False)
    assert jnp.isnan(state.means).all()
    _, info = dbscan.fit(X, radius=3.0, min_samples=value)
    assert (info.status, info.num_noise) == (Status.BAD_INPUT, 100)


def test_narrow_codes_are_codes_of_a_large_table():
    codes = np.arange(100, dtype=np.int8)
    known = rating_table.entries(
        "als.fit", codes, codes, np.ones(100), None, num_users=300, num_items=300
    )
    assert known.is_sound
    table = jnp.arange(300.0)
    np.testing.assert_array_equal(rating_table.rows_of(table, codes), table[:100])
    assert jnp.isnan(rating_table.rows_of(table, -codes[1:])).all()
    scores = jnp.broadcast_to(table, (100, 300))
    given = {"k": 2, "num_users": 300}
    found = rating_table.best("als.recommend", scores, codes, codes, codes, **given)
    np.testing.assert_array_equal(found.items, np.tile([299, 298], (100, 1)))
