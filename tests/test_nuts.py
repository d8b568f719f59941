"""NUTS is NumPyro's to the last bit, leaves its target as it is, and compiles once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.tree_util import Partial
from numpyro import distributions as dist
from numpyro.infer.hmc import hmc

from mastery_jax.inference.mcmc import nuts, unconstrained
from tests.statistics import assert_mean

pytestmark = pytest.mark.engine


@pytest.fixture
def count_compiles():
    """Return a function that says how many programs were compiled since it was last called."""
    compiled = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(seconds)

    def since():
        number = len(compiled)
        compiled.clear()
        return number

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield since
    jax.monitoring.unregister_event_duration_listener(listen)


def skewed(shape, position):
    """Log of gamma variables, one behind a shear: asymmetric, so that a wrong sign shows."""
    x, y = position["x"], position["y"] - position["x"][0]
    return (shape * x - jnp.exp(x)).sum() + shape * y - jnp.exp(y)


TARGET = Partial(skewed, jnp.asarray(2.0))
MEAN, VARIANCE = 1 - 0.57721566, 0.64493407  # digamma(2), trigamma(2)
ORIGIN = {"x": jnp.zeros(2), "y": jnp.zeros(())}


def starts(num_chains):
    return jax.tree.map(lambda x: jnp.zeros((num_chains, *x.shape)), ORIGIN)


@pytest.mark.parametrize("dense_mass", [False, True])
def test_is_numpyros_kernel_without_its_memory(dense_mass):
    keys = jax.random.split(jax.random.key(0), 60)
    init_kernel, sample_kernel = hmc(lambda position: -TARGET(position))
    theirs = init_kernel(ORIGIN, 40, dense_mass=dense_mass, target_accept_prob=0.9)
    _, expected = jax.lax.scan(
        lambda state, key: (
            lambda new: (new, (new.z, new.adapt_state.step_size, new.num_steps, new.energy))
        )(sample_kernel(state._replace(rng_key=key))),
        theirs,
        keys,
    )

    def move(state, key):
        state, info = nuts.step(key, state, log_density=TARGET, num_warmup=40, target_accept=0.9)
        return state, (state.position, state.tuning.step_size, info.num_leapfrog, info.energy)

    ours = nuts.init(ORIGIN, log_density=TARGET, dense_mass=dense_mass)
    _, found = jax.lax.scan(move, ours, keys)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), found, expected
    )
    assert len(np.unique(found[1][:40])) > 30  # the step size is tuned,
    assert len(np.unique(found[1][40:])) == 1  # and then no more


@pytest.fixture(scope="module")
def run():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return nuts.sample(
            jax.random.key(1), starts(64), log_density=TARGET, num_warmup=150, num_samples=250
        )


def test_first_moments(run):
    draws, _ = run
    assert_mean(draws["x"][..., 0], MEAN)
    assert_mean(draws["x"][..., 1], MEAN)
    assert_mean(draws["y"], 2 * MEAN)


def test_second_moments(run):
    draws, _ = run
    assert_mean((draws["x"][..., 1] - MEAN) ** 2, VARIANCE)
    assert_mean((draws["y"] - 2 * MEAN) ** 2, 2 * VARIANCE)
    assert_mean((draws["x"][..., 0] - MEAN) * (draws["y"] - 2 * MEAN), VARIANCE)


def test_a_biased_chain_is_caught(run):
    draws, _ = run
    with pytest.raises(AssertionError):
        assert_mean(draws["x"][..., 0] + 0.1, MEAN)
    with pytest.raises(AssertionError):
        assert_mean((1.1 * (draws["x"][..., 1] - MEAN)) ** 2, VARIANCE)


def test_info_says_what_happened(run):
    _, info = run
    assert {leaf.shape for leaf in info} == {(64, 250)}
    assert (info.step_size == info.step_size[:, :1]).all()
    assert 0.7 < info.accept_prob.mean() < 0.95
    assert (info.num_leapfrog >= 1).all()
    assert not info.is_cut.any()
    assert info.is_divergent.mean() < 0.01


def test_other_data_of_the_same_shape_compiles_nothing(count_compiles):
    def draw(seed, shape, num_chains):
        return nuts.sample(
            jax.random.key(seed),
            starts(num_chains),
            log_density=Partial(skewed, np.float32(shape)),
            num_warmup=20,
            num_samples=5,
        )

    draw(0, 2.0, 2)
    count_compiles()
    draws, _ = draw(1, 3.0, 2)
    assert count_compiles() == 0
    assert draws["y"].mean() > 1  # of the new data
    draw(1, 3.0, 3)
    assert count_compiles() > 0


def test_a_chain_saved_half_way_goes_on_to_the_same_bits():
    keys = jax.random.split(jax.random.key(1), 80)

    @jax.jit
    def through(keys, state):
        move = partial(nuts.step, log_density=TARGET, num_warmup=60)
        return jax.lax.scan(lambda state, key: move(key, state), state, keys)

    start = nuts.init(ORIGIN, log_density=TARGET)
    whole, _ = through(keys, start)
    saved = jax.tree.map(np.asarray, through(keys[:40], start)[0])
    resumed, _ = through(keys[40:], jax.tree.map(jnp.asarray, saved))
    assert resumed.num_steps == 80
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)


def test_lockstep_changes_no_chain():
    options = {"log_density": TARGET, "num_warmup": 0, "num_samples": 4, "step_size": 0.3}
    in_turn, together = (
        nuts.sample(jax.random.key(5), starts(3), lockstep=lockstep, **options)[0]
        for lockstep in (False, True)
    )
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(close, together, in_turn)


def test_reports_a_cut_tree_and_a_density_that_is_not_finite():
    state = nuts.init(jnp.zeros(2), log_density=Partial(lambda x: -0.5 * x @ x), step_size=1e-3)
    _, info = nuts.step(
        jax.random.key(0),
        state,
        log_density=Partial(lambda x: -0.5 * x @ x),
        num_warmup=0,
        max_tree_depth=3,
    )
    assert info.is_cut
    assert info.num_leapfrog == 7
    nowhere = Partial(lambda x: jnp.log(-1 - x @ x))
    state = nuts.init(jnp.zeros(2), log_density=nowhere)
    state, info = nuts.step(jax.random.key(0), state, log_density=nowhere, num_warmup=0)
    assert info.is_divergent
    assert (state.position == 0).all()


def grouped(y, scale):
    spread = numpyro.sample("spread", dist.Gamma(2.0, 1.0))
    share = numpyro.sample("share", dist.Uniform(-1, 3))
    numpyro.deterministic("both", spread + share)
    numpyro.sample("y", dist.Normal(share, scale * spread), obs=y)


def test_a_numpyro_model_becomes_a_density_without_bounds():
    model = Partial(grouped, jnp.array([0.3, 1.2, -0.4]), jnp.asarray(1.5))
    density, constrain = unconstrained.from_numpyro(model)
    positions = unconstrained.start(jax.random.key(0), model=model, num_chains=5)
    assert sorted(positions) == ["share", "spread"]
    assert positions["share"].shape == (5,)
    values = jax.vmap(constrain)(positions)
    assert (values["spread"] > 0).all()
    assert (abs(values["share"] - 1) < 2).all()
    np.testing.assert_allclose(values["both"], values["spread"] + values["share"], rtol=1e-6)
    y, spread, share = model.args[0], values["spread"], values["share"]
    expected = dist.Normal(share[:, None], 1.5 * spread[:, None]).log_prob(y).sum(axis=1)
    expected += dist.Gamma(2.0, 1.0).log_prob(spread) + jnp.log(spread)
    expected += -jnp.log(4) + jnp.log((share + 1) * (3 - share) / 4)
    np.testing.assert_allclose(jax.vmap(density)(positions), expected, rtol=1e-5)


def test_refuses():
    state = nuts.init(ORIGIN, log_density=TARGET)
    with pytest.raises(ValueError, match="num_warmup is -1 and max_tree_depth 10, not at least"):
        nuts.step(jax.random.key(0), state, log_density=TARGET, num_warmup=-1)
    with pytest.raises(ValueError, match=r"position has leaves of \['int32'\], not of one"):
        nuts.init(jnp.arange(3), log_density=Partial(jnp.sum))
    with pytest.raises(ValueError, match=r"log_density has shape \(3,\), not of a scalar"):
        nuts.init(jnp.zeros(3), log_density=Partial(jnp.sin))
    flip = Partial(lambda: numpyro.sample("kind", dist.Bernoulli(0.5)))
    with pytest.raises(ValueError, match="kind is discrete; sum it out of the model"):
        unconstrained.start(jax.random.key(0), model=flip, num_chains=2)
