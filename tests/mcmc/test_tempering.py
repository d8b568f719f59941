"""Tempering knows the evidence and its error, where it is known exactly; it says when it fails."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import (
    adaptive_metropolis,
    elliptical_slice,
    hmc,
    kernel,
    mala,
    metropolis,
    tempering,
    weights,
)
from tests.statistics import assert_mean

Y = np.array([2.1, 2.4, 1.7, 2.6])
SD, PRIOR_SD = 0.3, 2.0


def log_prior(x):
    return jax.scipy.stats.norm.logpdf(x, 0, PRIOR_SD).sum()


def log_likelihood(y, x):
    return jax.scipy.stats.norm.logpdf(y, x[0], SD).sum()


SEEN = Partial(log_likelihood, jnp.asarray(Y, jnp.float32))
PRIOR = Partial(log_prior)
COV = SD**2 * np.eye(4) + PRIOR_SD**2
EVIDENCE = stats.multivariate_normal(np.zeros(4), COV).logpdf(Y)
POSTERIOR_VAR = 1 / (1 / PRIOR_SD**2 + 4 / SD**2)
POSTERIOR_MEAN = POSTERIOR_VAR * Y.sum() / SD**2


def run(key, which, num_particles=400, **options):
    start_key, run_key = jax.random.split(key)
    start = PRIOR_SD * jax.random.normal(start_key, (num_particles, 1))
    return tempering.sample(
        run_key,
        start,
        log_prior=PRIOR,
        log_likelihood=SEEN,
        kernel=which,
        num_moves=6,
        **options,
    )


@pytest.mark.parametrize(
    "which",
    [kernel.bind(metropolis, step_size=2.0), kernel.bind(hmc, step_size=0.7, num_steps=2)],
    ids=["metropolis", "hmc"],
)
def test_the_evidence_of_a_conjugate_model(which):
    keys = jax.random.split(jax.random.key(0), 60)
    state, info = jax.lax.map(lambda key: run(key, which), keys)
    assert (info.status == Status.CONVERGED).all()
    assert (state.temperature == 1).all()
    assert (state.num_temperatures > 1).all()
    # Z itself is unbiased, not its logarithm.
    assert_mean(jnp.exp(state.log_evidence - EVIDENCE)[:, None], 1.0)
    assert_mean(state.particles[..., 0], POSTERIOR_MEAN)
    assert_mean((state.particles[..., 0] - POSTERIOR_MEAN) ** 2, POSTERIOR_VAR)
    spread = float(state.log_evidence.std(ddof=1))
    claimed = float(jnp.sqrt(jnp.square(info.log_evidence_error).mean()))
    assert claimed == pytest.approx(spread, rel=0.45)  # 60 runs know their spread to 9 %


def test_elliptical_slices_need_the_tempered_likelihood_alone():
    """The prior is in the kernel; so that the density with respect to it is the likelihood."""
    which = kernel.bind(elliptical_slice, factor=PRIOR_SD)
    state, _ = tempering.sample(
        jax.random.key(0),
        PRIOR_SD * jax.random.normal(jax.random.key(1), (1000, 1)),
        log_prior=Partial(lambda x: 0 * x.sum()),
        log_likelihood=SEEN,
        kernel=which,
        num_moves=3,
    )
    assert abs(state.log_evidence - EVIDENCE) < 0.5
    # Were the factor of the prior learned from the particles, they would be drawn towards 0.
    assert abs(state.particles.mean() - POSTERIOR_MEAN) < 6 * (POSTERIOR_VAR / 1000) ** 0.5
    assert state.particles.mean() == pytest.approx(POSTERIOR_MEAN, abs=0.02)


SCHOOLS = {"log_evidence": -31.3113474, "mu_mean": 4.3968207, "tau_mean": 3.5977055}


def schools_prior(position):
    mu, log_tau, z = position["mu"], position["log_tau"], position["z"]
    log_tau_density = jnp.log(2 / jnp.pi / 5) - jnp.log1p(jnp.exp(2 * log_tau) / 25) + log_tau
    normals = jax.scipy.stats.norm.logpdf(mu, 0, 5) + jax.scipy.stats.norm.logpdf(z).sum()
    return normals + log_tau_density


def schools_likelihood(effect, std_error, position):
    theta = position["mu"] + jnp.exp(position["log_tau"]) * position["z"]
    return jax.scipy.stats.norm.logpdf(effect, theta, std_error).sum()


@pytest.mark.slow
def test_the_evidence_of_eight_schools():
    effect = jnp.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    std_error = jnp.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    num = 4000
    mu_key, tau_key, z_key, run_key = jax.random.split(jax.random.key(0), 4)
    tau = 5 * jnp.abs(jax.random.cauchy(tau_key, (num,)))
    state, info = tempering.sample(
        run_key,
        {
            "mu": 5 * jax.random.normal(mu_key, (num,)),
            "log_tau": jnp.log(tau),
            "z": jax.random.normal(z_key, (num, 8)),
        },
        log_prior=Partial(schools_prior),
        log_likelihood=Partial(schools_likelihood, effect, std_error),
        kernel=kernel.bind(mala, step_size=0.7),
        num_moves=10,
    )
    assert int(info.status) == Status.CONVERGED
    assert 0 < info.log_evidence_error < 0.1
    assert abs(state.log_evidence - SCHOOLS["log_evidence"]) < 4 * info.log_evidence_error
    assert state.particles["mu"].mean() == pytest.approx(SCHOOLS["mu_mean"], abs=0.4)
    assert jnp.exp(state.particles["log_tau"]).mean() == pytest.approx(SCHOOLS["tau_mean"], abs=0.4)


@pytest.mark.reference
def test_the_answers_by_quadrature_are_those_of_the_reference(reference):
    folder = reference / "posteriordb" / "eight_schools-eight_schools_noncentered"
    stored = json.loads((folder / "exact_quadrature.json").read_text())
    assert {name: stored[name] for name in SCHOOLS} == pytest.approx(SCHOOLS, rel=1e-6)


WALK = kernel.bind(metropolis, step_size=1.0)


def ended(log_lik, start, **options):
    state, info = tempering.sample(
        jax.random.key(0),
        start,
        log_prior=PRIOR,
        log_likelihood=Partial(log_lik),
        kernel=WALK,
        num_moves=2,
        **options,
    )
    return state, info, Status(int(info.status)).name


@pytest.mark.slow
def test_says_how_it_failed():
    start = jax.random.normal(jax.random.key(1), (50, 1))
    state, info, status = ended(lambda x: x.sum() * jnp.nan, start)
    assert (status, int(info.num_lost), float(state.temperature)) == ("NOT_FINITE", 50, 0.0)
    state, info, status = ended(lambda x: jnp.where(x[0] > 0, 0.0, -jnp.inf), start)
    assert status == "STALLED" or float(info.ess) >= 25
    one = start.at[0].set(9.0)
    state, info, status = ended(lambda x: jnp.where(x[0] > 8, 0.0, -jnp.inf), one)
    assert (status, float(state.temperature)) == ("STALLED", 0.0)
    assert (state.particles == one).all()
    _, _, status = ended(lambda x: -1e6 * x[0] ** 2, start, max_temperatures=2)
    assert status == "OUT_OF_STEPS"


def test_a_kernel_that_never_moves_is_no_success():
    start = PRIOR_SD * jax.random.normal(jax.random.key(1), (50, 1))
    far = kernel.bind(metropolis, step_size=1e6)
    given = {"log_prior": PRIOR, "log_likelihood": SEEN, "num_moves": 2, "adapt": "none"}
    state, info = tempering.sample(jax.random.key(0), start, kernel=far, **given)
    assert Status(int(info.status)).name == "STALLED"
    assert (float(info.accept_prob), int(info.num_moved)) == (0.0, 0)
    assert (state.particles == start).all()
    _, info = tempering.sample(jax.random.key(0), start, kernel=WALK, **given)
    assert Status(int(info.status)).name == "CONVERGED"
    assert 0 < int(info.num_moved) <= 50


def test_half_impossible_particles_are_left_behind():
    start = jax.random.normal(jax.random.key(1), (4000, 1))
    state, info, status = ended(lambda x: jnp.where(x[0] > -0.5, 0.0, -jnp.inf), start, min_ess=0.3)
    assert status == "CONVERGED"
    assert (state.particles > -0.5).all()
    exact = stats.norm.logsf(-0.5)
    assert abs(state.log_evidence - exact) < 5 * info.log_evidence_error


@pytest.mark.parametrize("is_dense", [False, True])
def test_the_spread_of_particles_knows_no_units(is_dense):
    rows = jax.random.normal(jax.random.key(0), (50, 3)) @ jnp.array(
        [[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    )
    units = jnp.array([1.0, 1e-6, 1e6])
    root = weights.spread(rows, is_dense=is_dense)
    in_units = weights.spread(rows * units[None], is_dense=is_dense)
    wanted = root * (units[:, None] if is_dense else units)
    np.testing.assert_allclose(in_units, wanted, rtol=1e-4)
    all_one = weights.spread(jnp.ones((4, 2)), is_dense=is_dense)
    assert (all_one if all_one.ndim == 1 else jnp.diagonal(all_one)).min() > 0


@pytest.mark.slow
def test_a_million_particles_are_drawn_alike():
    """A sum of floats of single precision would give each some percent too much or too little."""
    num = 2**20
    draw = jax.jit(weights.draw)
    counts = np.zeros(num)
    for seed in range(8):
        counts += np.bincount(draw(jax.random.key(seed), jnp.zeros(num)), minlength=num)
    excess = ((counts - 8) ** 2 / 8).sum() - (num - 1)
    assert abs(excess) < 5 * (2 * (num - 1)) ** 0.5


@pytest.mark.parametrize(
    "which",
    [
        kernel.bind(adaptive_metropolis),
        kernel.tune(kernel.bind(mala, step_size=0.5)),
    ],
    ids=["adaptive", "tuned"],
)
def test_kernels_that_could_be_tuned_can_be_taken(which):
    found, _ = jax.eval_shape(lambda key: run(key, which), jax.random.key(0))
    assert found.particles.shape == (400, 1)


@pytest.mark.parametrize("key", range(5))
@pytest.mark.slow
def test_weight_zero_is_never_drawn(key):
    log_weights = jnp.zeros(100_000).at[:7].set(-jnp.inf).at[-7:].set(-jnp.inf)
    which = weights.draw(jax.random.key(key), log_weights)
    assert int(which.min()) >= 7
    assert int(which.max()) < 100_000 - 7


def test_refuses():
    f = Partial(lambda x: x.sum())
    with pytest.raises(ValueError, match=r"particles have leading axes .* not one of at least 2"):
        tempering.init(jnp.zeros((1, 2)), log_likelihood=f)
    with pytest.raises(ValueError, match=r"tempering.init: log_density has shape \(2,\)"):
        tempering.init(jnp.zeros((5, 2)), log_likelihood=Partial(jnp.sin))
    given = {"log_prior": f, "log_likelihood": f, "kernel": WALK}
    start = jnp.zeros((4, 1))
    with pytest.raises(ValueError, match="num_moves is 0, not at least 1"):
        tempering.sample(jax.random.key(0), start, num_moves=0, **given)
    with pytest.raises(ValueError, match="adapt is 'full', not one of"):
        tempering.sample(jax.random.key(0), start, num_moves=1, adapt="full", **given)
    with pytest.raises(ValueError, match="max_temperatures is 0, not at least 1"):
        tempering.sample(jax.random.key(0), start, num_moves=1, max_temperatures=0, **given)
