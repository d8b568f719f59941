"""A model learned from a series: by expectation-maximization, and by the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from mastery_jax.core.status import Status
from mastery_jax.inference.filtering import expectation_maximization, information, kalman, rts
from mastery_jax.inference.filtering import linear_gaussian as linear
from mastery_jax.inference.filtering.linear_gaussian import Model, State
from tests.test_nile import local_level, nile

__all__ = ["nile"]  # a fixture

few = settings(deadline=None, max_examples=8, derandomize=True)
ALL = ("transition", "process_mean", "process_cov", "emission", "emission_cov", "start")


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def drawn(seed, num_steps):
    """Return a model of two states, a belief, and what is seen of a path."""
    rng = np.random.default_rng(seed)
    model = Model(
        transition=jnp.array([[0.8, 0.2], [-0.1, 0.7]]),
        process_cov=jnp.array([[0.5, 0.1], [0.1, 0.3]]),
        emission=jnp.array([[1.0, 0.0], [0.5, 1.0]]),
        emission_cov=jnp.array([[0.4, 0.2], [0.2, 0.6]]),
        process_mean=jnp.array([1.0, -0.5]),
        emission_mean=jnp.array([100.0, 0.0]),
    )
    start = State(jnp.zeros(2), jnp.eye(2))
    path = linear.simulate(jax.random.key(seed), start, model=model, num_steps=num_steps)
    return start, model, path.observations, jnp.array(rng.random((num_steps, 2)) < 0.8)


def away(model):
    """Return a model that is not the one that a series is drawn from."""
    return model._replace(
        transition=0.5 * jnp.eye(2),
        process_mean=jnp.zeros(2),
        process_cov=jnp.eye(2),
        emission_cov=2 * jnp.eye(2),
    )


@few
@given(st.integers(0, 2**31), st.sampled_from([ALL, ALL[2:3], ALL[:2], ALL[3:5], ALL[5:]]))
def test_the_likelihood_never_falls(seed, learned):
    start, model, ys, seen = drawn(seed, 40)
    state = expectation_maximization.State(model=away(model), start=start)
    logs = []
    for _ in range(15):
        state, info = expectation_maximization.step(state, ys, is_observed=seen, learned=learned)
        logs.append(float(info.log_likelihood))
    rises = np.diff(logs)
    assert rises.min() > -1e-9
    assert rises.max() > 1e-3


def test_a_long_series_tells_the_model_that_it_came_from():
    start, model, ys, seen = drawn(0, 4000)
    state = expectation_maximization.State(model=away(model), start=start)
    learned = ("transition", "process_mean", "process_cov", "emission_cov")
    found, info = expectation_maximization.fit(
        state, ys, is_observed=seen, learned=learned, atol=1e-8, max_steps=400
    )
    assert int(info.status) == Status.CONVERGED
    for name in learned:
        np.testing.assert_allclose(getattr(found.model, name), getattr(model, name), atol=0.12)
    np.testing.assert_array_equal(found.model.emission, model.emission)


def test_when_it_ends_does_not_depend_on_units():
    start, model, ys, _ = drawn(0, 100)
    model = away(model)
    in_mm = model._replace(
        emission=1000 * model.emission,
        emission_mean=1000 * model.emission_mean,
        emission_cov=1e6 * model.emission_cov,
    )
    counts = [
        expectation_maximization.fit(
            expectation_maximization.State(model=m, start=start), y, atol=1e-5
        )[1].num_steps
        for m, y in [(model, ys), (in_mm, 1000 * ys)]
    ]
    assert int(counts[0]) == int(counts[1])


def test_single_precision_finds_the_same_though_the_series_is_far_from_zero():
    start, model, ys, _ = drawn(1, 300)
    state = expectation_maximization.State(model=away(model), start=start)

    def fitted(dtype):
        given = jax.tree.map(lambda x: x.astype(dtype), (state, ys))
        return expectation_maximization.fit(*given, atol=0.0, max_steps=30)[0]

    wide, narrow = fitted("float64"), fitted("float32")
    np.testing.assert_allclose(narrow.model.process_cov, wide.model.process_cov, rtol=2e-3)
    np.testing.assert_allclose(narrow.model.emission_cov, wide.model.emission_cov, rtol=2e-3)


def test_a_diagonal_covariance_stays_so():
    start, model, ys, _ = drawn(2, 100)
    state = expectation_maximization.State(model=away(model), start=start)
    after, _ = expectation_maximization.step(state, ys, diagonal=("process_cov",))
    assert after.model.process_cov[0, 1] == 0
    assert abs(after.model.emission_cov[0, 1]) > 1e-3
    full, _ = expectation_maximization.step(state, ys)
    np.testing.assert_allclose(
        jnp.diagonal(after.model.process_cov), jnp.diagonal(full.model.process_cov)
    )


@pytest.mark.parametrize(
    ("learned", "change", "said"),
    [
        (("q",), {}, "learned has 'q', not one of transition"),
        (("process_mean",), {"process_mean": None}, "model.process_mean is None, and learned"),
        (("emission",), {"emission_cov": (40, 2, 2)}, r"model.emission_cov is float64\[40,2,2\]"),
    ],
)
def test_what_cannot_be_learned_is_said(learned, change, said):
    start, model, ys, _ = drawn(3, 40)
    for name, shape in change.items():
        value = shape if shape is None else jnp.broadcast_to(getattr(model, name), shape)
        model = model._replace(**{name: value})
    state = expectation_maximization.State(model=model, start=start)
    with pytest.raises(ValueError, match=f"expectation_maximization.step: {said}"):
        expectation_maximization.step(state, ys, learned=learned)


def test_no_series_is_refused():
    start, model, ys, _ = drawn(3, 40)
    state = expectation_maximization.State(model=model, start=start)
    with pytest.raises(ValueError, match="step: ys has 0 steps, not at least 1"):
        expectation_maximization.step(state, ys[:0])


def flat():
    return information.init(jnp.zeros(1), jnp.ones((1, 1)), is_flat=jnp.array([True]))


@pytest.mark.reference
def test_nile_by_expectation_maximization_and_by_gradient(nile):
    """Both reach the variances and the likelihood of Durbin and Koopman (2012), section 2.10."""
    ys, published = nile
    at = published["at_durbin_koopman_params"]

    def loss(log_vars):
        model = local_level(*jnp.exp(log_vars))
        return -information.filter(flat(), ys, model=model)[1].log_likelihood.sum()

    found = optimize.minimize(
        jax.jit(jax.value_and_grad(loss)), np.log([1e4, 1e4]), jac=True, options={"gtol": 1e-8}
    )
    np.testing.assert_allclose(np.exp(found.x), [15098.5, 1469.18], rtol=1e-4)
    np.testing.assert_allclose(-found.fun, at["loglik_exact_diffuse"], atol=1e-5)

    vague = State(jnp.zeros(1), 1e9 * jnp.ones((1, 1)))
    state = expectation_maximization.State(model=local_level(1e4, 1e4), start=vague)
    learned, info = expectation_maximization.fit(state, ys, atol=1e-11, max_steps=3000)
    assert int(info.status) == Status.CONVERGED
    np.testing.assert_allclose(learned.model.emission_cov[0, 0], 15098.5, rtol=1e-3)
    np.testing.assert_allclose(learned.model.process_cov[0, 0], 1469.18, rtol=1e-3)
    exact = information.filter(flat(), ys, model=learned.model)[1].log_likelihood.sum()
    np.testing.assert_allclose(exact, at["loglik_exact_diffuse"], atol=1e-4)


@pytest.mark.reference
def test_nile_from_a_flat_belief_without_its_first_flow(nile):
    ys, published = nile
    at = published["at_durbin_koopman_params"]
    model = local_level(at["sigma2_eps"], at["sigma2_eta"])
    beliefs, info = information.filter(flat(), ys, model=model)
    np.testing.assert_allclose(info.log_likelihood.sum(), at["loglik_exact_diffuse"], rtol=1e-12)
    moments = information.moments(beliefs)
    np.testing.assert_allclose(moments.mean[:, 0], at["filtered_state"], rtol=1e-8)
    np.testing.assert_allclose(
        rts.smooth(moments, model=model).mean[:, 0], at["smoothed_state"], rtol=1e-8
    )
    first = kalman.State(ys[0], model.emission_cov)
    dropped = kalman.filter(first, ys[1:], model=model)[1].log_likelihood.sum()
    gap = dropped - info.log_likelihood.sum()
    np.testing.assert_allclose(gap, np.log(2 * np.pi) / 2, rtol=1e-9)
