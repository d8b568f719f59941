"""Estimators of effects in NumPy, from their definitions: stacked equations, loops, matrices."""

import numpy as np
from scipy import optimize, stats

from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect, instrument, learners

Z95 = stats.norm.ppf(0.975)


def ones(X):
    return np.column_stack([np.ones(len(X)), X])


def solve_moments(moments, start):
    """Solve Σ m(θ) = 0 by Newton, slopes by complex steps; return θ and −n J⁻¹ m of every row."""
    theta = np.asarray(start, float)
    for _ in range(60):
        columns = [moments(theta + 1e-30j * unit).sum(axis=0).imag for unit in np.eye(len(theta))]
        J = np.stack(columns, axis=1) / 1e-30
        theta = theta - np.linalg.solve(J, moments(theta).sum(axis=0))
    m = moments(theta)
    return theta, -len(m) * np.linalg.solve(J, m.T).T


def answer(theta, influence, overlap, final, T):
    """Return what an estimator returns, from the influence of every row."""
    se = np.sqrt((influence**2).sum()) / len(influence)
    ess = [(final * (arm == T)).sum() ** 2 / ((final * (arm == T)) ** 2).sum() for arm in (0, 1)]
    found = effect.Effect(theta, se, theta - Z95 * se, theta + Z95 * se)
    used = np.int32((final > 0).sum())
    return found, effect.Info(np.int32(Status.CONVERGED), used, np.array(ess), influence, overlap)


def overlap_of(e):
    low, high = e.min(), e.max()
    return effect.Overlap(low, high, np.int32(0), np.int32(0), low >= 0.01 and high <= 0.99)


def expit(z):
    return 1 / (1 + np.exp(-z))


def ratios(T, e, target):
    if target == "ate":
        return T / e + (1 - T) / (1 - e)
    if target == "att":
        return T + (1 - T) * e / (1 - e)
    return T * (1 - e) + (1 - T) * e


def stacked(X, T, y, parts, target):
    """Stack the score of a logit, two regressions and the effect; ``parts`` gives the last row."""
    A = ones(X)
    p = A.shape[1]

    def moments(theta):
        g, b0, b1, last = theta[:p], theta[p : 2 * p], theta[2 * p : 3 * p], theta[3 * p :]
        e, m0, m1 = expit(A @ g), A @ b0, A @ b1
        w0, w1, tail = parts(e, m0, m1, last)
        rows = [
            (T - e)[:, None] * A,
            (w0 * (1 - T) * (y - m0))[:, None] * A,
            (w1 * T * (y - m1))[:, None] * A,
        ]
        return np.column_stack([*rows, *tail])

    size = len(parts(expit(0 * y), y, y, np.zeros(2))[2])
    theta, influence = solve_moments(moments, np.zeros(3 * p + size))
    e = expit(A @ theta[:p])
    return theta[3 * p :], influence[:, 3 * p :], e


def weighting_by_moments(X, T, y, *, target, is_normalized=True, **_):
    def parts(e, m0, m1, last):
        w = ratios(T, e, target)
        if is_normalized:
            return 1, 1, [(1 - T) * w * (y - last[0]), T * w * (y - last[1])]
        return 1, 1, [w * (2 * T - 1) * y - last[0]]

    last, influence, e = stacked(X, T, y, parts, target)
    sign = np.array([-1, 1]) if is_normalized else np.array([1])
    return answer(last @ sign, influence @ sign, overlap_of(e), ratios(T, e, target), T)


def regression_by_moments(X, T, y, *, target="ate", **_):
    def parts(e, m0, m1, last):
        return 1, 1, [(T if target == "att" else 1) * (m1 - m0 - last[0])]

    (theta,), influence, _ = stacked(X, T, y, parts, target)
    return answer(theta, influence[:, 0], None, np.ones(len(y)), T)


def robust_by_moments(X, T, y, *, target, **_):
    def parts(e, m0, m1, last):
        if target == "ate":
            psi = m1 - m0 + T * (y - m1) / e - (1 - T) * (y - m0) / (1 - e)
            return 1, 1, [psi - last[0]]
        return 1, 1, [T * (y - m0 - last[0]) - (1 - T) * (y - m0) * e / (1 - e)]

    (theta,), influence, e = stacked(X, T, y, parts, target)
    return answer(theta, influence[:, 0], overlap_of(e), np.ones(len(y)), T)


def weighted_regression_by_moments(X, T, y, *, target="ate", **_):
    def parts(e, m0, m1, last):
        w = ratios(T, e, target)
        return w, w, [(T if target == "att" else 1) * (m1 - m0 - last[0])]

    (theta,), influence, e = stacked(X, T, y, parts, target)
    return answer(theta, influence[:, 0], overlap_of(e), ratios(T, e, target), T)


def least_squares(X, y, at):
    return ones(at) @ np.linalg.lstsq(ones(X), y, rcond=None)[0]


def logistic(X, T, at):
    A = ones(X)
    found = optimize.root(lambda g: (T - expit(A @ g)) @ A, np.zeros(A.shape[1]), tol=1e-14)
    return expit(ones(at) @ found.x)


def folds_in_order(T, num_folds):
    folds = np.zeros(len(T), int)
    for arm in (0, 1):
        folds[arm == T] = np.arange((arm == T).sum()) % num_folds
    return folds


