"""Tuning is NumPyro's, to the last digits; a verdict names the chain that is wrong, and why."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from numpyro.infer.hmc_util import build_adaptation_schedule, warmup_adapter

from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import chains, health, kernel, mala, metropolis, warmup
from tests.mcmc.targets import KERNELS


@pytest.mark.parametrize("num_warmup", [1, 5, 19, 20, 30, 149, 150, 151, 300, 500, 999, 1000, 4321])
def test_windows_are_numpyros(num_warmup):
    ends = [window.end for window in build_adaptation_schedule(num_warmup)]
    assert list(warmup.window_ends(num_warmup)) == ends


@pytest.mark.engine
@pytest.mark.parametrize("dense_mass", [False, True])
@pytest.mark.parametrize("num_warmup", [12, 160])
@pytest.mark.slow
def test_the_warm_up_is_numpyros(dense_mass, num_warmup):
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(num_warmup + 5, 3)) @ np.array([[3, 0, 0], [1, 1, 0], [0, 0, 0.1]])
    probs = rng.uniform(size=num_warmup + 5)
    with jax.enable_x64(True):
        init, update = warmup_adapter(num_warmup, dense_mass=dense_mass, target_accept_prob=0.7)
        update = jax.jit(update)
        theirs = init((jnp.asarray(positions[0]),), jax.random.key(0), step_size=jnp.asarray(0.3))
        theirs = theirs._replace(rng_key=None)
        ours = warmup.init(jnp.asarray(positions[0]), step_size=0.3, dense_mass=dense_mass)
        for t, (x, prob) in enumerate(zip(positions, probs, strict=True)):
            if t < num_warmup:  # theirs goes on where it is asked to
                theirs = update(t, prob, (jnp.asarray(x),), theirs)
            ours = warmup.update(
                ours,
                jnp.asarray(x),
                jnp.asarray(prob),
                jnp.int32(t),
                num_warmup=num_warmup,
                target_accept=0.7,
            )
            expected = warmup.from_numpyro(theirs)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), ours, expected
            )
    unit = np.eye(3) if dense_mass else np.ones(3)
    assert bool((np.asarray(ours.inverse_mass) != unit).any()) is (num_warmup > 20)


def test_a_state_that_is_refreshed_keeps_what_it_has_learned():
    which = kernel.tune(kernel.bind(mala, step_size=0.1))
    state = which.init(jnp.zeros(2), log_density=Partial(lambda x: -x @ x / 2))
    state, _ = which.step(
        jax.random.key(0), state, log_density=Partial(lambda x: -x @ x / 2), num_warmup=9
    )
    other = which.init(jnp.ones(2), log_density=Partial(lambda x: -2 * x @ x))
    now = kernel.refresh(state, other)
    assert float(now.log_density) == -4
    assert now.tuning.step_size == state.tuning.step_size
    assert int(now.num_steps) == 1


def good(num_draws=600):
    return jax.random.normal(jax.random.key(0), (4, num_draws, 2))


def name_of(verdict):
    return Status(int(verdict.status)).name


def judged(draws=None, **changes):
    """Judge with every option given, so that one program serves."""
    given = {
        "log_density": jnp.zeros((4, 600)),
        "num_divergent": jnp.zeros(4, jnp.int32),
        "step_size": jnp.ones(4),
        "max_divergent": 0.0,
    }
    verdict = health.judge(good() if draws is None else draws, **{**given, **changes})
    return Status(int(verdict.status)).name, verdict


def test_a_verdict_names_the_chain():
    status, verdict = judged()
    assert (status, verdict.is_poor.tolist()) == ("CONVERGED", [False, False])
    status, verdict = judged(good().at[1, :, 0].set(3.0))
    assert (status, verdict.num_constant.tolist()) == ("STALLED", [0, 1, 0, 0])
    status, verdict = judged(good().at[1, 10:].set(3.0))
    assert (status, verdict.longest_still.tolist()) == ("STALLED", [1, 590, 1, 1])
    assert verdict.num_constant.tolist() == [0, 0, 0, 0]
    assert judged(good().at[1, 200:350].set(3.0))[1].longest_still.tolist() == [1, 150, 1, 1]
    status, verdict = judged(good().at[2, 5, 0].set(jnp.nan))
    assert (status, verdict.num_lost.tolist()) == ("NOT_FINITE", [0, 0, 1, 0])
    status, verdict = judged(log_density=jnp.zeros((4, 600)).at[3, :2].set(-jnp.inf))
    assert (status, verdict.num_lost.tolist()) == ("NOT_FINITE", [0, 0, 0, 2])
    status, verdict = judged(step_size=jnp.array([1.0, 1e-9, jnp.nan, 0.1]))
    assert (status, verdict.is_frozen.tolist()) == ("STALLED", [False, True, True, False])
    status, _ = judged(num_divergent=jnp.array([0, 0, 3, 0], jnp.int32))
    assert status == "DIVERGED"
    status, _ = judged(num_divergent=jnp.array([0, 0, 3, 0], jnp.int32), max_divergent=5.0)
    assert status == "CONVERGED"
    status, verdict = judged(good() + jnp.array([0.0, 0.0, 0.0, 1.0])[:, None, None])
    assert (status, verdict.is_poor.tolist()) == ("OUT_OF_STEPS", [True, True])
    status, verdict = judged(jnp.ones((4, 600, 2)))
    assert (status, verdict.is_poor.tolist()) == ("STALLED", [True, True])


def test_a_verdict_takes_a_tree_and_few_draws_for_what_they_are():
    verdict = health.judge({"a": good(40)[..., 0], "b": good(40)[..., 1:]})
    assert (name_of(verdict), verdict.rhat.shape) == ("OUT_OF_STEPS", (2,))
    with pytest.raises(ValueError, match="not of chains and at least 4 draws"):
        health.judge(good(3))
    with pytest.raises(ValueError, match=r"health.judge: step_size has shape \(3,\), not \(4,\)"):
        health.judge(good(40), step_size=jnp.ones(3))


@pytest.mark.slow
def test_a_run_that_goes_wrong_is_judged():
    nowhere = Partial(lambda x: jnp.log(-1 - x @ x))
    flat = {"positions": jnp.zeros((3, 2)), "num_warmup": 20, "num_samples": 50}
    for which in (KERNELS["hmc, tuned"], kernel.bind(metropolis, step_size=1.0)):
        run = chains.sample(jax.random.key(0), log_density=nowhere, kernel=which, **flat)
        verdict = health.judge(run.draws, log_density=run.log_density)
        assert name_of(verdict) == "NOT_FINITE"
        assert verdict.num_constant.tolist() == [2, 2, 2]
        assert (run.draws == 0).all(), "nothing is made up"
    # A hundred times in a row nothing is accepted: the step size collapses, and is named.
    pinned = Partial(lambda x: jnp.where(jnp.any(x != 0), -jnp.inf, 0.0))
    run = chains.sample(
        jax.random.key(0),
        jnp.zeros((2, 1)),
        log_density=pinned,
        kernel=KERNELS["hmc, tuned"],
        num_warmup=400,
        num_samples=20,
    )
    verdict = health.judge(run.draws, step_size=run.state.tuning.step_size)
    assert verdict.is_frozen.all()
