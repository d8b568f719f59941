"""The particle filter: exact in the limit, unbiased before it, and never silent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import stats as densities
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.inference.filtering import additive_noise, kalman, nonlinear, particle
from tests.nonlinear_filtering.models import as_functions, linear, radar

STATE, MODEL, _, _, SEEN = linear(3, n=2, m=2, num_steps=6)
MODEL = MODEL._replace(emission_cov=4 * MODEL.emission_cov)
FUNCTIONS = as_functions(MODEL)
YS = nonlinear.simulate(jax.random.key(9), STATE, model=FUNCTIONS, num_steps=6).observations
PARTICLES = additive_noise.model_of(FUNCTIONS)
GUIDE = additive_noise.guide(FUNCTIONS)
KEYS = jax.random.split(jax.random.key(0), 400)


def start(key, num, state=STATE):
    draws = jax.random.multivariate_normal(key, state.mean, state.cov, (num,))
    return particle.init(draws)


def many(num, keys=KEYS, model=PARTICLES, ys=YS, **options):
    def one(key):
        first, key = jax.random.split(key)
        return particle.filter(key, start(first, num), ys, model=model, **options)

    return jax.jit(lambda keys: jax.lax.map(one, keys))(keys)


def standard_errors(draws, expected):
    """Return how many standard errors the mean of draws is from what is expected."""
    draws = np.asarray(draws, np.float64)
    return (draws.mean(axis=0) - expected) / (draws.std(axis=0, ddof=1) / np.sqrt(len(draws)))


@pytest.mark.parametrize("proposal", [None, GUIDE], ids=["bootstrap", "guided"])
@pytest.mark.parametrize("is_observed", [None, SEEN], ids=["all", "in part"])
@pytest.mark.slow
def test_means_and_covariances_approach_those_of_kalman(proposal, is_observed):
    """Errors shrink as 1/√n; at n = 4000 the mean of 50 runs has 0.1 % of a deviation to go."""
    exact, _ = kalman.filter(STATE, YS, model=MODEL, is_observed=is_observed)
    spread = np.sqrt(np.diagonal(exact.cov, axis1=1, axis2=2))
    errors = {}
    for num in (250, 4000):
        found, _ = many(num, KEYS[:50], proposal=proposal, is_observed=is_observed)
        away = (np.asarray(found.mean) - np.asarray(exact.mean)) / spread
        errors[num] = np.sqrt((away**2).mean())
        if num == 4000:
            limit = stats.t.isf(1e-6 / 2 / away[0].size, df=49)
            assert abs(standard_errors(found.mean, np.asarray(exact.mean))).max() < limit
            apart = abs(np.asarray(found.cov).mean(axis=0) - np.asarray(exact.cov)).max()
            assert apart < 0.02 * float(abs(exact.cov).max())
    assert 2.5 < errors[250] / errors[4000] < 6  # 4


@pytest.mark.parametrize("scheme", ["systematic", "stratified", "residual", "multinomial"])
@pytest.mark.parametrize(
    "options",
    [
        {"ess_fraction": 0.25},
        {"proposal": GUIDE, "ess_fraction": 0.9},
        {"is_observed": SEEN, "ess_fraction": 0.5},
    ],
    ids=["bootstrap", "guided", "in part"],
)
@pytest.mark.slow
def test_the_likelihood_is_unbiased(scheme, options):
    info = kalman.filter(STATE, YS, model=MODEL, is_observed=options.get("is_observed"))[1]
    found = many(50, scheme=scheme, **options)[1]
    ratio = jnp.exp((found.log_likelihood - info.log_likelihood[None]).sum(axis=1))
    assert abs(standard_errors(ratio, 1)) < 4
    assert 0.05 < found.is_resampled[:, 1:].mean() < 0.95  # both branches have been taken


def test_weights_that_are_overwritten_bias_it():
    """What was seen while nobody was drawn anew must not be forgotten."""

    def one(key):
        first, key = jax.random.split(key)

        def step(key, state, y):
            state, info = particle.step(key, state, y, model=PARTICLES, ess_fraction=0.0)
            return particle.init(state.particles), info.log_likelihood

        keys = jax.random.split(key, len(YS))
        state = start(first, 2000)
        return jax.lax.scan(lambda s, now: step(now[0], s, now[1]), state, (keys, YS))[1].sum()

    exact = kalman.filter(STATE, YS, model=MODEL)[1].log_likelihood.sum()
    ratio = jnp.exp(jax.jit(lambda keys: jax.lax.map(one, keys))(KEYS[:100]) - exact)
    assert abs(standard_errors(ratio, 1)) > 4


def test_a_proposal_that_looks_at_y_finds_what_is_rare():
    precise = FUNCTIONS._replace(emission_cov=1e-3 * FUNCTIONS.emission_cov)
    model, guide = additive_noise.model_of(precise), additive_noise.guide(precise)
    blind = many(200, KEYS[:100], model=model)[1]
    aimed = many(200, KEYS[:100], model=model, proposal=guide)[1]
    spread = [np.std(info.log_likelihood.sum(axis=1)) for info in (blind, aimed)]
    assert spread[0] > 5 * spread[1]
    assert aimed.effective_size.mean() > 5 * blind.effective_size.mean()


def volatility(level, key, x):
    return 0.9 * x + level * jax.random.normal(key, x.shape, x.dtype)


def log_volatility(x, y):
    return densities.norm.logpdf(y[0], 0, jnp.exp(x[0] / 2))


def test_what_is_not_gaussian_agrees_with_a_sum_over_a_grid():
    """Stochastic volatility: y ~ N(0, eˣ), of which no Gaussian filter learns anything."""
    ys = jnp.array([[0.3], [-2.5], [1.9], [0.1], [0.0], [4.0]])
    model = particle.Model(Partial(volatility, jnp.array(0.8)), Partial(log_volatility))
    grid = np.linspace(-12, 12, 3001)
    move = stats.norm.pdf(grid[:, None], 0.9 * grid[None, :], 0.8) * (grid[1] - grid[0])
    weights, log_likelihood = stats.norm.pdf(grid) * (grid[1] - grid[0]), 0.0
    for y in np.asarray(ys)[:, 0]:
        weights = (move @ weights) * stats.norm.pdf(y, 0, np.exp(grid / 2))
        log_likelihood += np.log(weights.sum())
        weights /= weights.sum()

    def one(key):
        first, key = jax.random.split(key)
        state = particle.init(jax.random.normal(first, (500, 1)))
        beliefs, info = particle.filter(key, state, ys, model=model)
        return info.log_likelihood.sum(), beliefs.mean[-1, 0]

    logs, means = jax.jit(lambda keys: jax.lax.map(one, keys))(KEYS)
    assert abs(standard_errors(jnp.exp(logs - log_likelihood), 1)) < 4
    assert abs(means.mean() - weights @ grid) < 0.01


def test_a_step_of_which_nothing_is_seen_changes_no_weight():
    state = start(KEYS[0], 100)._replace(
        log_weights=jax.nn.log_softmax(jnp.linspace(0.0, 2.0, 100))
    )
    nothing = jnp.zeros(2, bool)
    given = {"model": PARTICLES, "is_observed": nothing, "ess_fraction": 0.0}
    moved, info = particle.step(KEYS[1], state, jnp.full(2, jnp.nan), **given)
    np.testing.assert_allclose(moved.log_weights, state.log_weights, atol=1e-5)
    np.testing.assert_allclose(info.log_likelihood, 0, atol=1e-5)
    assert abs(moved.particles - state.particles).min() > 0


@pytest.mark.slow
def test_particles_are_drawn_anew_where_few_count():
    for fraction, share in ((0.0, 0.0), (1.1, 1.0)):
        info = many(100, KEYS[:3], ess_fraction=fraction)[1]
        assert info.is_resampled.mean() == share
    info = many(100, KEYS[:20], ess_fraction=0.3)[1]
    np.testing.assert_array_equal(info.is_resampled[:, 1:], info.effective_size[:, :-1] < 30)
    assert 0 < info.is_resampled.mean() < 1


def test_a_death_of_all_is_said():
    impossible = Partial(lambda x, y: jnp.where(y[0] > 5, -jnp.inf, 0.0))
    model = PARTICLES._replace(log_emission=impossible)
    ys = jnp.array([[0.0], [9.0], [0.0]])
    beliefs, info = particle.filter(KEYS[0], start(KEYS[1], 50), ys, model=model)
    np.testing.assert_array_equal(info.log_likelihood, [0, -np.inf, np.nan])
    assert jnp.isnan(beliefs.mean[1:]).all()
    assert jnp.isfinite(beliefs.mean[0]).all()


def test_slopes_are_those_of_the_estimate_while_nobody_is_drawn_anew():
    """One observation: the estimate is a mean over independent draws, and so is its slope."""

    def estimate(scale, key, num):
        model = FUNCTIONS._replace(emission_cov=scale * FUNCTIONS.emission_cov)
        model = additive_noise.model_of(model)
        found = particle.filter(key, start(key, num), YS[:1], model=model, ess_fraction=0.0)
        return found[1].log_likelihood.sum()

    def exact(scale):
        model = MODEL._replace(emission_cov=scale * MODEL.emission_cov)
        return kalman.filter(STATE, YS[:1], model=model)[1].log_likelihood.sum()

    slopes = jax.lax.map(lambda key: jax.grad(estimate)(1.3, key, 4000), KEYS[:30])
    assert abs(standard_errors(slopes, float(jax.grad(exact)(1.3)))) < stats.t.isf(1e-6, df=29)


@pytest.mark.slow
def test_the_densities_of_the_guide_are_those_it_draws_from():
    state, model, ys, _, _ = radar(0)
    model = model._replace(
        transition=Partial(lambda turn, x: turn(x, jnp.zeros(1)), model.transition),
        emission=Partial(lambda seen, x: seen(x, jnp.zeros(1)), model.emission),
    )
    guide, x, y = additive_noise.guide(model), state.mean, ys[0]
    draws = jax.vmap(lambda key: guide.sample(key, x, y))(jax.random.split(KEYS[0], 20_000))
    logs = jax.vmap(lambda later: guide.log_density(later, x, y))(draws)
    # E −log q of what q draws is its entropy.
    entropy = np.linalg.slogdet(2 * np.pi * np.e * np.cov(draws.T))[1] / 2
    assert abs(-logs.mean() - entropy) < 0.05


def test_what_does_not_fit_is_refused():
    state = start(KEYS[0], 10)
    with pytest.raises(
        ValueError, match=r"particle.filter: scheme is 'any', not one of systematic"
    ):
        particle.filter(KEYS[0], state, YS, model=PARTICLES, scheme="any")
    blind = PARTICLES._replace(log_transition=None)
    with pytest.raises(ValueError, match=r"particle.step: model.log_transition is None"):
        particle.step(KEYS[0], state, YS[0], model=blind, proposal=GUIDE)
    wide = PARTICLES._replace(log_emission=Partial(lambda x, y: x - y))
    with pytest.raises(ValueError, match=r"log_emission gives float32\[2\], not float32\[\]"):
        particle.filter(KEYS[0], state, YS, model=wide)