def crossed(X, T, y, num_folds):
    """Return the cross-fitted scores and pseudo-outcomes."""
    folds, e, m = folds_in_order(T, num_folds), np.zeros(len(y)), np.zeros((2, len(y)))
    for fold in range(num_folds):
        here, rest = folds == fold, folds != fold
        e[here] = logistic(X[rest], T[rest], X[here])
        for arm in (0, 1):
            seen = rest & (arm == T)
            m[arm, here] = least_squares(X[seen], y[seen], X[here])
    return e, m[1] - m[0] + T * (y - m[1]) / e - (1 - T) * (y - m[0]) / (1 - e)


def robust_by_loop(X, T, y, *, num_folds, **_):
    e, psi = crossed(X, T, y, num_folds)
    return answer(psi.mean(), psi - psi.mean(), overlap_of(e), np.ones(len(y)), T)


def match_by_loop(X, T, y, *, target, num_neighbors, metric="variance", is_corrected=True):
    n = len(y)
    M, W = num_neighbors, np.linalg.inv(np.atleast_2d(np.cov(X.T)))
    W = np.diag(1 / X.var(axis=0)) if metric == "variance" else W
    mu = [least_squares(X[arm == T], y[arm == T], X) for arm in (0, 1)]
    gap, used, variance = np.zeros(n), np.zeros(n), np.zeros(n)
    asked = T if target == "att" else np.ones(n)
    for i in range(n):
        distance = np.array([(x - X[i]) @ W @ (x - X[i]) for x in X])
        order = np.argsort(distance, kind="stable")
        other = [j for j in order if T[j] != T[i]][:M]
        own = [j for j in order if T[j] == T[i] and j != i][:M]
        theirs = mu[1 - T[i]] * is_corrected
        gap[i] = (2 * T[i] - 1) * (y[i] - np.mean([y[j] + theirs[i] - theirs[j] for j in other]))
        used[other] += asked[i] / M
        variance[i] = M / (M + 1) * (y[i] - y[own].mean()) ** 2
    theta = (asked * gap).sum() / asked.sum()
    extra = used**2 + (2 * M - 1) / M * used if target == "ate" else used * (used - 1 / M)
    V = (asked * (gap - theta) ** 2 + extra * variance).sum() / asked.sum()
    _, info = answer(theta, n / asked.sum() * asked * (gap - theta), None, asked + used, T)
    se = np.sqrt(V / asked.sum())
    return effect.Effect(theta, se, theta - Z95 * se, theta + Z95 * se), info


def two_stages(X, D, y, Z, *, error, **_):
    A = ones(X)
    first, whole = np.column_stack([A, Z]), np.column_stack([A, D])
    project = first @ np.linalg.inv(first.T @ first) @ first.T
    fitted = project @ whole
    beta = np.linalg.solve(fitted.T @ whole, fitted.T @ y)
    u, (count, k), bread = y - whole @ beta, whole.shape, np.linalg.inv(fitted.T @ fitted)
    leverage = np.einsum("ni,ij,nj->n", fitted, bread, fitted)
    scale = {"hc0": 1.0, "hc1": count / (count - k), "hc2": 1 / (1 - leverage)}.get(error, 0)
    cov = bread @ ((fitted * (scale * u**2)[:, None]).T @ fitted) @ bread
    if error == "classical":
        cov = bread * (u @ u) / (count - k)
    theta, se = beta[-1], np.sqrt(cov[-1, -1])
    q, stage = Z.shape[1], np.linalg.lstsq(first, D, rcond=None)[0]
    rss = [((D - B @ np.linalg.lstsq(B, D, rcond=None)[0]) ** 2).sum() for B in (A, first)]
    F = (rss[0] - rss[1]) / q / (rss[1] / (count - first.shape[1]))
    found = effect.Effect(theta, se, theta - Z95 * se, theta + Z95 * se)
    return found, instrument.Info(np.int32(1), stage[-q:], F, F < 10, np.int32(count))


def arms(X, T, y, at):
    return [least_squares(X[arm == T], y[arm == T], at) for arm in (0, 1)]


def no_average(effects):
    return effects, learners.Info(np.int32(Status.CONVERGED), None)


def two_by_loop(X, T, y, at, **_):
    control, treated = arms(X, T, y, at)
    return no_average(treated - control)


def cross_by_loop(X, T, y, at, **_):
    control, treated = arms(X, T, y, X)
    of_treated = least_squares(X[T == 1], (y - control)[T == 1], at)
    of_control = least_squares(X[T == 0], (treated - y)[T == 0], at)
    e = logistic(X, T, at)
    return no_average(e * of_control + (1 - e) * of_treated)


def robust_learner_by_loop(X, T, y, at, *, num_folds, **_):
    _, psi = crossed(X, T, y, num_folds)
    average, _ = answer(psi.mean(), psi - psi.mean(), None, np.ones(len(y)), T)
    return least_squares(X, psi, at), learners.Info(np.int32(Status.CONVERGED), average)


def regress(X, D, y):
    found, info = two_stages(X, D, y, D[:, None], error="hc2")
    return found, info._replace(first_stage_F=np.inf, is_weak=False)
