"""The posterior experiment finds the exact moments of the eight schools, and can be served."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from scipy import stats

from experiments import posterior
from mastery_jax.workflow import config, program, run, trace
from mastery_jax.workflow.errors import ConfigError

pytestmark = pytest.mark.engine

# By quadrature over (mu, tau); Rubin's data and the priors of the config's head.
EXACT = {"mu": (4.396820713833, 3.317704463140), "tau": (3.597705484110, 3.219958414648)}


def load(*overrides):
    return config.load("eight_schools", overrides)


@pytest.fixture(scope="module")
def prepared():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return run.ready(load("num_steps=2000"))


@pytest.fixture(scope="module")
def last(prepared):
    events = program.drive(prepared.program, prepared.lane, prepared.data, num_steps=2000)
    *_, event = events
    return event


@pytest.fixture(scope="module")
def experiment(prepared):
    found = prepared.functions.experiment(prepared.lane)
    return found._replace(methods={name: jax.jit(fn) for name, fn in found.methods.items()})


def test_finds_the_exact_moments(last):
    found = last.evaluation
    for name, (mean, sd) in EXACT.items():
        # |z| < 4 is missed by one key in 16,000.
        assert abs(found[f"{name}_mean"] - mean) < 4 * found[f"{name}_mcse"]
        assert found[f"{name}_sd"] == pytest.approx(sd, rel=0.1)
    assert found["rhat_max"] < 1.01
    assert min(found["ess_bulk_min"], found["ess_tail_min"]) > 400
    assert found["bfmi_min"] > 0.3
    assert found["min_step_size"] > 1e-6
    assert found["num_divergent"] < 10


def test_keeps_every_draw_and_nothing_of_the_warmup(last):
    draws, chains = last.state.draws, last.state.chains
    assert all(np.isfinite(leaf).all() for leaf in draws)
    assert draws.theta.shape == (4, 1000, 8)
    assert (chains.num_steps == 2000).all()
    np.testing.assert_allclose(draws.mu[:, -1], chains.position["mu"])
    z = (draws.theta - draws.mu[..., None]) / draws.tau[..., None]
    np.testing.assert_allclose(z[:, -1], chains.position["z"], rtol=1e-3, atol=1e-3)
    assert (draws.mu[:, 0] != draws.mu[:, 1]).any()


def test_every_float_of_the_config_matters(prepared):
    loaded = prepared.loaded
    spec = program.specify(prepared.dataset)
    used = trace.confirm(loaded.experiment, loaded.value, spec, prepared.dataset.arrays).acts
    assert used == dict.fromkeys(["seed", "target_accept", "mean_scale", "spread_scale"], True)


def test_predicts_what_the_draws_say(last, experiment):
    state, errors = last.state, np.array([0.1, 12.0], np.float32)
    found = experiment.methods["predict"](state, {"std_error": jnp.asarray(errors)})
    mu, tau = (np.asarray(x, np.float64).ravel() for x in (state.draws.mu, state.draws.tau))
    for i, error in enumerate(errors):
        for name, prob in posterior.QUANTILES.items():
            below = stats.norm.cdf(found[name][i], mu, np.hypot(tau, error)).mean()
            assert below == pytest.approx(prob, abs=1e-4)
    np.testing.assert_allclose(found["mean"], mu.mean(), rtol=1e-4)
    expected = np.sqrt(mu.var() + np.mean(tau**2) + errors.astype(float) ** 2)
    np.testing.assert_allclose(found["sd"], expected, rtol=1e-4)


def test_samples_rows_of_the_posterior(last, experiment):
    seeds = jnp.arange(4000, dtype=jnp.uint32)
    found = experiment.methods["sample"](last.state, {"seed": seeds})
    kept = {row.tobytes() for row in np.asarray(last.state.draws.theta).reshape(-1, 8)}
    assert {row.tobytes() for row in np.asarray(found["theta"])} <= kept
    noise = np.asarray((found["effect"] - found["theta"]) / last.state.std_error)
    # 32,000 numbers: each bound is missed by one key in a million.
    assert abs(noise.mean()) < 0.028
    assert abs(noise.std() - 1) < 0.02
    alone = experiment.methods["sample"](last.state, {"seed": seeds[7:8]})
    np.testing.assert_allclose(alone["effect"][0], found["effect"][7], rtol=1e-5)


@pytest.mark.parametrize("method", ["predict", "sample"])
def test_is_exported_for_any_batch(prepared, last, experiment, method):
    x = experiment.example(prepared.data)
    (b,) = export.symbolic_shape("b")
    shapes = {k: jax.ShapeDtypeStruct((b, *v.shape[1:]), v.dtype) for k, v in x.items()}
    fn = jax.jit(lambda x: experiment.methods[method](last.state, x))
    exported = export.export(fn, platforms=("cpu", "cuda", "tpu"))(shapes)
    for row, whole in zip(exported.call(x).values(), fn(x).values(), strict=True):
        np.testing.assert_allclose(row, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("num_steps=1003", "num_steps is 1003, not at least 4 more than num_warmup, which is 1000"),
        ("evaluate_every=100", "evaluate_every is 100, not 0"),
        ("data.columns=[effect]", r"data.columns is \['effect'\], not \[effect, std_error\]"),
    ],
)
def test_refuses(override, said):
    with pytest.raises(ConfigError, match=said):
        load(override)
