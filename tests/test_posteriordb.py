"""NUTS draws the posteriors of posteriordb: first the model is right, then the moments are."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.tree_util import Partial
from numpyro import distributions as dist
from numpyro.infer.util import log_density

from experiments import posterior
from mastery_jax.inference.mcmc import diagnostics, nuts, unconstrained

pytestmark = [pytest.mark.reference, pytest.mark.engine]


class Posterior(NamedTuple):
    """One posterior as its page in posteriordb's MODELS describes it."""

    folder: str
    model: Callable[[Any], Partial]  # data -> NumPyro model
    latents: Callable[[Any], Any]  # published parameters by name -> the model's latent values
    published: Callable[[Any], Any]  # the model's values -> published parameters by name


def vector(values, name, size):
    return jnp.stack([values[f"{name}[{i + 1}]"] for i in range(size)])


def scalars(values, name):
    return {f"{name}[{i + 1}]": values[name][..., i] for i in range(values[name].shape[-1])}


def schools_latents(p):
    theta = vector(p, "theta", 8)
    return {"mu": p["mu"], "tau": p["tau"], "z": (theta - p["mu"]) / p["tau"]}


def autoregression(y, lags):
    alpha = numpyro.sample("alpha", dist.Normal(0, 10))
    beta = numpyro.sample("beta", dist.Normal(0, 10).expand([lags.shape[1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y)


def autoregression_of(data):
    y, order = jnp.asarray(data["y"], float), data["K"]
    lags = jnp.stack([y[order - k : len(y) - k] for k in range(1, order + 1)], axis=1)
    return Partial(autoregression, y[order:], lags)


def mixture(y):
    """Two normals; half of the prior's mass has mu in order, which a constant does not show."""
    ordered = dist.constraints.ordered_vector
    mu = numpyro.sample("mu", dist.ImproperUniform(ordered, (), (2,)))
    numpyro.factor("prior", dist.Normal(0, 2).log_prob(mu).sum())
    sigma = numpyro.sample("sigma", dist.HalfNormal(2).expand([2]).to_event(1))
    theta = numpyro.sample("theta", dist.Beta(5, 5))
    weights = jnp.log(jnp.stack([theta, 1 - theta]))
    each = dist.Normal(mu, sigma).log_prob(y[:, None]) + weights
    numpyro.factor("y", jax.nn.logsumexp(each, axis=1).sum())


POSTERIORS = [
    Posterior(
        "eight_schools-eight_schools_noncentered",
        lambda data: Partial(
            posterior.groups,
            jnp.asarray(data["y"], float),
            jnp.asarray(data["sigma"], float),
            jnp.asarray(5.0),
            jnp.asarray(5.0),
        ),
        schools_latents,
        lambda v: scalars(v, "theta") | {"mu": v["mu"], "tau": v["tau"]},
    ),
    Posterior(
        "arK-arK",
        autoregression_of,
        lambda p: {"alpha": p["alpha"], "beta": vector(p, "beta", 5), "sigma": p["sigma"]},
        lambda v: scalars(v, "beta") | {"alpha": v["alpha"], "sigma": v["sigma"]},
    ),
    Posterior(
        "low_dim_gauss_mix-low_dim_gauss_mix",
        lambda data: Partial(mixture, jnp.asarray(data["y"], float)),
        lambda p: {"mu": vector(p, "mu", 2), "sigma": vector(p, "sigma", 2), "theta": p["theta"]},
        lambda v: scalars(v, "mu") | scalars(v, "sigma") | {"theta": v["theta"]},
    ),
]
each_posterior = pytest.mark.parametrize("this", POSTERIORS, ids=lambda p: p.folder.split("-")[0])


def read(reference, this, name):
    return json.loads((reference / "posteriordb" / this.folder / name).read_text())


@each_posterior
def test_log_density_differences(reference, this):
    points = read(reference, this, "logdensity.json")["points"]
    with jax.enable_x64(True):
        model = this.model(read(reference, this, "data.json"))
        found = [log_density(model, (), {}, this.latents(p["params"]))[0] for p in points]
    expected = np.array([p["log_density"] for p in points])
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=0, atol=1e-6)


@each_posterior
def test_moments(reference, this):
    model = this.model(read(reference, this, "data.json"))
    start_key, run_key = jax.random.split(jax.random.key(0))
    density, constrain = unconstrained.from_numpyro(model)
    positions = unconstrained.start(start_key, model=model, num_chains=4)
    draws, info = nuts.sample(
        run_key,
        positions,
        log_density=density,
        num_warmup=500,
        num_samples=1000,
        target_accept=0.9,
    )
    values = this.published(jax.vmap(jax.vmap(constrain))(draws))
    assert info.step_size.min() > 1e-6
    for name, expected in read(reference, this, "reference.json")["summary"].items():
        chains = values[name]
        assert (chains.std(axis=1) > 0).all(), name
        assert diagnostics.rhat(chains) < 1.01, name
        error = np.hypot(diagnostics.mcse(chains), expected["mcse_mean"])
        assert abs(chains.mean() - expected["mean"]) < 4 * error, name
        assert chains.std() == pytest.approx(expected["sd"], rel=0.1), name
