"""The flow of the Nile, filtered and smoothed, against published numbers."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.inference.filtering import kalman, rts
from mastery_jax.inference.filtering.linear_gaussian import Model, State
from tests.cases.filtering import with_start

pytestmark = pytest.mark.reference


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def nile(reference):
    with (reference / "nile" / "nile.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    return (
        jnp.array([[float(row[-1])] for row in rows]),
        json.loads((reference / "nile" / "reference.json").read_text()),
    )


def local_level(emission_var, process_var):
    one = jnp.ones((1, 1))
    return Model(one, process_var * one, one, emission_var * one)


def test_nile_from_a_flat_prior(nile):
    """The first flow starts the belief: its error is all that is known of the first level."""
    ys, published = nile
    at = published["at_durbin_koopman_params"]
    model = local_level(at["sigma2_eps"], at["sigma2_eta"])
    first = State(mean=ys[0], cov=model.emission_cov)
    filtered, info = kalman.filter(first, ys[1:], model=model)
    everything = with_start(first, filtered)
    smoothed = rts.smooth(everything, model=model)
    expected = {name: np.array(at[name]) for name in at if isinstance(at[name], list)}
    tight = {"rtol": 1e-8, "atol": 1e-8}
    np.testing.assert_allclose(everything.mean[:, 0], expected["filtered_state"], **tight)
    np.testing.assert_allclose(everything.cov[:, 0, 0], expected["filtered_var"], **tight)
    np.testing.assert_allclose(smoothed.mean[:, 0], expected["smoothed_state"], **tight)
    np.testing.assert_allclose(smoothed.cov[:, 0, 0], expected["smoothed_var"], **tight)
    np.testing.assert_allclose(info.innovation[:, 0], expected["forecast_error"][1:], **tight)
    np.testing.assert_allclose(
        info.innovation_cov[:, 0, 0], expected["forecast_error_var"][1:], **tight
    )
    dropped = info.log_likelihood.sum()
    np.testing.assert_allclose(dropped, -632.54563, atol=5e-6)
    diffuse = dropped - np.log(2 * np.pi) / 2
    np.testing.assert_allclose(diffuse, at["loglik_exact_diffuse"], rtol=1e-12)


def test_nile_from_proper_priors_on_the_first_level(nile):
    ys, published = nile

    def log_likelihoods(mean, var, model):
        prior = State(jnp.array([mean]), jnp.array([[var]]))
        first, info = kalman.update(prior, ys[0], model=model)
        filtered, rest = kalman.filter(first, ys[1:], model=model)
        return filtered, jnp.append(info.log_likelihood, rest.log_likelihood)

    proper = published["proper_prior_N(1000,1e6)_same_params"]
    filtered, logs = log_likelihoods(1000.0, 1e6, local_level(15099.0, 1469.1))
    np.testing.assert_allclose(logs.sum(), proper["loglik"], rtol=1e-12)
    np.testing.assert_allclose(filtered.mean[-3:, 0], proper["filtered_last3"], rtol=1e-10)
    np.testing.assert_allclose(filtered.cov[-1, 0, 0], proper["var_last"], rtol=1e-10)

    burnt = published["approx_diffuse_1e7_burn1"]
    _, logs = log_likelihoods(0.0, 1e7, local_level(burnt["sigma2_eps"], burnt["sigma2_eta"]))
    np.testing.assert_allclose(logs[1:].sum(), burnt["loglik"], rtol=1e-10)
