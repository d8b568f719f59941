"""The common families at large shapes, far tails, infinite points, and in half precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mastery_jax.probability import distributions, information

STANDARD = {"loc": 0.0, "scale": 1.0}


def as_float(dtype, **params):
    return {name: jnp.asarray(value, dtype) for name, value in params.items()}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize(
    ("family", "params", "x", "wanted"),
    [
        ("poisson", {"rate": 1e6}, 1e6, stats.poisson(1e6).cdf(1e6)),
        ("poisson", {"rate": 1e6}, 995_000.0, stats.poisson(1e6).cdf(995_000)),
        ("binomial", {"total_count": 3e5, "probs": 0.5}, 1.5e5, stats.binom(3e5, 0.5).cdf(1.5e5)),
        # 1/2 + p(n/2)/2, and of the second half of p(n/2) by the symmetry k <-> a − 1
        ("binomial", {"total_count": 1e8, "probs": 0.5}, 5e7, 0.5 + 0.5 / np.sqrt(np.pi * 5e7)),
        ("gamma_poisson", {"concentration": 1e8, "rate": 1.0}, 1e8, 0.5 + 1 / np.sqrt(np.pi * 4e8)),
        ("beta", {"concentration1": 1e5, "concentration0": 1e5}, 0.5, 0.5),
    ],
)
def test_distribution_functions_of_large_counts(dtype, family, params, x, wanted):
    got = distributions.cdf(as_float(dtype, **params), jnp.asarray(x, dtype), family=family)
    np.testing.assert_allclose(got, wanted, rtol=2e-6 if dtype == "float32" else 2e-9)


@pytest.mark.parametrize(
    ("family", "params", "x", "wanted"),
    [
        ("poisson", {"rate": 1e7}, 1e7, -np.log(2 * np.pi * 1e7) / 2 - 1 / 12e7),
        ("poisson", {"rate": 1e-30}, 1.0, np.log(1e-30)),
        ("binomial", {"total_count": 1e7, "probs": 0.5}, 5e6, -np.log(np.pi * 5e6) / 2 - 0.25e-7),
        ("binomial", {"total_count": 4, "probs": 1e-20}, 3.0, np.log(4) + 60 * np.log(0.1)),
        (
            "beta_binomial",
            {"total_count": 10, "concentration1": 1e6, "concentration0": 1e6},
            5.0,
            stats.betabinom(10, 1e6, 1e6).logpmf(5),
        ),
        (
            "gamma_poisson",
            {"concentration": 1e6, "rate": 1.0},
            1e6,
            -np.log(np.pi * 4e6) / 2 - 1 / 8e6,
        ),
        ("gamma_poisson", {"concentration": 2.0, "rate": 1e-12}, 0.0, 2 * np.log(1e-12)),
        (
            "beta",
            {"concentration1": 1e5, "concentration0": 1e5},
            0.5,
            stats.beta(1e5, 1e5).logpdf(0.5),
        ),
        ("gamma", {"concentration": 1e5, "rate": 1.0}, 1e5, stats.gamma(1e5).logpdf(1e5)),
        ("student_t", {"df": 1e7, **STANDARD}, 0.0, -np.log(2 * np.pi) / 2 - 0.25e-7),
        ("student_t", {"df": 1.0, **STANDARD}, 1e20, stats.cauchy.logpdf(1e20)),
        ("cauchy", STANDARD, 1e20, stats.cauchy.logpdf(1e20)),
    ],
)
def test_log_probabilities_of_large_counts_and_far_tails(dtype, family, params, x, wanted):
    got = distributions.log_prob(as_float(dtype, **params), jnp.asarray(x, dtype), family=family)
    np.testing.assert_allclose(got, wanted, rtol=2e-6 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize(
    ("family", "params", "wanted"),
    [
        ("beta", {"concentration1": 1e6, "concentration0": 1e6}, stats.beta(1e6, 1e6).entropy()),
        ("gamma", {"concentration": 1e6, "rate": 1.0}, stats.gamma(1e6).entropy()),
        ("student_t", {"df": 1e7, **STANDARD}, stats.norm.entropy() + 1e-7),
        ("dirichlet", {"concentration": [1e6, 2e6]}, stats.beta(1e6, 2e6).entropy()),
    ],
)
def test_entropies_of_large_shapes(dtype, family, params, wanted):
    got = distributions.entropy(as_float(dtype, **params), family=family)
    np.testing.assert_allclose(got, wanted, rtol=2e-6 if dtype == "float32" else 1e-8)


def test_a_dirichlet_of_two_large_shapes_is_a_beta(dtype):
    x = jnp.asarray(0.3333, dtype)
    shapes = as_float(dtype, concentration1=1e5, concentration0=2e5)
    vector = {"concentration": jnp.stack([shapes["concentration1"], shapes["concentration0"]])}
    got = distributions.log_prob(vector, jnp.stack([x, 1 - x]), family="dirichlet")
    wanted = distributions.log_prob(shapes, x, family="beta")
    np.testing.assert_allclose(got, wanted, atol=2e-2 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("family", ["gumbel", "logistic", "normal", "laplace", "cauchy"])
@pytest.mark.parametrize("x", [-np.inf, np.inf])
def test_nothing_is_dense_at_infinity(family, x):
    assert distributions.log_prob(STANDARD, x, family=family) == -jnp.inf
    assert distributions.cdf(STANDARD, x, family=family) == float(x > 0)
    assert distributions.survival(STANDARD, x, family=family) == float(x < 0)


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("gamma", {"concentration": 2.0, "rate": 1.0}),
        ("weibull", {"concentration": 2.0, "scale": 1.0}),
        ("half_normal", {"scale": 1.0}),
    ],
)
def test_nor_of_a_positive_one(family, params):
    assert distributions.log_prob(params, jnp.inf, family=family) == -jnp.inf
    assert distributions.cdf(params, jnp.inf, family=family) == 1
    assert distributions.survival(params, jnp.inf, family=family) == 0


@pytest.mark.parametrize(
    ("family", "params", "peer"),
    [
        ("normal", STANDARD, stats.norm()),
        ("laplace", STANDARD, stats.laplace()),
        ("logistic", STANDARD, stats.logistic()),
        ("gumbel", STANDARD, stats.gumbel_r()),
        ("cauchy", STANDARD, stats.cauchy()),
        ("log_normal", STANDARD, stats.lognorm(1)),
        ("student_t", {"df": 3.0, **STANDARD}, stats.t(3)),
        ("weibull", {"scale": 1.0, "concentration": 1.5}, stats.weibull_min(1.5)),
        ("half_normal", {"scale": 1.0}, stats.halfnorm()),
        ("exponential", {"rate": 1.0}, stats.expon()),
        ("gamma", {"concentration": 2.5, "rate": 1.0}, stats.gamma(2.5)),
        ("beta", {"concentration1": 2.5, "concentration0": 1.5}, stats.beta(2.5, 1.5)),
    ],
)
def test_both_tails_keep_their_digits(family, params, peer):
    """In single precision, at a probability of 1e-9: 1 − F would have none."""
    params = as_float("float32", **params)
    low = jnp.float32(peer.ppf(1e-9))
    below = distributions.cdf(params, low, family=family)
    np.testing.assert_allclose(below, peer.cdf(np.float64(low)), rtol=2e-5)
    high = jnp.float32(peer.isf(1e-5 if family == "beta" else 1e-9))
    above = distributions.survival(params, high, family=family)
    np.testing.assert_allclose(above, peer.sf(np.float64(high)), rtol=2e-5)


def test_student_t_near_its_center_and_far_out(dtype):
    params = as_float(dtype, df=5.0, **STANDARD)
    of = lambda x: distributions.cdf(params, x, family="student_t")  # noqa: E731
    for x in np.asarray([1e-4, 3e-4, -2e-3], dtype):
        np.testing.assert_allclose(of(x) - 0.5, stats.t.cdf(x, 5) - 0.5, rtol=2e-3)
    slope = jax.grad(of)(jnp.zeros((), dtype))
    np.testing.assert_allclose(slope, stats.t.pdf(0, 5), rtol=2e-6)
    heavy = as_float(dtype, df=0.2, **STANDARD)
    far = distributions.cdf(heavy, jnp.asarray(-1e20, dtype), family="student_t")
    np.testing.assert_allclose(far, stats.t.cdf(-1e20, 0.2), rtol=1e-5)
    q = np.asarray(1e-5, dtype)
    found = distributions.quantile(heavy, q, family="student_t")
    np.testing.assert_allclose(found, stats.t.ppf(np.float64(q), 0.2), rtol=1e-4)


def test_the_upper_tail_of_a_gamma_is_inverted_by_itself(dtype):
    q = np.asarray(0.999999 if dtype == "float32" else 1 - 1e-14, dtype)
    found = distributions.quantile(as_float(dtype, concentration=2.0, rate=1.0), q, family="gamma")
    upper = 1 - np.float64(q)
    np.testing.assert_allclose(found, stats.gamma.isf(upper, 2), rtol=1e-6)


def test_quantiles_of_counts_are_scipys():
    with jax.enable_x64(True):
        qs = jnp.array([0.0, 1e-9, 0.3, 0.5, 0.999, 1 - 1e-12])
        large = {"rate": 1e6}, {"total_count": 1e8, "probs": 0.5}
        mixed = {"concentration": 2.5, "rate": 0.02}
        for family, params, peer in (
            ("poisson", large[0], stats.poisson(1e6)),
            ("binomial", large[1], stats.binom(1e8, 0.5)),
            ("gamma_poisson", mixed, stats.nbinom(2.5, 0.02 / 1.02)),
        ):
            of = lambda q, p=params, f=family: distributions.quantile(p, q, family=f)  # noqa: E731
            got = jax.vmap(of)(qs)
            np.testing.assert_array_equal(got[1:], peer.ppf(qs)[1:])
            assert got[0] == 0 or peer.cdf(got[0]) == 0


FAMILIES = [
    ("gamma", {"concentration": 2.0, "rate": 1.5}),
    ("beta", {"concentration1": 2.0, "concentration0": 3.0}),
    ("student_t", {"df": 5.0, "loc": 0.0, "scale": 1.0}),
]


@pytest.mark.parametrize(("family", "params"), FAMILIES)
def test_quantiles_have_a_second_derivative(family, params):
    """Q' = 1/f and Q'' = −f'/f³."""
    with jax.enable_x64(True):
        of = lambda q: distributions.quantile(params, q, family=family)  # noqa: E731
        density = lambda x: jnp.exp(distributions.log_prob(params, x, family=family))  # noqa: E731
        q = 0.3
        x = of(q)
        np.testing.assert_allclose(jax.grad(of)(q), 1 / density(x), rtol=1e-11)
        bend = -jax.grad(density)(x) / density(x) ** 3
        np.testing.assert_allclose(jax.grad(jax.grad(of))(q), bend, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "params"), FAMILIES)
def test_cdf_and_quantile_have_derivatives_by_the_shapes(family, params):
    with jax.enable_x64(True):
        name, step = next(iter(params)), 1e-5
        for verb, at in (("cdf", 0.7), ("quantile", 0.3)):

            def of(shape, *, verb=verb, at=at):
                call = getattr(distributions, verb)
                return call({**params, name: shape}, at, family=family)

            value = params[name]
            difference = (of(value + step) - of(value - step)) / (2 * step)
            np.testing.assert_allclose(jax.grad(of)(value), difference, rtol=1e-7)


@pytest.mark.parametrize("k", [0.0, 4.0])
def test_slopes_of_a_binomial_at_certainty(k):
    of = lambda p: distributions.cdf({"total_count": 5, "probs": p}, k, family="binomial")  # noqa: E731
    assert jax.grad(of)(0.0) == (-5 if k == 0 else 0)
    assert jax.grad(of)(1.0) == (-5 if k == 4 else 0)


def test_laplace_rises_at_its_location_as_on_both_sides():
    slope = jax.grad(lambda x: distributions.cdf(STANDARD, x, family="laplace"))(0.0)
    assert slope == 0.5


def test_there_is_no_mean_without_tails_that_have_one():
    for df, is_there in ((0.5, False), (1.0, False), (1.5, True)):
        mean = distributions.mean({"df": df, **STANDARD}, family="student_t")
        assert jnp.isnan(mean) != is_there


@pytest.mark.engine
def test_draws_that_int32_cannot_hold_are_told(dtype):
    for rate, is_told in ((1e9, False), (3e9, True), (1e12, True)):
        draw = distributions.sample(jax.random.key(0), as_float(dtype, rate=rate), family="poisson")
        assert (draw == -1) == is_told


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_half_precision_is_computed_in_single(half):
    shapes = as_float(half, concentration1=2.0, concentration0=2.0)
    x = jnp.asarray(0.3, half)
    got = distributions.log_prob(shapes, x, family="beta")
    assert got.dtype == half
    np.testing.assert_allclose(np.float64(got), stats.beta(2, 2).logpdf(0.3), rtol=0.02)
    normal = as_float(half, **STANDARD)
    for verb, wanted in (("cdf", stats.norm.cdf(0.3)), ("quantile", stats.norm.ppf(0.3))):
        got = getattr(distributions, verb)(normal, x, family="normal")
        assert got.dtype == half
        np.testing.assert_allclose(np.float64(got), wanted, rtol=0.01)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_a_softmax_of_half_precision_is_a_distribution(half):
    logits = 2 * jax.random.normal(jax.random.key(0), (500, 50), half)
    rows = jax.nn.softmax(logits)
    assert jax.vmap(information.is_distribution)(rows).all()
    assert not information.is_distribution(rows[0] * jnp.asarray(1.05, half))
    codes = jax.vmap(lambda p: distributions.log_prob({"probs": p}, 3.0, family="categorical"))
    np.testing.assert_allclose(codes(rows), jnp.log(rows[:, 3]), rtol=0.02)
