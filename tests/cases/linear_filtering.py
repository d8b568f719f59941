"""Cases of linear filters beside the Kalman filter, and of models that change in time."""

import jax
import numpy as np
from scipy import linalg

from mastery_jax.core.status import Status
from mastery_jax.inference.filtering import (
    associative,
    expectation_maximization,
    fixed_lag,
    kalman,
    linear_gaussian,
    rts,
)
from tests.cases.filtering import (
    at,
    conditioned,
    conditioned_jointly,
    filter_by_conditioning,
    filtered,
    model,
    state,
    ys,
    yss,
)
from tests.contract import Case

rng = np.random.default_rng(1)
num_steps, m = ys.shape
n = len(state.mean)

moving = linear_gaussian.Model(
    transition=model.transition + 0.1 * rng.normal(size=(num_steps, n, n)),
    process_cov=model.process_cov * rng.uniform(0.5, 2, size=(num_steps, 1, 1)),
    emission=model.emission + 0.1 * rng.normal(size=(num_steps, m, n)),
    emission_cov=model.emission_cov * rng.uniform(0.5, 2, size=(num_steps, 1, 1)),
    process_mean=rng.normal(size=(num_steps, n)),
    emission_mean=rng.normal(size=(num_steps, m)),
)
still = model._replace(process_mean=rng.normal(size=n), emission_mean=rng.normal(size=m))
moving_beliefs = filter_by_conditioning(state, ys, model=moving)[0]
LEARNED = ("transition", "process_mean", "process_cov", "emission", "emission_cov", "start")


def ahead(state, *, model):
    F = model.transition
    mean = F @ state.mean + model.process_mean
    return linear_gaussian.State(mean, F @ state.cov @ F.T + model.process_cov)


def smooth_moving(filtered, *, model):
    """Return the smoothed beliefs of the series whose filtered ones are given."""
    mean, cov = conditioned(state, moving, ys)
    return kalman.Beliefs(mean[1:], cov[1:])


def smooth_still(filtered, *, model):
    """Return the smoothed beliefs of the series whose filtered ones are given."""
    mean, cov = conditioned(state, still, ys)
    return kalman.Beliefs(mean[1:], cov[1:])


def smooth_one_later(filtered, *, model, lag):
    found = [conditioned(state, moving, ys, until=min(t + lag, num_steps)) for t in (1, 2, 3)]
    rows = [(mean[t], cov[t]) for t, (mean, cov) in zip((1, 2, 3), found, strict=True)]
    return kalman.Beliefs(*map(np.stack, zip(*rows, strict=True)))


def pairs(beliefs, model):
    """Yield mean and covariance of (x_t, x_{t+1}) given the past."""
    for t, (mean, cov) in enumerate(zip(beliefs.mean[:-1], beliefs.cov[:-1], strict=True)):
        now = at(model, t + 1) if model.transition.ndim == 3 else at(model, 0)
        both = np.vstack([np.eye(n), now.transition])
        spread = both @ cov @ both.T + linalg.block_diag(np.zeros((n, n)), now.process_cov)
        yield both @ mean + np.r_[np.zeros(n), now.process_mean], spread


def condition_on_next(filtered, *, model):
    rows = []
    for mean, cov in pairs(filtered, model):
        gain = cov[:n, n:] @ np.linalg.inv(cov[n:, n:])
        rows.append((gain, mean[:n] - gain @ mean[n:], cov[:n, :n] - gain @ cov[n:, :n]))
    return rts.Conditional(*map(np.stack, zip(*rows, strict=True)))


def neighbors(smoothed, backwards):
    _, cov = conditioned_jointly(state, moving, ys)
    blocks = cov[: 4 * n, : 4 * n].reshape(4, n, 4, n)
    return np.stack([blocks[t + 1, :, t, :] for t in (1, 2)])


