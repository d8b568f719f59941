"""A pendulum that is pushed, its squares seen, and what NumPy makes of it from the definitions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.inference.filtering import (
    cubature,
    extended,
    iterated_extended,
    kalman,
    nonlinear,
    unscented,
)
from mastery_jax.inference.filtering.linear_gaussian import State
from tests.contract import Case

rng = np.random.default_rng(0)
PULL, DRAG = 0.4, 0.9


def swing(rates, x, push):
    return jnp.stack([x[0] + 0.1 * x[1] + push[0], rates[1] * x[1] - rates[0] * jnp.sin(x[0])])


def squares(x, push):
    return jnp.stack([jnp.sqrt(1 + x[0] ** 2), x[0] * x[1] + push[0]])


def swing_and_slope(x, push):
    value = np.array([x[0] + 0.1 * x[1] + push[0], DRAG * x[1] - PULL * np.sin(x[0])])
    return value, np.array([[1, 0.1], [-PULL * np.cos(x[0]), DRAG]])


def squares_and_slope(x, push):
    root = np.sqrt(1 + x[0] ** 2)
    return np.array([root, x[0] * x[1] + push[0]]), np.array([[x[0] / root, 0], [x[1], x[0]]])


MODEL = nonlinear.Model(
    transition=Partial(swing, np.array([PULL, DRAG])),
    process_cov=np.array([[0.2, 0.05], [0.05, 0.3]]),
    emission=Partial(squares),
    emission_cov=np.array([[0.3, 0.1], [0.1, 0.4]]),
)
STATE = State(mean=np.array([0.7, -0.4]), cov=np.array([[0.8, 0.3], [0.3, 0.5]]))
YS = rng.normal(size=(3, 2)) + np.array([1.0, 0.0])
PUSHES = 0.1 * rng.normal(size=(3, 1))
PUSH = PUSHES[0]
SEEN = np.array([[True, True], [False, True], [False, False]])
ANY = "inputs belong to the functions of the model"


def by_tangent(fn, mean, cov):
    value, slope = fn(mean)
    return value, slope @ cov @ slope.T, cov @ slope.T


def by_weights(alpha, beta, kappa):
    """Return the unscented transform with its weights, as Wan and van der Merwe write it."""

    def moments(fn, mean, cov):
        n = len(mean)
        scale = alpha**2 * (n + kappa)
        root = np.linalg.cholesky(scale * cov)
        points = np.array([mean, *(mean + root.T), *(mean - root.T)])
        weights = np.full(2 * n + 1, 1 / (2 * scale))
        weights[0] = 1 - n / scale
        weights_cov = weights.copy()
        weights_cov[0] += 1 - alpha**2 + beta
        values = np.array([fn(x)[0] for x in points])
        center = weights @ values
        away = values - center
        spread = (weights_cov[:, None] * away).T @ away
        return center, spread, (weights_cov[:, None] * (points - mean)).T @ away

    return moments


def by_cubature(fn, mean, cov):
    n = len(mean)
    root = np.linalg.cholesky(cov)
    points = mean + np.sqrt(n) * np.array([*root.T, *-root.T])
    values = np.array([fn(x)[0] for x in points])
    away = values - values.mean(axis=0)
    return values.mean(axis=0), away.T @ away / (2 * n), (points - mean).T @ away / (2 * n)


def predicted(moments, state, model, push):
    mean, cov, _ = moments(lambda x: swing_and_slope(x, push), state.mean, state.cov)
    return State(mean, cov + model.process_cov)


def updated(moments, state, y, model, push, seen):
    """Condition on what is seen alone, by the textbook's P − K S Kᵀ."""
    value, cov, cross = moments(lambda x: squares_and_slope(x, push), state.mean, state.cov)
    S = cov + model.emission_cov
    r, K = (y - value)[seen], cross[:, seen] @ np.linalg.inv(S[np.ix_(seen, seen)])
    log_likelihood = (
        -(
            r @ np.linalg.inv(S[np.ix_(seen, seen)]) @ r
            + np.linalg.slogdet(2 * np.pi * S[np.ix_(seen, seen)])[1]
        )
        / 2
    )
    info = kalman.Info(
        log_likelihood,
        np.where(seen, y - value, 0),
        np.where(np.outer(seen, seen), S, np.eye(len(y))),
    )
    return State(state.mean + K @ r, state.cov - K @ cross[:, seen].T), info


def stacked(rows):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def filtered(moments, state, ys, model, pushes, seen, update=updated):
    rows = []
    for y, push, now in zip(ys, pushes, seen, strict=True):
        state, info = update(moments, predicted(moments, state, model, push), y, model, push, now)
        rows.append((kalman.Beliefs(*state), info))
    return stacked(rows)


def smoothed(moments, beliefs, model, pushes):
    """Smooth by P + G (P' − P_ahead) Gᵀ."""
    later = State(beliefs.mean[-1], beliefs.cov[-1])
    rows = [later]
    for mean, cov, push in list(zip(beliefs.mean, beliefs.cov, pushes[1:], strict=False))[::-1]:
        ahead, spread, cross = moments(lambda x, push=push: swing_and_slope(x, push), mean, cov)
        spread = spread + model.process_cov
        G = cross @ np.linalg.inv(spread)
        later = State(mean + G @ (later.mean - ahead), cov + G @ (later.cov - spread) @ G.T)
        rows.append(later)
    return kalman.Beliefs(*stacked(rows[::-1]))


