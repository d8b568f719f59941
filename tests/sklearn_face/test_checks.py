"""scikit-learn's own checks of an estimator, on every class of the table.

What fails is in ``subjects.FAILING`` with its reason; a check of that table that passes is an
error here (``xfail_strict``), and so is one that names no check.
"""

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from mastery_jax.learning.sklearn import estimators
from tests.sklearn_face.subjects import FAILING, FAST, subject

# Shapes of a few rows end some searches early; scikit-learn's own test leaves this warning out too.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

REST = [name for name in estimators.__all__ if name not in FAST]


def failing(estimator):
    return FAILING.get(type(estimator).__name__, {})


@parametrize_with_checks(
    [subject(name) for name in FAST], expected_failed_checks=failing, xfail_strict=True
)
def test_one_of_each_family(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [subject(name) for name in REST], expected_failed_checks=failing, xfail_strict=True
)
def test_the_rest(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", FAILING)
def test_what_fails_is_a_check(name):
    checks = {check.func.__name__ for _, check in estimator_checks_generator(subject(name))}
    assert FAILING[name].keys() <= checks
    assert all(FAILING[name].values()), "a reason"
