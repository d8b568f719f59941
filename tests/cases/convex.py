import functools
import itertools

import numpy as np

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import admm, coordinate_descent, lasso, quadratic_program
from tests.contract import Case

rng = np.random.default_rng(0)
X = np.linalg.qr(rng.normal(size=(24, 3)))[0] * 5
y = X @ np.array([1.0, -2.0, 0.05]) + 0.1 * rng.normal(size=24)
sample_weights = 0.8 + 0.4 * rng.random(24)
RTOL = {"rtol": -1.0}  # never reached, so that every law takes as many steps


def moments_by_hand(X, y, s):
    """Return weighted means, then weighted covariances of deviations from them."""
    cov = np.cov(np.column_stack([X, y]).T, aweights=s, ddof=0)
    mean = np.average(np.column_stack([X, y]), axis=0, weights=s)
    return s.sum(), mean[:-1], mean[-1], cov[:-1, :-1], cov[:-1, -1], cov[-1, -1]


def elastic_net_by_signs(gram, cross, l1, l2):
    """Try every pattern of signs; one of them meets the conditions of the minimum."""
    for signs in itertools.product((-1, 0, 1), repeat=len(cross)):
        signs = np.array(signs)
        A = signs != 0
        w = np.zeros(len(cross))
        matrix = gram[np.ix_(A, A)] + l2 * np.eye(A.sum())
        w[A] = np.linalg.solve(matrix, cross[A] - l1 * signs[A])
        slope = cross - gram @ w - l2 * w
        if (np.sign(w) == signs).all() and (np.abs(slope) <= l1 + 1e-12).all():
            return w
    raise AssertionError("no pattern of signs is optimal")


def objective(w, moments, l1, l2):
    residual = moments.square - 2 * moments.cross @ w + w @ moments.gram @ w
    return residual / 2 + l1 * np.abs(w).sum() + l2 * (w**2).sum() / 2


def uncounted(fn):
    """Return ``fn`` without the number of its steps: where rounding ends them depends on it."""

    @functools.wraps(fn)
    def call(*args, **options):
        found, info = fn(*args, **options)
        if hasattr(info, "num_steps"):
            return found, info._replace(num_steps=0 * info.num_steps)
        return found, 0 * info

    return call


def fit_by_signs(moments, *, alpha, l1_ratio, max_steps, rtol):
    l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
    w = elastic_net_by_signs(moments.gram, moments.cross, l1, l2)
    bias = moments.y_mean - moments.x_mean @ w
    return w, bias, objective(w, moments, l1, l2), 0.0, max_steps, Status.OUT_OF_STEPS, False


def descend_by_signs(moments, **hyper):
    *found, _, _, is_done = fit_by_signs(moments, **hyper)
    return *found, 0, Status.STALLED, is_done


def path_by_signs(moments, alphas, **hyper):
    found = [descend_by_signs(moments, alpha=alpha, **hyper) for alpha in alphas]
    return [np.stack(column) for column in zip(*found, strict=True)]


def errors_by_signs(X, y, rows, alphas, *, l1_ratio, rtol, max_steps):
    errors = np.empty((len(rows), len(alphas)))
    for k, fold in enumerate(rows):
        test = fold[fold >= 0]
        train = np.setdiff1d(rows[rows >= 0], test)
        moments = lasso.Moments(*moments_by_hand(X[train], y[train], np.ones(len(train))))
        for i, alpha in enumerate(alphas):
            l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
            w = elastic_net_by_signs(moments.gram, moments.cross, l1, l2)
            left = y[test] - moments.y_mean - (X[test] - moments.x_mean) @ w
            errors[k, i] = np.mean(left**2)
    return errors, np.zeros(errors.shape)


def gap_by_hand(w, moments, *, alpha, l1_ratio):
    """Scale the residuals of explicit data of these moments until they are dual feasible."""
    l1, l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
    d = len(w)
    joint = np.block([[moments.gram, moments.cross[:, None]], [moments.cross, moments.square]])
    root = np.linalg.cholesky(joint).T  # rows of data whose products are the moments
    # An elastic net is a LASSO on data with √l2 I below them.
    Z = np.vstack([root[:, :d], np.sqrt(l2) * np.eye(d)])
    v = np.append(root[:, d], np.zeros(d))
    r = v - Z @ w
    nu = r * min(1.0, l1 / np.abs(Z.T @ r).max())
    primal = r @ r / 2 + l1 * np.abs(w).sum()
    return primal, primal - (nu @ v - nu @ nu / 2)


