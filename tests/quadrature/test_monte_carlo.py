"""The rules that draw points: their answers, their error bars, and what they refuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature.monte_carlo import (
    antithetic,
    control_variates,
    importance,
    pareto_tail,
    plain,
    quasi,
    stratified,
    vegas,
)
from tests.statistics import FALSE_ALARM

KEY = jax.random.key(7)
ZERO, ONE = jnp.zeros(2), jnp.ones(2)
BOXED = {
    "plain": (plain, {"num_samples": 4096}),
    "antithetic": (antithetic, {"num_samples": 4096}),
    "stratified": (stratified, {"num_samples": 4096}),
    "quasi": (quasi, {"num_samples": 4096}),
    "vegas": (vegas, {"num_samples": 5120}),
}
# Programs take seconds to compile: two rules stand for all in the quick run.
QUICK = ("plain", "quasi")
RULES = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in BOXED]


def bump(rate, x):
    return jnp.exp(-rate * ((x - 0.3) ** 2).sum())


def bump_integral(rate):
    reach = math.erf(0.7 * math.sqrt(rate)) + math.erf(0.3 * math.sqrt(rate))
    return (math.sqrt(math.pi / rate) / 2 * reach) ** 2


def run(name, fn=None, lower=ZERO, upper=ONE, key=KEY, **changes):
    rule, options = BOXED[name]
    fn = Partial(bump, jnp.array(3.0)) if fn is None else fn
    return rule.integrate(key, fn, lower, upper, **{**options, **changes})


def assert_mean(draws, expected):
    """Insist that independent draws average to ``expected``, at a false alarm in 1e6."""
    error = draws.std(ddof=1) / math.sqrt(len(draws))
    limit = stats.t.isf(FALSE_ALARM / 2, len(draws) - 1)
    assert abs(draws.mean() - expected) < limit * error, (draws.mean(), error, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_estimates_are_unbiased_and_a_bias_is_seen(name):
    keys = jax.random.split(KEY, 200)
    draws = np.asarray(jax.vmap(lambda key: run(name, key=key)[0])(keys), np.float64)
    # VEGAS weighs iterations by errors that it estimates: a bias of order 1/n is left to it.
    truth = draws.mean() if name == "vegas" else bump_integral(3.0)
    assert abs(truth / bump_integral(3.0) - 1) < 1e-3
    assert_mean(draws, truth)
    with pytest.raises(AssertionError):
        assert_mean(draws, truth + 8 * draws.std() / math.sqrt(len(draws)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "antithetic", "stratified", "quasi"])
def test_the_error_bar_is_the_spread_of_estimates(name):
    keys = jax.random.split(KEY, 300)
    draws, info = jax.vmap(lambda key: run(name, key=key))(keys)
    said = float(jnp.sqrt(jnp.mean(info.std_error**2)))
    assert 0.85 < said / float(draws.std()) < 1.18  # 4 deviations of a ratio over 300 draws


@pytest.mark.slow
def test_the_error_bar_of_the_hash_holds_over_many_chunks():
    keys = jax.random.split(KEY, 400)
    options = {"num_samples": 2**13, "generator": "hash", "max_bytes": 2**14}
    draws, info = jax.vmap(lambda key: run("plain", key=key, **options))(keys)
    assert_mean(np.asarray(draws, np.float64), bump_integral(3.0))
    assert 0.87 < float(info.std_error.mean() / draws.std()) < 1.16


@pytest.mark.parametrize("name", RULES)
def test_reversed_bounds_change_the_sign(name):
    forward, _ = run(name)
    backward, info = run(name, lower=jnp.array([1.0, 0.0]), upper=jnp.array([0.0, 1.0]))
    assert float(backward) == pytest.approx(-float(forward), rel=0.05)
    assert info.status == Status.CONVERGED


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_infinite_bounds_are_mapped(name):
    fn = Partial(lambda x: jnp.exp(-(x[0] ** 2) - jnp.abs(x[1])))
    estimate, info = run(name, fn, jnp.array([-jnp.inf, -jnp.inf]), jnp.array([jnp.inf, 0.0]))
    assert abs(estimate - math.sqrt(math.pi)) < 6 * info.std_error + 1e-4
    assert info.std_error < 0.1


@pytest.mark.parametrize("name", RULES)
def test_bad_values_have_a_status(name):
    nan = jnp.array([0.0, jnp.nan])
    estimate, info = run(name, lower=nan)
    assert jnp.isnan(estimate)
    assert info.status == Status.BAD_INPUT
    same = jnp.full(2, jnp.inf)
    assert run(name, lower=same, upper=same)[1].status == Status.BAD_INPUT
    fn = Partial(lambda x: jnp.where(x[0] < 0.5, jnp.nan, 1.0))
    assert run(name, fn)[1].status == Status.NOT_FINITE
    estimate, info = run(name, lower=ONE)  # an empty box
    assert (estimate, info.std_error, info.status) == (0, 0, Status.CONVERGED)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("plain", {"num_samples": 0}, "plain.integrate: num_samples is 0, not at least 2"),
        ("plain", {"num_samples": 2**31}, "num_samples is 2147483648, not at most 2147483647"),
        ("plain", {"max_bytes": 10}, "plain.integrate: max_bytes is 10, not at least 120"),
        ("plain", {"generator": "mt"}, "generator is 'mt', not 'threefry' or 'hash'"),
        ("antithetic", {"num_samples": 7}, "num_samples is 7, not even and at least 4"),
        ("stratified", {"num_samples": 1}, "num_samples is 1, not at least 2"),
        ("quasi", {"num_samples": 1000}, r"1000, not num_randomizations \(16\) times a power"),
        ("quasi", {"num_samples": 0}, "num_samples is 0, not num_randomizations"),
        ("quasi", {"num_randomizations": 1}, "num_randomizations is 1, not at least 2"),
        ("quasi", {"points": "hammersley"}, "points is 'hammersley', not one of"),
        ("vegas", {"num_samples": 5121}, "num_samples is 5121, not a multiple of num_iterations"),
        ("vegas", {"num_iterations": 5}, "num_iterations is 5, not at least num_warmup"),
        ("vegas", {"num_bins": 1}, "num_bins is 1, not at least 2"),
    ],
)
def test_bad_arguments_are_refused_by_name(name, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(name, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_slopes_with_respect_to_data(name):
    def integral(rate):
        return run(name, Partial(bump, rate))[0]

    step = 1e-4
    slope = (bump_integral(3 + step) - bump_integral(3 - step)) / (2 * step)
    assert float(jax.grad(integral)(jnp.array(3.0))) == pytest.approx(slope, rel=0.15)


@pytest.mark.slow
def test_slopes_with_respect_to_a_bound_are_the_face():
    fn = Partial(lambda x: x[0] ** 2 * x[1])
    slope = jax.grad(lambda upper: quasi.integrate(KEY, fn, ZERO, upper, num_samples=4096)[0])(ONE)
    np.testing.assert_allclose(slope, [1 / 2, 1 / 3], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "antithetic", "stratified", "quasi"])
def test_arrays_are_integrated_entry_by_entry(name):
    fn = Partial(lambda x: jnp.stack([x, x**2]))
    estimate, info = run(name, fn)
    assert info.std_error.shape == (2, 2)
    np.testing.assert_allclose(estimate, [[1 / 2] * 2, [1 / 3] * 2], atol=0.03)


def test_antithetic_points_know_an_odd_function():
    _, info = run("antithetic", Partial(lambda x: 2 + (x - 0.5).sum() ** 3))
    assert info.std_error < 1e-6


@pytest.mark.slow
def test_strata_spend_at_most_what_they_are_given():
    for num_samples, num_dims in ((2, 3), (15, 3), (16, 3), (127, 1), (2 * 5**4, 4)):
        box = jnp.zeros(num_dims), jnp.ones(num_dims)
        fn = Partial(lambda x: x.sum())
        _, info = stratified.integrate(KEY, fn, *box, num_samples=num_samples)
        cells = info.num_evals / 2
        assert info.num_evals <= num_samples < 2 * (cells ** (1 / num_dims) + 1.001) ** num_dims


def test_a_control_explains_itself_and_dependent_ones_are_singular():
    fn, half = Partial(lambda x: jnp.exp(x[0])), jnp.array([0.5])
    options = {"num_samples": 2000}
    alone = plain.integrate(KEY, fn, ZERO, ONE, **options)[1].std_error
    estimate, info = control_variates.integrate(
        KEY, fn, ZERO, ONE, controls=Partial(lambda x: x[:1]), integrals=half, **options
    )
    assert info.std_error < 0.15 * alone
    assert abs(estimate - (math.e - 1)) < 5 * info.std_error
    assert float(info.coefficients[0]) == pytest.approx(1.69, abs=0.05)  # 12 cov(x, e^x)
    twice = Partial(lambda x: jnp.stack([x[0], 3 * x[0]]))
    for controls in (twice, Partial(lambda x: jnp.stack([x[0], jnp.ones_like(x[0])]))):
        estimate, info = control_variates.integrate(
            KEY, fn, ZERO, ONE, controls=controls, integrals=jnp.array([0.5, 1.5]), **options
        )
        assert info.status == Status.SINGULAR
        assert jnp.isnan(estimate)
    with pytest.raises(ValueError, match="num_samples is 3, not at least 4, three more"):
        control_variates.integrate(
            KEY, fn, ZERO, ONE, controls=twice, integrals=half, num_samples=3
        )


def normal(scale):
    """Return a proposal on the line."""
    return {
        "sample": Partial(lambda s, key: s * jax.random.normal(key, (1,)), jnp.array(scale)),
        "log_density": Partial(
            lambda s, x: -(x[0] ** 2) / (2 * s**2) - jnp.log(s * jnp.sqrt(2 * jnp.pi)),
            jnp.array(scale),
        ),
    }


LINE = -jnp.full(1, jnp.inf), jnp.full(1, jnp.inf)
BELL = Partial(lambda x: jnp.exp(-(x[0] ** 2) / 2))


def test_a_narrow_proposal_is_seen_in_the_tail_of_its_weights():
    shapes = {}
    for scale in (1.5, 0.4):
        estimate, info = importance.integrate(KEY, BELL, *LINE, num_samples=20_000, **normal(scale))
        shapes[scale] = float(info.pareto_shape)
        if scale > 1:
            assert abs(estimate - math.sqrt(2 * math.pi)) < 5 * info.std_error
            assert info.effective_size > 10_000
    assert shapes[1.5] < 0.2
    assert shapes[0.4] > 0.7


@pytest.mark.parametrize("hidden", [True, False])
def test_a_proposal_of_zero_is_infeasible(hidden):
    """``hidden``: the sampler never goes where its density is zero."""
    uniform = {
        "sample": Partial(lambda key: jax.random.uniform(key, (1,)) / (2 if hidden else 1)),
        "log_density": Partial(lambda x: jnp.where(x[0] < 0.5, jnp.log(2.0), -jnp.inf)),
    }
    box = jnp.zeros(1), jnp.ones(1)
    num_probes = 64 if hidden else 1
    _, info = importance.integrate(
        KEY, BELL, *box, num_samples=100, num_probes=num_probes, **uniform
    )
    assert info.status == Status.INFEASIBLE
    inside = Partial(lambda x: jnp.where(x[0] < 0.5, 1.0, 0.0))  # needs no proposal elsewhere
    estimate, info = importance.integrate(KEY, inside, *box, num_samples=100, **uniform)
    assert info.status == Status.CONVERGED
    assert hidden is False or float(estimate) == pytest.approx(0.5)


@pytest.mark.slow
def test_self_normalized_weights_need_no_constants():
    options = {"num_samples": 4000, "log_target": Partial(lambda x: 50 - (x[0] - 1) ** 2 / 2)}
    square = Partial(lambda x: x[0] ** 2)
    estimate, info = importance.expectation(KEY, square, **options, **normal(2.0))
    assert abs(estimate - 2) < 5 * info.std_error
    keys = jax.random.split(KEY, 200)
    draws, infos = jax.vmap(
        lambda key: importance.expectation(key, square, **options, **normal(2.0))
    )(keys)
    assert 0.8 < float(infos.std_error.mean() / draws.std()) < 1.25
    nowhere = {**options, "log_target": Partial(lambda x: -jnp.inf + 0 * x[0])}
    _, info = importance.expectation(KEY, square, **nowhere, **normal(2.0))
    assert info.status == Status.NOT_FINITE


@pytest.mark.parametrize("shape", [0.2, 0.9])
def test_the_tail_of_a_pareto_is_found(shape):
    draws = stats.genpareto(shape).rvs(2000, random_state=0)
    found = pareto_tail.fit(jnp.asarray(draws))
    assert float(found.shape) == pytest.approx(shape, abs=0.12)
    assert float(found.scale) == pytest.approx(1, abs=0.12)


def test_a_tail_too_long_for_the_dtype_is_not_called_light():
    steep = jnp.exp(-3 * jnp.arange(100.0))
    assert float(pareto_tail.fit(steep).shape) == jnp.inf
    ties = jnp.repeat(jnp.array([0.0, 1.0]), 50)  # weights of 1 and 2
    assert float(pareto_tail.fit(ties, limit=1.0).shape) < 0.7
