"""Every law on every case, and a reason for every exemption."""

import pytest

from tests.cases import CASES
from tests.contract import (
    LAWS,
    grad_equals_finite_difference,
    jit_equals_eager,
    unexplained,
    vmap_equals_loop,
)

# Cases of some ten CPU-seconds and more, and the laws that take most of them: make test-full.
DEAR_LAWS = (jit_equals_eager, grad_equals_finite_difference, vmap_equals_loop)
DEAR = {
    "antithetic.integrate",
    "batch.ask",
    "bayesian_quadrature.ask",
    "control_variates.integrate",
    "coordinate_descent.cross_validate",
    "dense.solve dopri5",
    "dense.solve rodas4",
    "diagnostics.ess(bulk)",
    "diagnostics.ess(mean)",
    "diagnostics.ess(tail)",
    "distributions.sample binomial",
    "distributions.sample gamma",
    "francis.eigvals",
    "halton.sample",
    "importance.expectation",
    "importance.integrate",
    "ksg.mutual_information",
    "lagrange.minimize",
    "lbfgs.minimize",
    "lbfgs.minimize in a box",
    "levenberg_marquardt.minimize",
    "linear_gaussian.simulate",
    "marginal_likelihood.maximize",
    "maximum_likelihood.fit",
    "multistart.minimize",
    "newton.minimize",
    "nuts.sample",
    "nuts.step",
    "one_point.ask",
    "power_iteration.solve",
    "qr_algorithm.eigh",
    "quadratic_program.solve",
    "quasi.integrate",
    "rodas4.solve direct",
    "rodas4.solve forward",
    "stratified.integrate",
    "surrogate.fit",
    "thompson.ask",
    "unconstrained.start",
    "vegas.integrate",
}


def pair(law, case):
    """Keep the laws of a case on one worker: they share its compiled programs."""
    marks = [pytest.mark.xdist_group(case.name)]
    if case.name in DEAR and law in DEAR_LAWS:
        marks.append(pytest.mark.slow)
    return pytest.param(law, case, id=f"{case.name}-{law.__name__}", marks=marks)


@pytest.mark.parametrize(("law", "case"), [pair(law, case) for case in CASES for law in LAWS])
def test_contract(law, case):
    law(case)


def test_every_exemption_has_a_reason():
    assert unexplained(CASES) == []


def test_names_are_unique_and_known():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert set(names) >= DEAR
