"""What a classifier learns of a family, held against members that it has not seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from sklearn.tree import DecisionTreeClassifier

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import logistic
from mastery_jax.numerics.quadrature import gauss_legendre
from mastery_jax.numerics.quadrature.choosing import features, plans, selector

ENDS = {"lower": 0.0, "upper": 1.0}
SHAPES = (
    lambda p, x: jnp.cos(60 * p * x) + 2,
    lambda p, x: jnp.exp(jnp.cos(2 * jnp.pi * x) * (1 + 4 * p)),
    lambda p, x: 1 / (1 + (40 * p * (x - 0.4)) ** 2),
    lambda p, x: jnp.abs(x - 0.1 - 0.8 * p),
)


def member(kind, p, x):
    return jax.lax.switch(kind, SHAPES, p, x)


def nearest():
    def predict(state, X):
        known, labels = state
        return labels[jnp.square(X[:, None] - known[None]).sum(axis=2).argmin(axis=1)]

    return {"fit": lambda X, y: (X, y), "predict": predict}


def tree():
    def fit(X, y):
        return DecisionTreeClassifier(random_state=0).fit(np.asarray(X), np.asarray(y))

    return {"fit": fit, "predict": lambda state, X: state.predict(np.asarray(X))}


def regression():
    def fit(X, y):
        return logistic.fit(X, y, num_classes=len(plans.PLANS), l2=1e-2)[0]

    return {"fit": fit, "predict": logistic.predict}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def family(double):
    rng = np.random.default_rng(0)
    kinds = jnp.asarray(rng.integers(0, len(SHAPES), 48), jnp.int32)
    return Partial(member, kinds, jnp.asarray(rng.uniform(size=48)))


def learn(family, *, seed=0, by=nearest, rtol=1e-4):
    given = {**by(), **ENDS, "rtol": rtol}
    return selector.fit_selector(jax.random.key(seed), family, **given)


@pytest.mark.parametrize("by", [nearest, tree, regression])
@pytest.mark.slow
def test_what_is_learned_is_held_against_members_not_seen(family, by):
    learned, report = learn(family, by=by)
    assert (report.num_train, report.num_held_out) == (34, 14)
    assert sum(report.labels.values()) == 48
    assert report.oracle.mean_evals <= min(policy.mean_evals for policy in report[:3])
    assert report.selector.mean_evals < report.search.mean_evals
    assert all(policy.reached == 1 for policy in report[:4])
    assert report.selector.accuracy > report.search.accuracy
    assert f"{report.selector.mean_evals:.1f}" in str(report)
    fn = Partial(member, jnp.int32(1), jnp.asarray(0.5, "float64"))
    choice = learned.choose(fn, 0.0, 1.0)
    assert choice.method in plans.PLANS
    assert "of 34 members that were learned from" in choice.reason
    estimate, bound = choice.integrate(fn, 0.0, 1.0)
    assert bound.status == Status.CONVERGED
    np.testing.assert_allclose(estimate, np.i0(3.0), rtol=1e-4)


@pytest.mark.slow
def test_the_label_is_the_cheapest_that_reaches_the_tolerance():
    """Of a polynomial, four nodes and twice that; of a kink, the search."""
    ends = jnp.zeros(()), jnp.ones(())
    cubic = (Partial(lambda x: x**3), *ends)
    found = selector.chooser.interval(*cubic, rtol=1e-6, atol=0.0)
    costs = dict(zip(plans.PLANS, selector._costs(cubic, found, 0.25, 1e-6), strict=True))
    _, bound = gauss_legendre.integrate(*cubic, num_nodes=4)
    assert costs["gauss_legendre"] == int(bound.num_evals) == 6
    assert costs["gauss_kronrod"] == 30
    kink = (Partial(lambda x: jnp.abs(x - 0.3)), *ends)
    found = selector.chooser.interval(*kink, rtol=1e-8, atol=0.0)
    costs = selector._costs(kink, found, 0.29, 1e-8)
    assert np.argmin(costs) == list(plans.PLANS).index("gauss_kronrod")
    assert np.isinf(costs[:2]).all()


@pytest.mark.slow
def test_the_same_key_learns_the_same(family):
    (_, first), (_, second), (_, other) = learn(family), learn(family), learn(family, seed=1)
    assert first == second
    assert first.selector != other.selector or first.oracle != other.oracle


def test_a_sequence_of_members():
    members = [
        (Partial(member, jnp.int32(k % 4), jnp.asarray(0.1 + 0.08 * k, "float64")), 0.0, 1.0)
        for k in range(8)
    ]
    given = nearest()
    _, report = selector.fit_selector(jax.random.key(0), members, **given, rtol=1e-4)
    assert report.num_train + report.num_held_out == 8


def test_a_rule_that_cannot_serve_is_replaced():
    """The classifier says Gauss-Legendre to all; an infinite end has no such rule."""
    label = list(plans.PLANS).index("gauss_legendre")
    width = len(features.Features._fields)
    always = selector.Selector(
        lambda state, X: jnp.full(len(X), label), None, np.zeros(width), np.ones(width), 9, 1e-6
    )
    choice = always.choose(Partial(lambda x: jnp.exp(-x)), 0.0, jnp.inf)
    assert choice.method == "gauss_kronrod"
    assert "gauss_legendre does not suit" in choice.reason


@pytest.mark.parametrize(
    ("family", "given", "said"),
    [
        (Partial(jnp.sin), ENDS, "family has no leaves of one leading axis"),
        (Partial(jnp.add, jnp.ones(5)), {}, "lower and upper are None and None, not two numbers"),
        (Partial(jnp.add, jnp.ones(3)), ENDS, "family has 3 members, not at least 4"),
        (Partial(jnp.add, jnp.ones(5)), {**ENDS, "rtol": 0.0}, "rtol is 0.0, not greater than 0"),
        (Partial(jnp.add, jnp.ones(5)), {**ENDS, "held_out": 1.0}, "held_out is 1.0, not between"),
        (Partial(lambda a, x: a / x, jnp.ones(5)), ENDS, "member 0 has the integral"),
    ],
)
def test_what_is_refused(family, given, said):
    with pytest.raises(ValueError, match=f"selector.fit_selector: {said}"):
        selector.fit_selector(jax.random.key(0), family, **nearest(), **given)