moments = lasso.Moments(*moments_by_hand(X, y, sample_weights))
halves = [moments_by_hand(X[i], y[i], sample_weights[i]) for i in (slice(0, 8), slice(8, 24))]
parts = lasso.Moments(*(np.stack(column) for column in zip(*halves, strict=True)))
alphas = np.array([0.8, 0.3, 0.05])
rows = np.append(np.arange(23), -1).reshape(3, 8)

spread = rng.normal(size=(3, 3))
P = spread @ spread.T + np.eye(3)
q = np.array([1.0, -2.0, 0.5])
A = np.vstack([np.ones(3), np.eye(3)[:2]])
lower, upper = np.array([-9.0, -1.0, -0.2]), np.array([0.3, 0.1, 5.0])


def by_active_sets(P, q, A, lower, upper, *, atol, rtol, max_steps):
    """Try every set of bounds that could be met; the best feasible point is the answer."""
    best, n = None, len(q)
    for sides in itertools.product((None, lower, upper), repeat=len(lower)):
        rows = [i for i, side in enumerate(sides) if side is not None]
        bound = np.array([sides[i][i] for i in rows])
        if len(rows) > n:
            continue
        K = np.block([[P, A[rows].T], [A[rows], np.zeros((len(rows), len(rows)))]])
        v = np.linalg.solve(K, np.append(-q, bound))
        x, y = v[:n], np.zeros(len(lower))
        y[rows] = v[n:]
        value = x @ P @ x / 2 + q @ x
        is_feasible = (A @ x >= lower - 1e-9).all() and (A @ x <= upper + 1e-9).all()
        if is_feasible and (best is None or value < best[2] - 1e-12):
            best = x, y, value
    return *best, 0.0, 0.0, np.zeros(len(lower)), np.zeros(n), max_steps, 2, False


GAP = {"atol": 1e-5, "because": "the gap is what rounding leaves of a difference of squares"}

CASES = (
    Case("lasso.moments", lasso.moments, (X, y, sample_weights), oracle=moments_by_hand),
    Case(
        "lasso.merge",
        lasso.merge,
        (parts, np.ones(2)),
        oracle=lambda parts, take: moments_by_hand(X, y, sample_weights),
        unchecked=("0",),
        because="the moments of the parts are stacked along a leading axis",
    ),
    Case(
        "lasso.penalties",
        lasso.penalties,
        (moments,),
        {"ratio": 0.01, "l1_ratio": 0.5},
        static={"num": 4},
        oracle=lambda moments, *, ratio, l1_ratio, num: np.geomspace(
            np.abs(moments.cross).max() / l1_ratio,
            np.abs(moments.cross).max() / l1_ratio * ratio,
            num,
        ),
    ),
    Case(
        "lasso.duality_gap",
        lasso.duality_gap,
        (np.array([0.5, -1.0, 0.1]), moments),
        {"alpha": 0.3, "l1_ratio": 0.7},
        oracle=gap_by_hand,
    ),
    *(
        Case(
            f"{name}.{verb}",
            fn,
            (moments,),
            {"alpha": 0.3, "l1_ratio": 0.9, **RTOL},
            static={"max_steps": max_steps},
            oracle=oracle,
            **loose,
        )
        for name, verb, fn, max_steps, oracle, loose in (
            (
                "coordinate_descent",
                "fit",
                uncounted(coordinate_descent.fit),
                99,
                descend_by_signs,
                {},
            ),
            ("admm", "solve", admm.solve, 60, fit_by_signs, GAP),
        )
    ),
    Case(
        "coordinate_descent.path",
        uncounted(coordinate_descent.path),
        (moments, alphas),
        {"l1_ratio": 0.9, **RTOL},
        static={"max_steps": 99},
        oracle=path_by_signs,
    ),
    Case(
        "coordinate_descent.cross_validate",
        uncounted(coordinate_descent.cross_validate),
        (X, y, rows, alphas),
        {"l1_ratio": 0.9, **RTOL},
        static={"max_steps": 99},
        oracle=errors_by_signs,
    ),
    Case(
        "quadratic_program.solve",
        quadratic_program.solve,
        (P, q, A, lower, upper),
        {"atol": -1.0, "rtol": -1.0},
        static={"max_steps": 50},
        oracle=by_active_sets,
    ),
)
