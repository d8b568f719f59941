"""Cases of linear filters that carry a square root or the inverse of the covariance."""

import jax
import numpy as np
from scipy import linalg

from mastery_jax.inference.filtering import (
    factored,
    information,
    linear_gaussian,
    matrix,
    square_root,
    two_filter,
)
from tests.cases.filtering import (
    filter_by_conditioning,
    filtered,
    large,
    model,
    state,
    ys,
)
from tests.cases.linear_filtering import ahead, smooth_still, still
from tests.contract import Case

rng = np.random.default_rng(2)
n = len(state.mean)

roots = factored.Model(
    transition=model.transition,
    process_factor=np.linalg.cholesky(model.process_cov) @ linalg.qr(rng.normal(size=(n, n)))[0],
    emission=model.emission,
    emission_factor=np.linalg.cholesky(model.emission_cov),
    process_mean=still.process_mean,
    emission_mean=still.emission_mean,
)
root_state = factored.State(state.mean, np.linalg.cholesky(state.cov))
wide = rng.normal(size=(4, 6))
root_beliefs = factored.Beliefs(filtered.mean, np.linalg.cholesky(filtered.cov))


def inverted(beliefs):
    precision = np.linalg.inv(beliefs.cov)
    return information.Beliefs(np.einsum("tij,tj->ti", precision, beliefs.mean), precision)


def rooted(beliefs):
    return factored.Beliefs(beliefs.mean, np.linalg.cholesky(beliefs.cov))


def covariances(model):
    """Return the model by covariances, of one by square roots."""
    return linear_gaussian.Model(
        model.transition,
        model.process_factor @ model.process_factor.T,
        model.emission,
        model.emission_factor @ model.emission_factor.T,
        model.process_mean,
        model.emission_mean,
    )


def square(state):
    return linear_gaussian.State(state.mean, state.factor @ state.factor.T)


def filter_by_roots(state, ys, *, model):
    beliefs, info = filter_by_conditioning(square(state), ys, model=covariances(model))
    return rooted(beliefs), info


def one_of(result):
    return jax.tree.map(lambda leaf: leaf[0], result)


def without_moving(model):
    zero = np.zeros((n, n))
    names = ("process_factor",) if isinstance(model, factored.Model) else ("process_cov",)
    return model._replace(transition=np.eye(n), process_mean=zero[0], **dict.fromkeys(names, zero))


def moments_of(state):
    cov = np.linalg.inv(state.precision)
    return linear_gaussian.State(cov @ state.information, cov)


def normalized(state):
    """Return a belief of mass 1 by its information."""
    precision = np.linalg.inv(state.cov)
    vector = precision @ state.mean
    log_det = np.linalg.slogdet(2 * np.pi * state.cov)[1]
    return information.State(vector, precision, -(state.mean @ vector + log_det) / 2)


def told(info):
    return information.Info(*info, is_known=np.ones(np.shape(info.log_likelihood), bool))


def filter_by_information(state, ys, *, model):
    beliefs, info = filter_by_conditioning(moments_of(state), ys, model=model)
    return inverted(beliefs), told(info)


def step_by_information(state, y, *, model):
    beliefs, info = one_of(filter_by_conditioning(moments_of(state), y[None], model=model))
    return normalized(linear_gaussian.State(*beliefs)), told(info)


def symmetric(cov):
    return (cov + cov.T) / 2


def root_squared(cov):
    root = matrix.root(cov)
    return root @ root.T


def factor_squared(mean, cov):
    state = factored.init(mean, cov)
    return state.mean, state.factor @ state.factor.T


def model_squared(model):
    return covariances(factored.from_linear(model))


known = normalized(state)
informed = inverted(filter_by_conditioning(state, ys, model=still)[0])

CASES = (
    Case("matrix.cholesky", matrix.cholesky, (large,), oracle=np.linalg.cholesky),
    Case(
        "matrix.triangular",
        matrix.triangular,
        (wide,),
        oracle=lambda wide: np.linalg.cholesky(wide @ wide.T),
    ),
    Case("matrix.root", root_squared, (large,), oracle=symmetric),
    Case(
        "matrix.solve_lower",
        matrix.solve_lower,
        (np.tril(large[:9, :9]), large[:9, 0]),
        oracle=lambda factor, rhs: np.linalg.solve(factor, rhs),
        unchecked=("1",),
        because="vectors may lie along any number of axes after the first",
    ),
    Case("factored.init", factor_squared, (state.mean, state.cov), oracle=lambda *given: given),
    Case(
        "factored.from_linear",
        model_squared,
        (still,),
        oracle=lambda model: model,
        any_rank=True,
        because="a field of the model may have an axis of steps",
    ),
    Case(
        "factored.moments",
        factored.moments,
        (root_beliefs,),
        oracle=lambda beliefs: (beliefs.mean, filtered.cov),
    ),
    Case(
        "square_root.predict",
        square_root.predict,
        (root_state,),
        {"model": roots},
        oracle=lambda state, model: rooted(ahead(square(state), model=covariances(model))),
    ),
    Case(
        "square_root.update",
        square_root.update,
        (root_state, ys[0]),
        {"model": roots},
        oracle=lambda state, y, model: one_of(
            filter_by_roots(state, y[None], model=without_moving(model))
        ),
    ),
    Case(
        "square_root.step",
        square_root.step,
        (root_state, ys[0]),
        {"model": roots},
        oracle=lambda state, y, model: one_of(filter_by_roots(state, y[None], model=model)),
    ),
    Case(
        "square_root.filter",
        square_root.filter,
        (root_state, ys),
        {"model": roots},
        oracle=filter_by_roots,
    ),
    Case(
        "square_root.smooth",
        square_root.smooth,
        (rooted(filter_by_conditioning(state, ys, model=still)[0]),),
        {"model": roots},
        oracle=lambda filtered, model: rooted(smooth_still(filtered, model=model)),
    ),
    Case(
        "information.init",
        information.init,
        (state.mean, state.cov),
        oracle=lambda mean, cov: normalized(linear_gaussian.State(mean, cov)),
    ),
    Case(
        "information.moments",
        information.moments,
        (informed,),
        oracle=lambda beliefs: filter_by_conditioning(state, ys, model=still)[0],
    ),
    Case(
        "information.predict",
        information.predict,
        (known,),
        {"model": still},
        oracle=lambda state, model: normalized(ahead(moments_of(state), model=model)),
    ),
    Case(
        "information.update",
        information.update,
        (known, ys[0]),
        {"model": still},
        oracle=lambda state, y, model: step_by_information(state, y, model=without_moving(model)),
    ),
    Case(
        "information.step",
        information.step,
        (known, ys[0]),
        {"model": still},
        oracle=step_by_information,
    ),
    Case(
        "information.filter",
        information.filter,
        (known, ys),
        {"model": still},
        oracle=filter_by_information,
    ),
    Case(
        "two_filter.smooth",
        two_filter.smooth,
        (informed, ys),
        {"model": still},
        oracle=lambda filtered, ys, model: inverted(smooth_still(filtered, model=model)),
    ),
)