def improve(state, ys, *, is_observed=None):
    """Maximize the expected log-likelihood of everything, by raw moments of everything."""
    model, start = state
    mean, cov = conditioned_jointly(start, model, ys, is_observed)
    moments = cov + np.outer(mean, mean)
    num_steps, m = ys.shape
    n = len(start.mean)
    x = [slice(t * n, (t + 1) * n) for t in range(num_steps + 1)]
    first = (num_steps + 1) * n
    y = [slice(first + t * m, first + (t + 1) * m) for t in range(num_steps)]

    def total(a, b):
        return sum(moments[i, j] for i, j in zip(a, b, strict=True))

    x_sum, before = sum(mean[i] for i in x[1:]), sum(mean[i] for i in x[:-1])
    design = np.block([[total(x[:-1], x[:-1]), before[:, None]], [before[None], num_steps]])
    cross = np.hstack([total(x[1:], x[:-1]), x_sum[:, None]])
    both = cross @ np.linalg.inv(design)
    shift = np.outer(model.emission_mean, x_sum)  # the emission's mean is kept
    H = (total(y, x[1:]) - shift) @ np.linalg.inv(total(x[1:], x[1:]))
    R = np.zeros((m, m))
    for i, j in zip(x[1:], y, strict=True):
        residual = np.zeros((m, mean.size))
        residual[:, i], residual[:, j] = -H, np.eye(m)
        center = residual @ mean - model.emission_mean
        R += residual @ cov @ residual.T + np.outer(center, center)
    logs = filter_by_conditioning(start, ys, model=model, is_observed=is_observed)[1].log_likelihood
    better = model._replace(
        transition=both[:, :-1],
        process_mean=both[:, -1],
        process_cov=(total(x[1:], x[1:]) - both @ cross.T) / num_steps,
        emission=H,
        emission_cov=R / num_steps,
    )
    start = linear_gaussian.State(mean[:n], cov[:n, :n])
    return expectation_maximization.State(better, start), (logs.sum(),)


series = rng.normal(size=(6, m))
gaps = rng.random((6, m)) < 0.7
to_learn = expectation_maximization.State(model=still, start=state)


def improve_in_part(state, ys):
    return expectation_maximization.step(
        state, ys, is_observed=jax.numpy.array(gaps), learned=LEARNED
    )


def improve_thrice(state, ys, *, atol, max_steps, learned):
    logs = []
    for _ in range(max_steps):
        state, (log_likelihood,) = improve(state, ys)
        logs.append(log_likelihood)
    status = np.array(Status.OUT_OF_STEPS)
    return state, (logs[-1], logs[-1] - logs[-2], status, np.array(max_steps))


def filter_the_only_one(state, yss, *, model):
    beliefs, info = filter_by_conditioning(state, yss[0], model=model)
    return (
        beliefs._replace(mean=beliefs.mean[None]),
        info._replace(log_likelihood=info.log_likelihood[None], innovation=info.innovation[None]),
    )


CASES = (
    Case(
        "linear_gaussian.simulate over time",
        linear_gaussian.simulate,
        (jax.random.key(0), state),
        {"model": moving},
        {"num_steps": num_steps},
    ),
    Case(
        "kalman.predict with means",
        kalman.predict,
        (state,),
        {"model": still},
        oracle=ahead,
    ),
    Case(
        "kalman.filter over time",
        kalman.filter,
        (state, ys),
        {"model": moving},
        oracle=filter_by_conditioning,
    ),
    Case(
        "kalman.filter_many over time",
        kalman.filter_many,
        (state, yss[:1]),
        {"model": moving},
        oracle=filter_the_only_one,
    ),
    Case(
        "rts.smooth over time",
        rts.smooth,
        (moving_beliefs,),
        {"model": moving},
        oracle=smooth_moving,
    ),
    Case(
        "rts.conditional",
        rts.conditional,
        (moving_beliefs,),
        {"model": moving},
        oracle=condition_on_next,
    ),
    Case(
        "rts.lag_one_cov",
        rts.lag_one_cov,
        (
            smooth_moving(moving_beliefs, model=moving),
            condition_on_next(moving_beliefs, model=moving),
        ),
        oracle=neighbors,
    ),
    Case("rts.sample", rts.sample, (jax.random.key(0), filtered), {"model": still}),
    Case(
        "fixed_lag.smooth",
        fixed_lag.smooth,
        (moving_beliefs,),
        {"model": moving},
        {"lag": 1},
        oracle=smooth_one_later,
    ),
    Case(
        "associative.filter",
        associative.filter,
        (state, ys),
        {"model": moving},
        oracle=filter_by_conditioning,
    ),
    Case(
        "associative.smooth",
        associative.smooth,
        (moving_beliefs,),
        {"model": moving},
        oracle=smooth_moving,
    ),
    Case(
        "expectation_maximization.step",
        improve_in_part,
        (to_learn, series),
        oracle=lambda state, ys: improve(state, ys, is_observed=gaps),
    ),
    Case(
        "expectation_maximization.fit",
        expectation_maximization.fit,
        (to_learn, series),
        {"atol": np.array(0.0)},
        {"max_steps": 3, "learned": LEARNED},
        oracle=improve_thrice,
        modes=("fwd",),
        because="a loop that ends when it is done has no reverse mode",
    ),
)
