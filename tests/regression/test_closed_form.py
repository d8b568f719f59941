"""The closed form: evidence by quadrature, units, order of rows, published answers, SciPy."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mastery_jax.core.status import Status
from mastery_jax.inference.regression import closed_form, model, predictive, prior, simulated
from tests.regression.rows import assert_follows, awkward, belief

KEY = jax.random.key(0)


def test_the_evidence_and_moments_are_those_of_quadrature():
    X, y = np.array([[1.0], [2.0], [-0.5]]), np.array([0.7, 2.2, 0.1])
    a, b, m, s = 2.0, 0.9, 0.4, 1.3

    w, t = np.linspace(-40, 40, 4001)[:, None], np.linspace(-6, 8, 281)[None, :]
    sd = np.exp(t)
    joint = stats.norm(m, s * sd).pdf(w) * stats.invgamma(a, scale=b).pdf(sd**2) * 2 * sd**2
    for x, seen in zip(X[:, 0], y, strict=True):
        joint = joint * stats.norm(x * w, sd).pdf(seen)

    def total(power):  # equal steps lose nothing where all derivatives end at 0
        return (joint * sd**power).sum() * 0.02 * 0.05

    evidence = total(0)
    with jax.enable_x64(True):
        known = prior.Prior(*map(jnp.asarray, (np.array([m]), np.array([[s]]), a, b)))
        state, info = closed_form.fit(jnp.asarray(X), jnp.asarray(y), prior=known)
        found = closed_form.moments(state)
    np.testing.assert_allclose(info.log_evidence, np.log(evidence), rtol=1e-8)
    np.testing.assert_allclose(found.noise, total(1) / evidence, rtol=1e-8)


@pytest.mark.parametrize("shape", [0.3, 0.5, 0.8, 1.0, 1.2, 2.0, 30.0, 1e4, 1e6])
def test_moments_of_the_noise_keep_their_digits(shape):
    state = closed_form.State(*map(jnp.asarray, ([0.0], [[1.0]], shape, 2.0)))
    found = closed_form.moments(state)
    law = stats.gengamma(shape, -2, scale=np.sqrt(2.0))
    mean = law.mean() if shape > 0.5 else np.inf
    np.testing.assert_allclose(found.noise, mean, rtol=2e-6)
    if shape <= 1:
        assert np.isposinf(found.noise_sd)
    elif shape < 1e4:
        np.testing.assert_allclose(found.noise_sd, law.std(), rtol=1e-5)
    else:  # where SciPy has none left: 1/(8 a²) of b/a, and a little
        sd = np.sqrt(2.0 / shape) / (2 * np.sqrt(shape)) * (1 + 15 / 16 / shape)
        np.testing.assert_allclose(found.noise_sd, sd, rtol=1e-5)


def test_units_change_no_digit():
    """Columns times a power of two, in a prior of those units: the same bits, scaled back."""
    X, y = awkward(0)
    factor = np.float32([1.0, 2.0**20, 2.0**-30])
    known = belief(X, y)
    there = known._replace(root=known.root / factor[:, None], mean=known.mean / factor)
    state, info = closed_form.fit(X, y, prior=known)
    scaled, scaled_info = closed_form.fit(X * factor[None, :], y, prior=there)
    np.testing.assert_array_equal(scaled.mean * factor, state.mean)
    np.testing.assert_array_equal(scaled_info.log_evidence, info.log_evidence)


def test_the_prior_follows_the_units():
    """In other units of columns and y the weakly informative prior is the same belief."""
    X, y = awkward(0, dtype="float32")
    k, c = 1000.0, np.float32([1.0, 50.0, 0.01])
    known, other = belief(X, y), belief(X * c[None, :], k * y)
    np.testing.assert_allclose(other.root * c[:, None], known.root, rtol=1e-4)
    np.testing.assert_allclose(other.mean * c / k, known.mean, rtol=1e-5)
    np.testing.assert_allclose(other.rate, k**2 * known.rate, rtol=1e-4)


def test_rows_in_two_batches_are_rows_at_once():
    with jax.enable_x64(True):
        X, y = awkward(1, dtype="float64")
        start = belief(X, y)
        whole, info = closed_form.fit(X, y, prior=start)
        half, first = closed_form.fit(X[:15], y[:15], prior=start)
        then = prior.Prior(half.mean, half.factor, half.shape, half.rate)
        both, second = closed_form.fit(X[15:], y[15:], prior=then)
        evidence = first.log_evidence + second.log_evidence
    np.testing.assert_allclose(both.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(both.rate, whole.rate, rtol=1e-9)
    covs = [np.asarray(each.factor) @ np.asarray(each.factor).T for each in (both, whole)]
    np.testing.assert_allclose(*covs, rtol=1e-8)
    np.testing.assert_allclose(evidence, info.log_evidence, rtol=1e-10)


def test_a_column_twice_is_one_column_of_a_wider_prior():
    X, y = awkward(2)
    once, twice = X[:, 1:2], X[:, [1, 1]]
    one = jnp.ones(())
    wide = prior.Prior(jnp.zeros(1), 2**0.5 * 3e3 * jnp.eye(1), one, one)
    pair = prior.Prior(jnp.zeros(2), 3e3 * jnp.eye(2), one, one)
    alone, told = closed_form.fit(once, y, prior=wide)
    both, said = closed_form.fit(twice, y, prior=pair)
    np.testing.assert_allclose(both.mean.sum(), alone.mean[0], rtol=1e-4)
    np.testing.assert_allclose(said.log_evidence, told.log_evidence, rtol=1e-5)
    # What sets them apart is known by the prior alone.
    apart = jnp.asarray([1.0, -1.0]) @ both.factor
    np.testing.assert_allclose(apart @ apart, 2 * 3e3**2, rtol=1e-4)


def test_fewer_rows_than_columns():
    X = jax.random.normal(KEY, (4, 9))
    state, info = closed_form.fit(X, jnp.arange(4.0), prior=belief(X, jnp.arange(4.0)))
    assert info.status == Status.CONVERGED
    assert np.isfinite(np.concatenate([state.mean, state.factor.ravel()])).all()


def test_draws_follow_student_and_inverse_gamma():
    X, y = awkward(3, num_rows=8)
    state, _ = closed_form.fit(X, y, prior=belief(X, y))
    draws = closed_form.sample(KEY, state, num_draws=2000)
    lengths = np.sqrt((np.asarray(state.factor) ** 2).sum(axis=1))
    scale = np.sqrt(float(state.rate / state.shape)) * lengths
    for i in range(3):
        law = stats.t(2 * float(state.shape), float(state.mean[i]), scale[i])
        assert_follows(draws.weights[..., i], law)
    assert_follows(draws.noise, stats.gengamma(float(state.shape), -2, scale=state.rate**0.5))
    X_new = X[:2] * 1.5
    made = predictive.sample(jax.random.key(1), draws, X_new)
    told = closed_form.predict(state, X_new)
    for i in range(2):
        assert_follows(made[..., i], stats.t(told["df"][i], told["loc"][i], told["scale"][i]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda X, y, p: (X, y.at[0].set(jnp.nan), p),
        lambda X, y, p: (X.at[0, 0].set(jnp.inf), y, p),
        lambda X, y, p: (X, y, p._replace(shape=-p.shape)),
        lambda X, y, p: (X, y, p._replace(rate=0 * p.rate)),
        lambda X, y, p: (X, y, p._replace(root=p.root * jnp.nan)),
    ],
)
def test_what_has_no_answer_is_said(spoil):
    X, y = awkward(4)
    X, y, known = spoil(X, y, belief(X, y))
    state, info = closed_form.fit(X, y, prior=known)
    assert info.status == Status.BAD_INPUT
    assert np.isnan(state.mean).all()
    assert np.isnan(info.log_evidence)


def test_refusals():
    X, y = awkward(5)
    known = belief(X, y)
    with pytest.raises(ValueError, match=r"^closed_form.engine: family is 'bernoulli', not normal"):
        closed_form.engine(KEY, X, y, prior=known, family="bernoulli")
    with pytest.raises(ValueError, match=r"^closed_form.sample: num_draws is 0, not at least 1"):
        closed_form.engine(KEY, X, y, prior=known, num_draws=0)
    with pytest.raises(ValueError, match=r"^prior.weakly_informative: family is 'gamma', not one"):
        belief(X, y, family="gamma")
    with pytest.raises(ValueError, match=r"^model.pose: coordinates is 'polar', not rotated"):
        model.pose(X, y, prior=known, coordinates="polar")
    with pytest.raises(ValueError, match=r"^prior.weakly_informative: X has no rows"):
        belief(X[:0], y[:0])


def test_simulated_rows_are_as_asked():
    weights = jnp.array([1.0, 2.0, -1.0])
    data = simulated.sample(KEY, weights, num_rows=20_000, noise=0.5, correlation=0.9)
    np.testing.assert_allclose(np.corrcoef(data.X[:, 1:].T)[0, 1], 0.9, atol=0.01)
    np.testing.assert_allclose((data.y - data.X @ weights).std(), 0.5, rtol=0.03)
    state, _ = closed_form.fit(data.X, data.y, prior=belief(data.X, data.y))
    found = closed_form.moments(state)
    assert (abs(found.weights - weights) < 5 * found.weights_sd).all()
    assert abs(found.noise - data.noise) < 5 * found.noise_sd


@pytest.mark.reference
def test_longley(reference):
    """A prior that is nearly flat gives NIST's weights; and its errors, but for √(n − p) / √n."""
    folder = reference / "nist_linear"
    rows = np.loadtxt(folder / "longley.csv", delimiter=",", skiprows=1)
    certified = json.loads((folder / "reference.json").read_text())["longley"]
    raw = np.concatenate([np.ones((16, 1)), rows[:, 2:]], axis=1)
    for dtype, slack in (("float64", 1e-6), ("float32", 0.05)):
        with jax.enable_x64(True):
            X, y = jnp.asarray(raw, dtype), jnp.asarray(rows[:, 1], dtype)
            flat = belief(X, y, spread=1e7 if dtype == "float64" else 1e4)
            flat = flat._replace(shape=flat.shape * 1e-9, rate=flat.rate * 1e-9)
            state, _ = closed_form.fit(X, y, prior=flat)
        lengths = np.sqrt((np.asarray(state.factor, float) ** 2).sum(axis=1))
        errors = lengths * np.sqrt(float(state.rate / state.shape) * 16 / 9)
        off = (np.asarray(state.mean) - certified["certified"]) / certified["se"]
        np.testing.assert_allclose(off, 0, atol=slack)
        np.testing.assert_allclose(errors, certified["se"], rtol=slack)
