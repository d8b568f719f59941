import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

from mastery_jax.inference.filtering import kalman, linear_gaussian, matrix, rts
from tests.contract import Case

rng = np.random.default_rng(0)

model = linear_gaussian.Model(
    transition=np.array([[1.0, 0.1, 0.0], [-0.2, 0.9, 0.1], [0.0, 0.3, 0.7]]),
    process_cov=np.array([[0.3, 0.1, 0.0], [0.1, 0.2, 0.05], [0.0, 0.05, 0.4]]),
    emission=np.array([[1.0, 0.5, 0.0], [0.0, -0.3, 1.0]]),
    emission_cov=np.array([[0.4, 0.1], [0.1, 0.3]]),
)
state = linear_gaussian.State(
    mean=np.array([0.3, -0.2, 0.1]),
    cov=np.array([[1.0, 0.2, 0.1], [0.2, 0.5, -0.1], [0.1, -0.1, 0.8]]),
)
yss = rng.normal(size=(2, 3, 2))
ys = yss[0]
is_observed = np.array([[True, True], [False, True], [False, False]])
half = rng.normal(size=(11, 11))
large = half @ half.T + np.eye(11)


def at(model, t):
    """Return what belongs to the step to x_{t+1}, with means of zeros where there are none."""
    model = model._replace(
        process_mean=zeros_if_none(model.process_mean, model.process_cov.shape[-1]),
        emission_mean=zeros_if_none(model.emission_mean, model.emission_cov.shape[-1]),
    )
    ranks = (2, 2, 2, 2, 1, 1)
    rows = (x[t] if x.ndim > rank else x for x, rank in zip(model, ranks, strict=True))
    return linear_gaussian.Model(*rows)


def zeros_if_none(mean, size):
    return np.zeros(size) if mean is None else mean


def joint(state, model, num_steps):
    """Return mean and covariance of (x_0 … x_T, y_1 … y_T), from the definition."""
    steps = [at(model, t) for t in range(num_steps)]
    parts = [
        (state.mean, state.cov),
        *((step.process_mean, step.process_cov) for step in steps),
        *((step.emission_mean, step.emission_cov) for step in steps),
    ]
    mean = np.concatenate([mean for mean, _ in parts])
    noises = np.split(np.eye(mean.size), np.cumsum([mean.size for mean, _ in parts])[:-1])
    hidden, seen = [noises[0]], []  # each x and y by the independent parts
    for t, step in enumerate(steps):
        hidden.append(step.transition @ hidden[-1] + noises[1 + t])
        seen.append(step.emission @ hidden[-1] + noises[1 + num_steps + t])
    every = np.vstack([*hidden, *seen])
    return every @ mean, every @ linalg.block_diag(*[cov for _, cov in parts]) @ every.T


def conditioned(state, model, ys, is_observed=None, *, until=None):
    """Return mean and covariance of x_0 … x_T given the first ``until`` observations."""
    num_steps, n = len(ys), len(state.mean)
    mean, cov = conditioned_jointly(state, model, ys, is_observed, until=until)
    size = (num_steps + 1) * n
    blocks = cov[:size, :size].reshape(num_steps + 1, n, num_steps + 1, n)
    covs = np.stack([blocks[t, :, t, :] for t in range(num_steps + 1)])
    return mean[:size].reshape(-1, n), covs


def conditioned_jointly(state, model, ys, is_observed=None, *, until=None):
    """Return mean and covariance of (x_0 … x_T, y_1 … y_T), what is seen of y being given."""
    num_steps, _ = ys.shape
    seen = np.ones(ys.shape, bool) if is_observed is None else is_observed.copy()
    seen[num_steps if until is None else until :] = False
    mean, cov = joint(state, model, num_steps)
    b = mean.size - ys.size + np.flatnonzero(seen)
    gain = cov[:, b] @ np.linalg.inv(cov[np.ix_(b, b)])
    return mean + gain @ (ys[seen] - mean[b]), cov - gain @ cov[b]


def with_start(state, beliefs):
    """Return beliefs about x_0 … x_T."""
    return jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]), kalman.Beliefs(*state), beliefs
    )


def log_density(state, model, ys, is_observed):
    """Return log p of what is seen of ``ys``."""
    mean, cov = joint(state, model, len(ys))
    b = mean.size - ys.size + np.flatnonzero(is_observed)
    r = ys[is_observed] - mean[b]
    S = cov[np.ix_(b, b)]
    return -(r @ np.linalg.inv(S) @ r + np.linalg.slogdet(2 * np.pi * S)[1]) / 2


def filter_by_conditioning(state, ys, *, model, is_observed=None):
    """Condition the joint Gaussian anew at every t, with plain inverses."""
    num_steps, m = ys.shape
    seen = np.ones(ys.shape, bool) if is_observed is None else is_observed
    means, covs, logs, innovations, spreads = [], [], [], [], []
    for t in range(num_steps):
        before, cov_before = conditioned(state, model, ys, seen, until=t)
        after, cov_after = conditioned(state, model, ys, seen, until=t + 1)
        means.append(after[t + 1])
        covs.append(cov_after[t + 1])
        logs.append(
            log_density(state, model, ys[: t + 1], seen[: t + 1])
            - log_density(state, model, ys[:t], seen[:t])
        )
        here = at(model, t)
        predicted = here.emission @ before[t + 1] + here.emission_mean
        innovations.append(np.where(seen[t], ys[t] - predicted, 0))
        spread = here.emission @ cov_before[t + 1] @ here.emission.T + here.emission_cov
        spreads.append(np.where(np.outer(seen[t], seen[t]), spread, np.eye(m)))
    beliefs = kalman.Beliefs(np.stack(means), np.stack(covs))
    return beliefs, kalman.Info(np.stack(logs), np.stack(innovations), np.stack(spreads))


