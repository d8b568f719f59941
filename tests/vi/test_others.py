"""Importance ratios, particles, factors in closed form, and NumPyro's guides."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.tree_util import Partial
from numpyro import distributions as dist
from scipy import integrate, special, stats

from mastery_jax.core.status import Status
from mastery_jax.inference.vi import (
    coordinate_ascent,
    full_rank,
    mean_field,
    numpyro_svi,
    svgd,
    trust,
)
from tests.vi.posteriors import (
    COV,
    KEY,
    LOG_EVIDENCE,
    MEAN,
    NORMAL,
    ORIGIN,
    adam,
    numbers,
    settling,
)

pytestmark = pytest.mark.engine  # optax mixes integers and floats


def test_an_exact_guide_is_trusted_and_a_wide_one_corrected():
    mean = {"a": jnp.asarray(MEAN[:2]), "b": jnp.asarray(MEAN[2])}
    for stretch, slack in ((1.0, 0.02), (1.5, 0.1)):
        params = full_rank.from_factor(mean, stretch * jnp.linalg.cholesky(COV))
        report = trust.assess(KEY, params, guide=full_rank, log_density=NORMAL, num_draws=4000)
        assert report.is_done
        assert report.pareto_shape < 0.3
        np.testing.assert_allclose(report.log_evidence, LOG_EVIDENCE, atol=slack)
        np.testing.assert_allclose(numbers(report.mean), MEAN, atol=0.1)
        np.testing.assert_allclose(numbers(report.sd), np.sqrt(np.diag(COV)), rtol=0.05)


def test_a_narrow_guide_is_not_trusted():
    """Ratios of a normal to one of half its scale have hardly a mean, in ten dimensions."""
    density = Partial(lambda x: -(x**2).sum() / 2)
    params = mean_field.init(jnp.zeros(10), scale=0.5)
    report = trust.assess(KEY, params, guide=mean_field, log_density=density, num_draws=4000)
    assert report.status == Status.DIVERGED
    assert report.pareto_shape > trust.LIMIT


def test_ratios_without_a_number_are_said():
    start = mean_field.init(jnp.zeros(2))
    for value in (-jnp.inf, jnp.nan, jnp.inf):
        density = Partial(lambda v, x: v + 0 * x.sum(), jnp.asarray(value))
        report = trust.assess(KEY, start, guide=mean_field, log_density=density, num_draws=100)
        assert report.status == Status.NOT_FINITE
    with pytest.raises(ValueError, match=r"^trust.smooth: 20 log ratios, not at least 25"):
        trust.smooth(jnp.zeros(20))


def test_ratios_beyond_the_dtype_are_not_trusted():
    """Of ratios that all vanish beside a few, a tail cannot be fitted: that is not a light one."""
    noise = jax.random.normal(KEY, (100,))
    for log_ratios, wanted in (
        (300 * noise, jnp.inf),
        (jnp.where(jnp.arange(100) == 3, 0.0, -jnp.inf), jnp.inf),
        (0 * noise - 1e6, -jnp.inf),
    ):
        smoothed, shape = trust.smooth(log_ratios)
        assert shape == wanted
        np.testing.assert_array_equal(smoothed, log_ratios)
    assert 5 < trust.smooth(50 * noise)[1] < 20


def test_smoothing_lessens_the_error_of_heavy_ratios():
    """E of 1/u^0.6 is 2.5; over 400 repetitions the smoothed mean errs less."""
    log_ratios = -0.6 * jnp.log(jax.random.uniform(KEY, (400, 200)))
    smoothed = jax.vmap(lambda row: trust.smooth(row)[0])(log_ratios)
    plain, better = (
        np.sqrt(((np.exp(x).mean(axis=1) - 2.5) ** 2).mean()) for x in (log_ratios, smoothed)
    )
    assert better < 0.9 * plain


def test_resampling_takes_what_weighs():
    draws = {"x": jnp.arange(100.0)}
    log_ratios = jnp.where(jnp.arange(100) < 50, -jnp.inf, 0.0)
    picked = trust.resample(KEY, draws, log_ratios, num_draws=1000)["x"]
    assert picked.min() >= 50
    assert picked.shape == (1000,)


def test_particles_have_the_moments_of_a_normal():
    starts = jax.vmap(lambda k: mean_field.sample(k, mean_field.init(ORIGIN, scale=1.0))[0])(
        jax.random.split(KEY, 200)
    )
    positions, info = svgd.fit(starts, log_density=NORMAL, rule=adam(0.1), num_steps=1000)
    assert info.is_done
    np.testing.assert_allclose(numbers(positions).mean(axis=0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(numbers(positions).T), COV, atol=0.2)


def test_one_particle_climbs_to_the_mode():
    start = jax.tree.map(lambda leaf: leaf[None], ORIGIN)
    position, _ = svgd.fit(start, log_density=NORMAL, rule=settling(0.1, 500))
    np.testing.assert_allclose(numbers(position)[0], MEAN, atol=1e-2)


def test_particles_stay_where_a_slope_is_lost():
    for value, places in ((jnp.nan, [0.0, 1.0, 6.0]), (-jnp.inf, [6.0, 7.0, 8.0])):
        density = Partial(lambda v, x: jnp.where(x > 5, v, -(x**2) / 2), jnp.asarray(value))
        starts = jnp.array(places)
        positions, info = svgd.fit(starts, log_density=density, rule=adam(0.1), num_steps=5)
        assert info.status == Status.NOT_FINITE
        np.testing.assert_array_equal(positions, starts)
    with pytest.raises(ValueError, match=r"^svgd.step: positions have no particles"):
        svgd.fit(jnp.zeros((0, 2)), log_density=density, rule=adam(0.1))


def regression(n=40, p=3):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, p))
    return X, X @ np.arange(1, p + 1) + 0.5 * rng.normal(size=n)


def log_evidence(X, y):
    """Integrate over τ and α in two dimensions what is left when w is integrated out."""

    def joint(log_alpha, log_tau):
        alpha, tau = np.exp(log_alpha), np.exp(log_tau)
        cov = np.eye(len(y)) / tau + X @ X.T / alpha
        value = stats.multivariate_normal(np.zeros(len(y)), cov).logpdf(y)
        for number in (alpha, tau):
            value += stats.gamma(1e-3, scale=1e3).logpdf(number) + np.log(number)
        return np.exp(value + shift)

    shift = 60.0
    total = integrate.dblquad(joint, -2, 5, -8, 5, epsabs=0, epsrel=1e-4)[0]
    return np.log(total) - shift


VAGUE = {"noise": (1e-3, 1e-3), "prior": (1e-3, 1e-3)}


@pytest.mark.slow
def test_no_round_lowers_the_bound_and_it_is_below_the_evidence():
    X, y = regression()
    with jax.enable_x64(True):
        bounds = [
            float(coordinate_ascent.fit(X, y, max_steps=n, rtol=-1.0, **VAGUE)[1].elbo)
            for n in range(1, 9)
        ]
        state, info = coordinate_ascent.fit(X, y, **VAGUE)
    assert (np.diff(bounds) >= -1e-9).all()
    exact = log_evidence(X, y)
    assert exact - 0.5 < float(info.elbo) < exact
    mean, cov = (np.asarray(part) for part in (state.mean, state.cov))
    np.testing.assert_allclose(mean, np.linalg.lstsq(X, y)[0], atol=0.05)
    spread = np.sqrt(np.diag(cov))
    classic = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * ((y - X @ mean) ** 2).sum() / 40)
    np.testing.assert_allclose(spread, classic, rtol=0.1)


def test_there_may_be_more_columns_than_rows():
    X, y = regression(n=5, p=8)
    with jax.enable_x64(True):
        state, info = coordinate_ascent.fit(X, y, max_steps=5000)
        mean, variance = map(np.asarray, coordinate_ascent.predict(state, X))
        state = jax.tree.map(np.asarray, state)
    assert info.is_done
    assert np.isfinite(state.cov).all()
    assert (variance > 0).all()
    alpha, tau = (one.shape / one.rate for one in (state.prior, state.noise))
    S = np.linalg.inv(alpha * np.eye(8) + tau * X.T @ X)
    np.testing.assert_allclose(state.cov, S, rtol=1e-3)
    np.testing.assert_allclose(mean, X @ (tau * S @ X.T @ y), rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"noise": (0.0, 1.0)}, Status.BAD_INPUT),
        ({"prior": (1.0, -1.0)}, Status.BAD_INPUT),
        ({"max_steps": 1}, Status.OUT_OF_STEPS),
    ],
)
def test_what_cannot_end_well_says_so(change, status):
    X, y = (jnp.asarray(part, jnp.float32) for part in regression())
    assert coordinate_ascent.fit(X, y, **change)[1].status == status
    assert coordinate_ascent.fit(X, y.at[0].set(jnp.nan))[1].status == Status.NOT_FINITE


def test_units_of_rows_are_those_of_weights():
    X, y = (jnp.asarray(part, jnp.float32) for part in regression())
    state, _ = coordinate_ascent.fit(X, y)
    for x_unit, y_unit in ((1.0, 1e-6), (1.0, 1e6), (1e4, 1.0)):
        other, info = coordinate_ascent.fit(x_unit * X, y_unit * y)
        assert info.is_done
        unit = y_unit / x_unit
        np.testing.assert_allclose(other.mean, unit * state.mean, rtol=1e-4)
        np.testing.assert_allclose(other.cov, unit**2 * state.cov, rtol=1e-3, atol=1e-5 * unit**2)
    # Priors that say next to nothing in units of y, whatever the start.
    other, _ = coordinate_ascent.fit(X, 1e6 * y, **VAGUE)
    np.testing.assert_allclose(other.mean, 1e6 * state.mean, rtol=1e-3)


def counts(y):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("y", dist.Poisson(rate).expand([len(y)]).to_event(1), obs=y)


def test_numpyros_guide_finds_a_conjugate_posterior():
    y = jnp.array([3, 5, 4, 2, 6, 3])
    options = {"model": Partial(counts, y), "family": "mean_field"}
    params, info = numpyro_svi.fit(KEY, rule=settling(0.05, 2000), **options)
    draws = numpyro_svi.sample(KEY, params, num_samples=4000, **options)["rate"]
    shape, rate = 2 + 23, 1 + 6
    np.testing.assert_allclose(draws.mean(), shape / rate, rtol=0.03)
    np.testing.assert_allclose(draws.std(), np.sqrt(shape) / rate, rtol=0.1)
    log_evidence = special.gammaln(shape) - shape * np.log(rate) - special.gammaln(y + 1).sum()
    assert info.elbo[-500:].mean() < log_evidence
    np.testing.assert_allclose(info.elbo[-500:].mean(), log_evidence, atol=0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"family": "normal"}, "family is 'normal', not one of mean_field"),
        ({"num_steps": 2}, "num_steps is 2, not at least 8"),
        ({"num_draws": 0}, "num_draws is 0, not at least 1"),
    ],
)
def test_numpyros_guides_have_names(options, said):
    with pytest.raises(ValueError, match=f"^numpyro_svi.fit: {said}"):
        numpyro_svi.fit(KEY, model=Partial(counts, jnp.array([1])), rule=adam(0.1), **options)