def gauss_newton(num_iterations):
    """Return the update in information form: least squares of the residuals, made linear."""

    def update(_, state, y, model, push, seen):
        precision = np.linalg.inv(state.cov)
        R = model.emission_cov[np.ix_(seen, seen)]
        x = state.mean
        for _ in range(num_iterations):
            before = x
            value, H = squares_and_slope(x, push)
            weighted = H[seen].T @ np.linalg.inv(R)
            cov = np.linalg.inv(precision + weighted @ H[seen])
            aim = weighted @ (y[seen] - value[seen] + H[seen] @ x)
            x = cov @ (precision @ state.mean + aim)

        def line(at):
            return value + H @ (at - before), H

        tangent = lambda fn, mean, P: by_tangent(line, mean, P)  # noqa: E731
        _, info = updated(tangent, state, y, model, push, seen)
        return State(x, cov), iterated_extended.Info(*info, last_move=x - before)

    return update


def oracles_of(moments):
    """Return what NumPy says of each verb, given the moments of a function."""

    def update(state, y, *, model, inputs, is_observed, **_):
        return updated(moments, state, y, model, inputs, is_observed)

    def step(state, y, *, model, inputs, **_):
        ahead = predicted(moments, state, model, inputs)
        return updated(moments, ahead, y, model, inputs, np.array([True, True]))

    def along(state, ys, *, model, inputs, is_observed, **_):
        return filtered(moments, state, ys, model, inputs, is_observed)

    return {
        "predict": lambda state, model, inputs, **_: predicted(moments, state, model, inputs),
        "update": update,
        "step": step,
        "filter": along,
        "smooth": lambda beliefs, model, inputs, **_: smoothed(moments, beliefs, model, inputs),
    }


def cases_of(module, name, moments, hyper):
    """Return the cases of a filter whose linearization NumPy knows as ``moments``."""
    hyper = {key: np.float64(value) for key, value in hyper.items()}
    one = {"model": MODEL, "inputs": PUSH, **hyper}
    every = {"model": MODEL, "inputs": PUSHES, **hyper}
    beliefs, _ = filtered(moments, STATE, YS, MODEL, PUSHES, SEEN)
    given = {
        "predict": ((STATE,), one),
        "update": ((STATE, YS[0]), {**one, "is_observed": SEEN[1]}),
        "step": ((STATE, YS[0]), one),
        "filter": ((STATE, YS), {**every, "is_observed": SEEN}),
        "smooth": ((beliefs,), every),
    }
    oracles = oracles_of(moments)
    return tuple(
        Case(
            f"{name}.{verb}",
            getattr(module, verb),
            args,
            keywords,
            oracle=oracles[verb],
            unchecked=("inputs",),
            because=ANY,
        )
        for verb, (args, keywords) in given.items()
    )


def iterate(state, y, *, model, inputs, is_observed, num_iterations):
    return gauss_newton(num_iterations)(None, state, y, model, inputs, is_observed)


def iterate_step(state, y, *, model, inputs, num_iterations):
    ahead = predicted(by_tangent, state, model, inputs)
    seen = np.array([True, True])
    return gauss_newton(num_iterations)(None, ahead, y, model, inputs, seen)


def iterate_along(state, ys, *, model, inputs, is_observed, num_iterations):
    update = gauss_newton(num_iterations)
    return filtered(by_tangent, state, ys, model, inputs, is_observed, update)


ITERATED = (
    Case(
        "iterated_extended.update",
        iterated_extended.update,
        (STATE, YS[0]),
        {"model": MODEL, "inputs": PUSH, "is_observed": SEEN[1]},
        {"num_iterations": 3},
        oracle=iterate,
        unchecked=("inputs",),
        because=ANY,
    ),
    Case(
        "iterated_extended.step",
        iterated_extended.step,
        (STATE, YS[0]),
        {"model": MODEL, "inputs": PUSH},
        {"num_iterations": 2},
        oracle=iterate_step,
        unchecked=("inputs",),
        because=ANY,
    ),
    Case(
        "iterated_extended.filter",
        iterated_extended.filter,
        (STATE, YS),
        {"model": MODEL, "inputs": PUSHES, "is_observed": SEEN},
        {"num_iterations": 3},
        oracle=iterate_along,
        unchecked=("inputs",),
        because=ANY,
    ),
)
CASES = (
    *cases_of(extended, "extended", by_tangent, {}),
    *cases_of(
        unscented,
        "unscented",
        by_weights(0.9, 1.7, 0.4),
        {"alpha": 0.9, "beta": 1.7, "kappa": 0.4},
    ),
    *cases_of(cubature, "cubature", by_cubature, {}),
    *ITERATED,
    Case(
        "nonlinear.simulate",
        nonlinear.simulate,
        (jax.random.key(0), STATE),
        {"model": MODEL, "inputs": PUSHES},
        {"num_steps": 3},
        unchecked=("inputs",),
        because=ANY,
    ),
)
