"""Every law on every case, and a reason for every exemption."""

import jax
import pytest

from tests.cases import CASES
from tests.contract import (
    LAWS,
    float32_is_close_to_float64,
    grad_equals_finite_difference,
    jit_equals_eager,
    unexplained,
    vmap_equals_loop,
)

# What make test leaves to make test-full: the one law that compiles operation by operation, which
# takes as long as all the others, and three more laws of cases of some ten CPU-seconds and more.
DEAR_LAWS = (
    float32_is_close_to_float64,
    grad_equals_finite_difference,
    vmap_equals_loop,
)
DEAR_ROOMS = {  # modules all of whose cases are dear
    *("associative", "expectation_maximization", "information", "square_root", "two_filter"),
    *("cubature", "extended", "iterated_extended", "unscented", "particle", "particle_smoother"),
    *("chains", "ensemble", "gibbs", "sample_adaptive", "tempering", "warmup"),
    "adaptive_metropolis",
    *("autoregressive", "continuous", "radial", "spline", "spline_coupling", "sylvester"),
    *("coordinate_ascent", "low_rank", "numpyro_svi", "pathfinder", "secant_normal", "svgd"),
    *("bayesian", "bootstrap", "doubly_robust", "glm", "instrument", "learners", "matching"),
    *("propensity", "refutation", "regression", "synthetic", "weighting"),
    *("box_features", "features", "logistic", "markov", "rts", "variational"),
    *("adaboost", "boosting_classifier", "boosting_regressor", "forest_classifier"),
    *("forest_regressor", "tree_classifier", "tree_regressor", "binning"),
    *("dual", "linear_svm", "svm_classifier", "svm_regressor", "knn_classifier", "knn_regressor"),
    *("bayesian_ridge", "elastic_net", "huber", "linear_regression", "search"),
    *("dbscan", "gaussian_mixture", "kmeans", "tsne", "kernel_pca", "randomized_svd"),
    *("kernel", "permutation", "gradient", "tree_interventional", "tree_path_dependent"),
    *(
        "curves",
        "halving",
        "nested",
        "als",
        "funk_svd",
        "implicit_als",
        "calibration",
        "classification",
        "clustering",
        "ranking",
    ),
    *("diagnostics", "dopri5", "elbo", "event", "health", "laplace", "rodas4", "trust"),
}
DEAR = {
    "antithetic.integrate",
    "batch.ask",
    "bayesian_quadrature.ask",
    "control_variates.integrate",
    "coordinate_descent.cross_validate",
    "dense.solve dopri5",
    "dense.solve rodas4",
    "distributions.sample binomial",
    "distributions.sample gamma",
    "fit.maximum_likelihood",
    "fit.reverse_kl",
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
    "stratified.integrate",
    "surrogate.fit",
    "thompson.ask",
    "unconstrained.start",
    "vegas.integrate",
}


# A program meets few numbers here; the other tests run what users run.
pytestmark = pytest.mark.usefixtures("quick_compilation")


def pair(law, case):
    """Keep the laws of a case on one worker: they share its compiled programs."""
    marks = [pytest.mark.xdist_group(case.name)]
    room = case.function.partition(".")[0]
    is_named = case.name in DEAR or room in DEAR_ROOMS
    if law is jit_equals_eager or (is_named and law in DEAR_LAWS):
        marks.append(pytest.mark.slow)
    return pytest.param(law, case, id=f"{case.name}-{law.__name__}", marks=marks)


@pytest.mark.parametrize(("law", "case"), [pair(law, case) for case in CASES for law in LAWS])
def test_contract(law, case):
    law(case)
    if law is jit_equals_eager:
        jax.clear_caches()  # a process has room for so many programs, and each operation was one


def test_every_exemption_has_a_reason():
    assert unexplained(CASES) == []


def test_names_are_unique_and_known():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert set(names) >= DEAR
