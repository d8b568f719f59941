"""The common families: scipy's numbers, supports, edges, draws, and one sentence per mistake."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from mastery_jax.probability import distributions
from mastery_jax.probability.families import FAMILIES
from tests.statistics import FALSE_ALARM

PARAMS = {
    "normal": ({"loc": 1.0, "scale": 2.0}, stats.norm(1, 2)),
    "laplace": ({"loc": 1.0, "scale": 2.0}, stats.laplace(1, 2)),
    "logistic": ({"loc": 1.0, "scale": 2.0}, stats.logistic(1, 2)),
    "cauchy": ({"loc": 1.0, "scale": 2.0}, stats.cauchy(1, 2)),
    "gumbel": ({"loc": 1.0, "scale": 2.0}, stats.gumbel_r(1, 2)),
    "log_normal": ({"loc": 0.3, "scale": 0.7}, stats.lognorm(0.7, scale=np.exp(0.3))),
    "student_t": ({"df": 4.5, "loc": 1.0, "scale": 2.0}, stats.t(4.5, 1, 2)),
    "half_normal": ({"scale": 2.0}, stats.halfnorm(scale=2)),
    "exponential": ({"rate": 2.0}, stats.expon(scale=0.5)),
    "gamma": ({"concentration": 2.5, "rate": 2.0}, stats.gamma(2.5, scale=0.5)),
    "weibull": ({"scale": 2.0, "concentration": 1.5}, stats.weibull_min(1.5, scale=2)),
    "beta": ({"concentration1": 2.5, "concentration0": 9.0}, stats.beta(2.5, 9)),
    "uniform": ({"low": -1.0, "high": 2.0}, stats.uniform(-1, 3)),
    "bernoulli": ({"probs": 0.3}, stats.bernoulli(0.3)),
    "binomial": ({"total_count": 7, "probs": 0.3}, stats.binom(7, 0.3)),
    "beta_binomial": (
        {"total_count": 17, "concentration1": 2.5, "concentration0": 1.2},
        stats.betabinom(17, 2.5, 1.2),
    ),
    "poisson": ({"rate": 3.5}, stats.poisson(3.5)),
    "gamma_poisson": ({"concentration": 2.5, "rate": 2.0}, stats.nbinom(2.5, 2 / 3)),
}
POINTS = np.array([-1.5, -1.0, 0.0, 0.5, 1.0, 2.0, 8.0, 30.0])
PROBS = np.array([1e-9, 0.2, 0.5, 0.77, 0.999, 1.0])
NO_CDF, NO_ENTROPY = {"beta_binomial"}, {"binomial", "beta_binomial", "poisson", "gamma_poisson"}
NO_QUANTILE = NO_CDF
CATEGORICAL = {"probs": np.array([0.25, 0.0, 0.75])}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def over(verb, family, points):
    params = PARAMS[family][0]
    return jax.vmap(lambda x: getattr(distributions, verb)(params, x, family=family))(points)


def test_every_scalar_family_is_held_against_scipy():
    assert {*FAMILIES} - {*PARAMS} == {"multivariate_normal", "dirichlet", "categorical"}


@pytest.mark.parametrize("family", PARAMS)
def test_densities_and_distribution_functions_are_scipys(family):
    """Also off the support, where a density is 0 and F is 0 or 1."""
    peer = PARAMS[family][1]
    log_prob = peer.logpmf if FAMILIES[family].is_discrete else peer.logpdf
    got = over("log_prob", family, POINTS)
    np.testing.assert_allclose(got, log_prob(POINTS), rtol=1e-10, atol=1e-12)
    if family not in NO_CDF:
        got = over("cdf", family, POINTS)
        np.testing.assert_allclose(got, peer.cdf(POINTS), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("family", sorted({*PARAMS} - NO_QUANTILE))
def test_quantiles_are_scipys_far_into_the_tail(family):
    got = over("quantile", family, PROBS)
    wanted = PARAMS[family][1].ppf(PROBS)
    if family == "half_normal":
        wanted = 2 * np.sqrt(2) * special.erfinv(PROBS)  # scipy's own loses half of its digits
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    assert jnp.isnan(over("quantile", family, jnp.array([-0.1, 1.1, jnp.nan]))).all()


@pytest.mark.parametrize("family", PARAMS)
def test_moments_and_entropies_are_scipys(family):
    params, peer = PARAMS[family]
    with np.errstate(invalid="ignore"):
        wanted = peer.mean(), peer.var()
    got = [getattr(distributions, verb)(params, family=family) for verb in ("mean", "variance")]
    np.testing.assert_allclose(got, wanted, rtol=1e-10)
    if family not in NO_ENTROPY:
        got = distributions.entropy(params, family=family)
        np.testing.assert_allclose(got, peer.entropy(), rtol=1e-10)


def p_value(draws, peer, *, is_discrete):
    """Return that of Kolmogorov and Smirnov; for counts that of Pearson, rare ones as one."""
    draws = np.asarray(draws, float)
    if not is_discrete:
        return stats.kstest(draws, peer.cdf).pvalue
    values = np.arange(draws.max() + 1)
    expected = len(draws) * peer.pmf(values)
    seen = (draws[None] == values[:, None]).sum(axis=1)
    common = expected >= 8
    rest = len(draws) - expected[common].sum(), len(draws) - seen[common].sum()
    expected, seen = (np.append(x[common], r) for x, r in zip((expected, seen), rest, strict=True))
    if expected[-1] < 1e-6:
        assert seen[-1] == 0
        expected, seen = expected[:-1], seen[:-1]
    return stats.chisquare(seen, expected, sum_check=False).pvalue


@pytest.mark.engine
@pytest.mark.parametrize("family", PARAMS)
def test_draws_follow_the_distribution(family):
    """At most 1e-6 false alarms a family."""
    params, peer = PARAMS[family]
    draws = distributions.sample(jax.random.key(4), params, family=family, shape=(1500,))
    assert p_value(draws, peer, is_discrete=FAMILIES[family].is_discrete) > FALSE_ALARM


@pytest.mark.parametrize(("family", "other"), [("exponential", 1.4), ("poisson", 4.2)])
def test_a_planted_bias_would_be_caught(family, other):
    draws = distributions.sample(jax.random.key(4), {"rate": other}, family=family, shape=(1500,))
    peer, is_discrete = PARAMS[family][1], FAMILIES[family].is_discrete
    assert p_value(draws, peer, is_discrete=is_discrete) < FALSE_ALARM


@pytest.mark.engine
def test_vectors_are_scipys():
    cov = np.array([[2.0, 0.6], [0.6, 1.0]])
    params = {"loc": np.array([1.0, -1.0]), "covariance_matrix": cov}
    family, peer = "multivariate_normal", stats.multivariate_normal([1, -1], cov)
    x = np.array([0.3, 0.4])
    np.testing.assert_allclose(distributions.log_prob(params, x, family=family), peer.logpdf(x))
    np.testing.assert_allclose(distributions.entropy(params, family=family), peer.entropy())
    draws = distributions.sample(jax.random.key(0), params, family=family, shape=(2000,))
    np.testing.assert_allclose(np.cov(draws.T), cov, atol=0.25)
    concentration = np.array([1.5, 0.7, 9.0])
    params, peer = {"concentration": concentration}, stats.dirichlet(concentration)
    x = np.array([0.2, 0.3, 0.5])
    got = distributions.log_prob(params, x, family="dirichlet")
    np.testing.assert_allclose(got, peer.logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(distributions.entropy(params, family="dirichlet"), peer.entropy())
    np.testing.assert_allclose(distributions.mean(params, family="dirichlet"), peer.mean())
    off = distributions.log_prob(params, np.array([0.2, 0.3, 0.6]), family="dirichlet")
    assert off == -jnp.inf


@pytest.mark.engine
def test_categories():
    log_probs = jax.vmap(lambda k: distributions.log_prob(CATEGORICAL, k, family="categorical"))
    wanted = [-np.inf, np.log(0.25), -np.inf, np.log(0.75), -np.inf]
    np.testing.assert_allclose(log_probs(jnp.arange(-1, 4)), wanted)
    cdf = jax.vmap(lambda x: distributions.cdf(CATEGORICAL, x, family="categorical"))
    np.testing.assert_allclose(cdf(jnp.array([-1.0, 0.0, 1.5, 2.0, 9.0])), [0, 0.25, 0.25, 1, 1])
    quantile = jax.vmap(lambda q: distributions.quantile(CATEGORICAL, q, family="categorical"))
    np.testing.assert_array_equal(quantile(jnp.array([0.0, 0.2, 0.25, 0.26, 1.0])), [0, 0, 0, 2, 2])
    draws = distributions.sample(jax.random.key(0), CATEGORICAL, family="categorical", shape=(999,))
    assert {*np.unique(draws)} == {0, 2}


@pytest.mark.parametrize(
    ("family", "params", "x", "wanted"),
    [
        ("bernoulli", {"probs": 0.0}, 1.0, -np.inf),
        ("bernoulli", {"probs": 0.0}, 0.0, 0.0),
        ("binomial", {"total_count": 5, "probs": 1.0}, 5.0, 0.0),
        ("binomial", {"total_count": 5, "probs": 0.5}, 2.5, -np.inf),
    ],
)
def test_certain_and_impossible_events_are_told(family, params, x, wanted):
    got = distributions.log_prob(params, x, family=family)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-15)
    slope = jax.grad(lambda p: distributions.log_prob({**params, "probs": p}, x, family=family))
    assert x == wanted == 0 or not jnp.isnan(slope(params["probs"]))


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("normal", {"loc": 0.0, "scale": -1.0}),
        ("gamma", {"concentration": 0.0, "rate": 1.0}),
        ("uniform", {"low": 1.0, "high": 1.0}),
        ("binomial", {"total_count": 2.5, "probs": 0.5}),
        ("categorical", {"probs": np.array([0.5, 0.6])}),
        ("poisson", {"rate": np.nan}),
    ],
)
def test_parameters_out_of_range_give_nan(family, params):
    assert jnp.isnan(distributions.log_prob(params, 1.0, family=family))
    assert jnp.isnan(distributions.mean(params, family=family))
    draw = distributions.sample(jax.random.key(0), params, family=family)
    assert draw == -1 if FAMILIES[family].is_discrete else jnp.isnan(draw)


def test_a_covariance_must_be_one():
    for cov in ([[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [-0.5, 1.0]]):
        params = {"loc": jnp.zeros(2), "covariance_matrix": jnp.array(cov)}
        value = distributions.log_prob(params, jnp.zeros(2), family="multivariate_normal")
        assert jnp.isnan(value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: distributions.log_prob({}, 0.0, family="norma"), "did you mean 'normal'?"),
        (lambda: distributions.log_prob({}, 0.0, family="xyz"), "not one it knows: normal, lap"),
        (
            lambda: distributions.log_prob({"loc": 0.0, "sd": 1.0}, 0.0, family="normal"),
            "'sd' is no parameter of normal, which takes loc, scale",
        ),
        (
            lambda: distributions.mean({"loc": 0.0}, family="normal"),
            "'scale' is missing; normal takes loc, scale",
        ),
        (
            lambda: distributions.mean({"loc": 0.0, "scale": jnp.ones(3)}, family="normal"),
            r"'scale' of normal has shape (3,), not ()",
        ),
        (
            lambda: distributions.mean(
                {"loc": jnp.zeros(2), "covariance_matrix": jnp.eye(3)}, family="multivariate_normal"
            ),
            "'covariance_matrix' of multivariate_normal has shape (3, 3), not (2, 2)",
        ),
        (
            lambda: distributions.log_prob({"rate": 1.0}, jnp.ones(2), family="poisson"),
            "the point has shape (2,), not ()",
        ),
        (
            lambda: distributions.cdf(PARAMS["beta_binomial"][0], 1.0, family="beta_binomial"),
            "family is 'beta_binomial', which has no cdf in closed form",
        ),
        (lambda: distributions.entropy({"rate": 1.0}, family="poisson"), "no entropy in closed"),
    ],
)
def test_mistakes_get_one_sentence(call, said):
    with pytest.raises(ValueError, match=rf"^distributions\..*{re.escape(said)}"):
        call()


@pytest.mark.parametrize("family", ["normal", "gamma", "cauchy", "half_normal"])
def test_quantile_undoes_cdf_and_its_slope_is_one_over_the_density(family):
    params = PARAMS[family][0]
    x = jnp.array(1.3)
    q = distributions.cdf(params, x, family=family)
    np.testing.assert_allclose(distributions.quantile(params, q, family=family), x, rtol=1e-12)
    slope = jax.grad(lambda q: distributions.quantile(params, q, family=family))(q)
    density = jnp.exp(distributions.log_prob(params, x, family=family))
    np.testing.assert_allclose(slope * density, 1, rtol=1e-9)


@pytest.mark.engine
def test_single_precision_stays_single():
    params = {"concentration": jnp.array(2.5, "float32"), "rate": jnp.array(2.0, "float32")}
    for x in (jnp.array(0.4, "float32"), 0.4):
        for verb in ("log_prob", "cdf", "quantile"):
            assert getattr(distributions, verb)(params, x, family="gamma").dtype == "float32"
    assert distributions.sample(jax.random.key(0), params, family="gamma").dtype == "float32"


def test_quantiles_near_the_median_keep_their_digits_and_slopes():
    t = {"df": jnp.float32(5), "loc": jnp.float32(0), "scale": jnp.float32(1)}
    for q in np.float32([0.50001, 0.5001, 0.49, 0.9]):
        found = distributions.quantile(t, q, family="student_t")
        np.testing.assert_allclose(found, stats.t.ppf(np.float64(q), 5), rtol=1e-5)
    for family, slope in (("laplace", 2.0), ("cauchy", np.pi)):
        params = {"loc": jnp.float32(0), "scale": jnp.float32(1)}
        of = lambda q, p=params, f=family: distributions.quantile(p, q, family=f)  # noqa: E731
        np.testing.assert_allclose(jax.grad(of)(jnp.float32(0.5)), slope, rtol=1e-5)
