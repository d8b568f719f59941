"""Chains: one program for all data, numbers and devices; and refusals in one sentence."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.tree_util import Partial

from mastery_jax.inference.mcmc import (
    adaptive_metropolis,
    chains,
    ensemble,
    gibbs,
    hmc,
    kernel,
    mala,
    metropolis,
    nuts,
)
from tests.mcmc.targets import KERNELS, SKEWED, skewed, starts

OPTIONS = {"num_warmup": 20, "num_samples": 6}


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


def equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_other_data_and_numbers_compile_nothing(count_compiles):
    def draw(seed, shape, step_size, num_chains):
        tuned = kernel.tune(kernel.bind(hmc, step_size=step_size, num_steps=3))
        return chains.sample(
            jax.random.key(seed),
            starts(num_chains),
            log_density=Partial(skewed, np.float32(shape)),
            kernel=tuned,
            **OPTIONS,
        )

    draw(0, 2.0, 0.1, 2)
    count_compiles()
    found = draw(1, 5.0, 0.2, 2)
    assert count_compiles() == 0
    assert found.draws["y"].mean() > 1.5, "of the new data"
    draw(1, 5.0, 0.2, 3)
    assert count_compiles() > 0


@pytest.mark.parametrize("num_chains", [8, 5, 2])
def test_devices_change_no_draw(num_chains):
    """Four devices share 8 chains evenly, 5 with three left over, and 2 with two idle devices."""
    given = {"log_density": SKEWED, "kernel": KERNELS["hmc"], **OPTIONS}
    alone = chains.sample(jax.random.key(3), starts(num_chains), **given)
    for count in (1, 4):
        mesh = Mesh(np.array(jax.devices()[:count]), ("chains",))
        equal(chains.sample(jax.random.key(3), starts(num_chains), mesh=mesh, **given), alone)


def test_thinning_keeps_the_last_of_every_so_many():
    given = {"log_density": SKEWED, "kernel": KERNELS["mala"], "num_warmup": 7}
    every = chains.sample(jax.random.key(0), starts(3), num_samples=12, **given)
    thinned = chains.sample(jax.random.key(0), starts(3), num_samples=4, thin=3, **given)
    equal(thinned.draws, jax.tree.map(lambda x: x[:, 2::3], every.draws))
    equal(thinned.info, jax.tree.map(lambda x: x[:, 2::3], every.info))
    equal(thinned.state, every.state)


def test_divergences_between_kept_draws_are_counted():
    steep = Partial(lambda x: -jnp.sum(x**4))
    which = kernel.bind(hmc, step_size=0.9, num_steps=20)
    given = {"log_density": steep, "kernel": which, "num_warmup": 0}
    every = chains.sample(jax.random.key(0), jnp.ones((3, 2)), num_samples=60, **given)
    few = chains.sample(jax.random.key(0), jnp.ones((3, 2)), num_samples=6, thin=10, **given)
    assert (every.num_divergent == every.info.is_divergent.sum(axis=1)).all()
    assert (few.num_divergent == every.num_divergent).all()
    assert (every.num_divergent > 0).all()


def test_a_chain_does_not_know_of_the_others():
    given = {"log_density": SKEWED, "kernel": KERNELS["barker, tuned"], **OPTIONS}
    in_turn, together = (
        chains.sample(jax.random.key(5), starts(3), lockstep=lockstep, **given).draws
        for lockstep in (False, True)
    )
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
    jax.tree.map(close, together, in_turn)


@pytest.mark.engine
def test_nuts_is_a_kernel_like_any():
    given = {"num_warmup": 30, "num_samples": 5, "log_density": SKEWED}
    which = kernel.bind(nuts, target_accept=0.9, max_tree_depth=5, step_size=0.5)
    found = chains.sample(jax.random.key(0), starts(2), kernel=which, **given)
    draws, info = nuts.sample(
        jax.random.key(0), starts(2), target_accept=0.9, max_tree_depth=5, step_size=0.5, **given
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found.draws, draws)
    equal(found.info.num_leapfrog, info.num_leapfrog)


def test_refuses_options():
    with pytest.raises(ValueError, match=r"hmc has no option 'stepsize', only \['factor'"):
        kernel.bind(hmc, stepsize=0.1, num_steps=3)
    with pytest.raises(ValueError, match="hmc has no option 'log_density'"):
        kernel.bind(hmc, log_density=SKEWED, step_size=0.1, num_steps=3)
    with pytest.raises(ValueError, match=r"kernel.bind: hmc needs \['num_steps'\]"):
        kernel.bind(hmc, step_size=0.1)
    with pytest.raises(ValueError, match=r"takes no \['factor', 'step_size'\]"):
        kernel.tune(kernel.bind(nuts))


def test_nuts_refuses():
    given = {"log_density": SKEWED, "num_warmup": 2, "num_samples": 2}
    apart = {"x": jnp.zeros((2, 2)), "y": jnp.zeros(3)}
    for positions in (apart, jnp.zeros(())):
        with pytest.raises(ValueError, match=r"nuts.sample: positions have shapes .*, not one"):
            nuts.sample(jax.random.key(0), positions, **given)
    with pytest.raises(ValueError, match="num_warmup is 2 and num_samples 0, not at least 0 and 1"):
        nuts.sample(jax.random.key(0), starts(2), **{**given, "num_samples": 0})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("num_warmup", -1, "num_warmup is -1, num_samples 6 and thin 1, not at least 0, 1 and 1"),
        ("num_samples", 0, "num_samples 0"),
        ("thin", 0, "thin 0"),
        ("kernel", (1.0, 2.0), "chains.sample: kernel is .*, not a mastery_jax.*.Kernel"),
        (
            "positions",
            {"x": jnp.zeros((2, 2)), "y": jnp.zeros(3)},
            "not one leading axis of chains",
        ),
        ("positions", jnp.zeros(()), "not one leading axis of chains"),
        ("positions", jnp.zeros((2, 3), int), r"leaves of \['int32'\], not of one floating dtype"),
        ("positions", jnp.zeros((2, 0)), "position has no numbers"),
    ],
)
def test_refuses(name, value, said):
    given = {
        "positions": starts(2),
        "log_density": SKEWED,
        "kernel": KERNELS["metropolis"],
        **OPTIONS,
        name: value,
    }
    with pytest.raises(ValueError, match=said):
        chains.sample(jax.random.key(0), **given)


VERBS = {
    "metropolis": (metropolis, {"step_size": 0.1}),
    "mala": (mala, {"step_size": 0.1}),
    "hmc": (hmc, {"step_size": 0.1, "num_steps": 2}),
    "adaptive_metropolis": (adaptive_metropolis, {"num_warmup": 3}),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_vector_is_no_density(name):
    module, _ = VERBS[name]
    with pytest.raises(ValueError, match=rf"{name}.init: log_density has shape \(3,\), not of a"):
        module.init(jnp.zeros(3), log_density=Partial(jnp.sin))


@pytest.mark.parametrize("name", ["metropolis", "mala", "hmc"])
def test_a_factor_of_another_size_is_refused(name):
    module, options = VERBS[name]
    f = Partial(lambda x: -x @ x)
    at = module.init(jnp.zeros(3), log_density=f)
    with pytest.raises(ValueError, match=r"factor (has shape \(2, 2\)|is float32\[2,2\]), not "):
        module.step(jax.random.key(0), at, log_density=f, factor=jnp.eye(2), **options)


def test_blocks_are_refused_where_they_do_not_fit():
    walk, f = kernel.bind(metropolis, step_size=1.0), Partial(lambda p: -jnp.sum(p["a"] ** 2))
    at = {"a": jnp.zeros(2)}
    with pytest.raises(ValueError, match=r"gibbs.init: position has blocks \['a'\], not those of"):
        gibbs.init(at, log_density=f, kernels={"a": walk, "b": walk})
    wrong = {"a": Partial(lambda key, position: jnp.zeros(3))}
    state = gibbs.init(at, log_density=f, kernels=wrong)
    with pytest.raises(ValueError, match=r"gibbs.step: a was drawn as"):
        gibbs.step(jax.random.key(0), state, log_density=f, kernels=wrong)
    with pytest.raises(ValueError, match=r"3 walkers, not an even number of at least 4"):
        ensemble.init(jnp.zeros((3, 2)), log_density=f)


def test_blocks_are_warmed_up():
    run = chains.sample(
        jax.random.key(0), starts(2), log_density=SKEWED, kernel=KERNELS["gibbs"], **OPTIONS
    )
    assert (run.state.blocks["x"].num_steps == 26).all()
    assert (run.state.blocks["x"].tuning.step_size != 1).all()
