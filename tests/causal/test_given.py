"""What users give: choices that are none are refused, an estimator is taken as it is."""

import importlib
import inspect
import pkgutil
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.inference import causal
from mastery_jax.inference.causal import (
    balance,
    bayesian,
    bootstrap,
    effect,
    instrument,
    nuisance,
    propensity,
    refutation,
    regression,
    weighting,
)


def choices():
    """Return the options of every public function whose annotation is a Literal."""
    found = {}
    for each in pkgutil.iter_modules(causal.__path__):
        module = importlib.import_module(f"{causal.__name__}.{each.name}")
        for verb in module.__all__:
            fn = inspect.unwrap(getattr(module, verb))
            hints = typing.get_type_hints(fn) if inspect.isfunction(fn) else {}
            for name, hint in hints.items():
                if typing.get_origin(hint) is typing.Literal:
                    found[f"{each.name}.{verb} {name}"] = typing.get_args(hint)
    return found


CHOICES = choices()
x = np.linspace(-1, 1, 12, dtype=np.float32)
X = np.stack([x, np.cos(9 * x)], axis=1)
T = np.arange(12, dtype=np.int32) % 2
y = x + np.float32(2) * T.astype(np.float32) + np.sin(20 * x)
half = np.full(12, 0.5, np.float32)
GIVEN = {
    **{"key": jax.random.key(0), "X": X, "treatment": T, "y": y, "weights": half},
    **{"instruments": X, "scores": half, "treated": half, "e": half},
    **{"statistic": Partial(jnp.sum), "confounding": 1.0, "num_units": 3},
}


def test_the_options_are_seen():
    assert len(CHOICES) == 14
    assert CHOICES["matching.estimate metric"] == ("variance", "mahalanobis")


@pytest.mark.parametrize("which", CHOICES)
def test_a_choice_that_is_none_is_refused(which):
    where, _, name = which.partition(" ")
    module, verb = where.split(".")
    fn = getattr(importlib.import_module(f"{causal.__name__}.{module}"), verb)
    params = inspect.signature(fn).parameters.values()
    given = {p.name: GIVEN[p.name] for p in params if p.default is p.empty and p.name != name}
    known = ", ".join(CHOICES[which])
    with pytest.raises(ValueError, match=rf"^{where}: {name} is 'Ate', not one of {known}(\n|$)"):
        fn(**given, **{name: "Ate"})


def test_an_estimator_is_taken_with_its_choices():
    """Choices are part of the program, numbers are not: other numbers make no other program."""
    given = (jax.random.key(0), X, T, y)
    options = {"num_replicates": 2, "lanes": 2}
    seen = []

    def counted(X, treatment, y, *, weights, error, level):
        seen.append(error)
        return instrument.regress(X, treatment, y, weights=weights, error=error, level=level)

    for level in (0.5, 0.9):
        estimator = Partial(counted, error="hc0", level=level)
        found = refutation.subset(*given, estimator=estimator, **options).original
        wanted, _ = instrument.regress(X, T, y, error="hc0", level=level)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert seen == ["hc0", "hc0"], "traced for the original and for the replicates, once"


def test_a_function_that_is_no_partial_is_refused():
    given = (jax.random.key(0), X, T, y)
    said = "not a jax.tree_util.Partial"
    for verb in ("placebo", "random_common_cause", "subset"):
        with pytest.raises(ValueError, match=f"^refutation.{verb}: estimator is estimate, {said}"):
            getattr(refutation, verb)(*given, estimator=regression.estimate)
    with pytest.raises(ValueError, match=f"^bootstrap.estimate: statistic is sum, {said}"):
        bootstrap.estimate(given[0], jnp.ones(3), statistic=jnp.sum)
    with pytest.raises(ValueError, match=f"^bayesian.average: mean is int, {said}"):
        bayesian.average(given[0], jnp.ones(3), X, mean=3)


def test_a_treatment_may_be_a_boolean():
    is_treated = T == 1
    blind = nuisance.Learner(
        Partial(lambda X, y, w: (w * y).sum() / w.sum()), Partial(lambda s, X: s + 0 * X[:, 0])
    )
    scores = [
        propensity.estimate(X, each, learner=blind, num_folds=2)[0] for each in (T, is_treated)
    ]
    np.testing.assert_array_equal(*scores)
    weights = [weighting.weigh(each, scores[0]) for each in (T, is_treated)]
    np.testing.assert_array_equal(*weights)
    tables = [balance.measure(X, each, weights[0]) for each in (T, is_treated)]
    np.testing.assert_array_equal(*tables)
    shares = [balance.overlap(scores[0], each).treated for each in (T, is_treated)]
    np.testing.assert_array_equal(*shares)
    for each in zip(
        *(effect.arms(jnp.asarray(each), None, jnp.asarray(y)) for each in (T, is_treated)),
        strict=True,
    ):
        np.testing.assert_array_equal(*each)
    slopes = [instrument.regress(X, each, y)[0] for each in (T, is_treated, T.astype(y.dtype))]
    np.testing.assert_array_equal(slopes[0], slopes[1])
    np.testing.assert_array_equal(slopes[0], slopes[2])