def one_step(state, y, *, model, is_observed=None):
    seen = None if is_observed is None else is_observed[None]
    beliefs, info = filter_by_conditioning(state, y[None], model=model, is_observed=seen)
    return [leaf[0] for leaf in (*beliefs, *info)]


def update_in_part(state, y, *, model):
    return kalman.update(state, y, model=model, is_observed=jnp.array(is_observed[1]))


def filter_many_in_part(state, yss, *, model):
    return kalman.filter_many(state, yss, model=model, is_observed=jnp.array(is_observed))


def update_by_conditioning(state, y, *, model):
    still = model._replace(transition=np.eye(3), process_cov=np.zeros((3, 3)))
    return one_step(state, y, model=still, is_observed=is_observed[1])


def filter_each(state, yss, *, model):
    every = [filter_by_conditioning(state, ys, model=model, is_observed=is_observed) for ys in yss]
    mean = np.stack([beliefs.mean for beliefs, _ in every])
    logs = np.stack([info.log_likelihood for _, info in every])
    innovation = np.stack([info.innovation for _, info in every])
    beliefs, info = every[0]
    return beliefs._replace(mean=mean), info._replace(log_likelihood=logs, innovation=innovation)


def smooth_by_conditioning(filtered, *, model):
    """Condition on observations of each x_t that make its filtered belief what it is.

    A belief N(m, P) after a prediction N(a, S) is that of a direct observation z of x with
    precision P⁻¹ − S⁻¹: every filtered path is the filter of some such observations.
    """
    F, Q = model.transition, model.process_cov
    start = linear_gaussian.State(filtered.mean[0], filtered.cov[0])
    num_steps, n = len(filtered.mean) - 1, len(F)
    mean, cov = joint(start, model._replace(emission=np.eye(n), emission_cov=0 * Q), num_steps)
    mean, cov = mean[: (num_steps + 1) * n], cov[: (num_steps + 1) * n, : (num_steps + 1) * n]
    precision = np.linalg.inv(cov)
    information = precision @ mean
    for t in range(1, num_steps + 1):
        here = slice(t * n, (t + 1) * n)
        spread = np.linalg.inv(F @ filtered.cov[t - 1] @ F.T + Q)
        after = np.linalg.inv(filtered.cov[t])
        precision[here, here] += after - spread
        information[here] += after @ filtered.mean[t] - spread @ F @ filtered.mean[t - 1]
    cov = np.linalg.inv(precision)
    blocks = cov.reshape(num_steps + 1, n, num_steps + 1, n)
    mean = (cov @ information).reshape(-1, n)
    return kalman.Beliefs(mean, np.stack([blocks[t, :, t, :] for t in range(num_steps + 1)]))


filtered = filter_by_conditioning(state, ys, model=model)[0]

CASES = (
    Case(
        "matrix.product",
        matrix.product,
        (large, large[:, 0]),
        oracle=np.matmul,
        unchecked=("1",),
        because="vectors may lie along any number of axes after the first",
    ),
    Case(
        "matrix.congruence",
        matrix.congruence,
        (large[:2], large),
        oracle=lambda a, cov: a @ cov @ a.T,
    ),
    Case("matrix.solve", matrix.solve, (large, large[:, :2]), oracle=linalg.solve),
    Case(
        "matrix.log_det",
        matrix.log_det,
        (large,),
        oracle=lambda a: np.log(linalg.eigvalsh(a)).sum(),
    ),
    Case(
        "matrix.symmetric",
        matrix.symmetric,
        (half,),
        oracle=lambda a: (a + a.T) / 2,
        any_rank=True,
        because="it takes covariances along any leading axes",
    ),
    Case(
        "matrix.is_covariance",
        matrix.is_covariance,
        (np.stack([large, large]),),
        oracle=lambda a: np.array(np.linalg.eigvalsh(a).min() > 0),
        any_rank=True,
        modes=(),
        because="it takes covariances along any leading axes; a truth has no slope",
    ),
    Case(
        "kalman.init",
        kalman.init,
        (state.mean, state.cov),
        oracle=lambda mean, cov: (mean, cov),
    ),
    Case(
        "kalman.predict",
        kalman.predict,
        (state,),
        {"model": model},
        oracle=lambda state, model: linear_gaussian.State(
            model.transition @ state.mean,
            model.transition @ state.cov @ model.transition.T + model.process_cov,
        ),
    ),
    Case(
        "kalman.update",
        update_in_part,
        (state, ys[0]),
        {"model": model},
        oracle=update_by_conditioning,
    ),
    Case("kalman.step", kalman.step, (state, ys[0]), {"model": model}, oracle=one_step),
    Case(
        "kalman.filter", kalman.filter, (state, ys), {"model": model}, oracle=filter_by_conditioning
    ),
    Case(
        "kalman.filter_many",
        filter_many_in_part,
        (state, yss),
        {"model": model},
        oracle=filter_each,
    ),
    Case("rts.smooth", rts.smooth, (filtered,), {"model": model}, oracle=smooth_by_conditioning),
    Case(
        "linear_gaussian.simulate",
        linear_gaussian.simulate,
        (jax.random.key(0), state),
        {"model": model},
        {"num_steps": 3},
    ),
)
