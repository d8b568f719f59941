import jax
import numpy as np
from scipy import special
from sklearn.decomposition import PCA, KernelPCA, TruncatedSVD

from mastery_jax.core.status import Status
from mastery_jax.learning.components import (
    kernel_pca,
    pca,
    randomized_svd,
    truncated_svd,
    tsne,
)
from tests.contract import Case

rng = np.random.default_rng(0)
X = rng.normal(size=(12, 3)) * [3.0, 2.0, 0.7] + [1.0, 0.0, -2.0]
wide = rng.normal(size=(4, 6)) * np.array([5.0, 3.0, 2.0, 1.0])[:, None]
weights = rng.integers(1, 4, size=12) * 1.0
key = jax.random.key(0)
fitted = pca.State(
    np.array([1.0, 0.0, -2.0]), np.eye(3)[:2], np.array([3.0, 2.0]), *np.ones((3, 2))
)
svd = truncated_svd.State(np.eye(3)[:2], np.array([3.0, 2.0]))
groups = np.concatenate([np.eye(6), 4 + np.eye(6)]) + 0.1 * rng.normal(size=(12, 6))


def orient(rows):
    return rows * np.sign([row[np.abs(row).argmax()] for row in rows])[:, None]


def pca_by_sklearn(X, *, weights, num_components, whiten=False, **_):
    repeated = np.repeat(X, weights.astype(int), axis=0)
    theirs = PCA(num_components, svd_solver="full").fit(repeated)
    scales = np.sqrt(theirs.explained_variance_) if whiten else np.ones(num_components)
    return pca.State(
        theirs.mean_,
        orient(theirs.components_),
        scales,
        theirs.singular_values_,
        theirs.explained_variance_,
        theirs.explained_variance_ratio_,
    )


def svd_by_sklearn(X, *, num_components, **_):
    _, values, directions = np.linalg.svd(X)
    return truncated_svd.State(orient(directions[:num_components]), values[:num_components])


def randomized_by_sklearn(key, X, *, num_components, **_):
    theirs = TruncatedSVD(num_components, algorithm="arpack", tol=1e-14).fit(X)
    order = np.argsort(-theirs.singular_values_)
    return truncated_svd.State(orient(theirs.components_[order]), theirs.singular_values_[order])


def kernel_pca_by_sklearn(X, *, num_components, kernel, gamma=None, degree=3.0, offset=1.0):
    theirs = KernelPCA(
        num_components, kernel=kernel, gamma=gamma, degree=degree, coef0=offset,
        eigen_solver="dense",
    ).fit(X)  # fmt: skip
    K = theirs._get_kernel(X - X.mean(axis=0) if kernel == "linear" else X)
    signs = np.sign([v[np.abs(v).argmax()] for v in theirs.eigenvectors_.T])
    vectors = theirs.eigenvectors_ * signs[None] / np.sqrt(theirs.eigenvalues_)
    gamma = 1 / X.shape[1] if gamma is None else gamma
    return kernel_pca.State(X, vectors, theirs.eigenvalues_, K.mean(axis=0), gamma, degree, offset)


def tsne_by_definition(X, *, perplexity, num_steps, record_every, num_neighbors, **_):
    """Run the steps on full matrices; every row is everyone's neighbor."""
    n = len(X)
    squares = ((X[:, None] - X[None]) ** 2).sum(axis=2)
    off = ~np.eye(n, dtype=bool)
    P = np.zeros((n, n))
    for i in range(n):
        d = squares[i, off[i]]
        low, high = -60.0, 60.0
        for _ in range(200):
            log_beta = (low + high) / 2
            p = special.softmax(-np.exp(log_beta) * d)
            is_wide = special.entr(p).sum() > np.log(perplexity)
            low, high = (log_beta, high) if is_wide else (low, log_beta)
        P[i, off[i]] = p
    P = (P + P.T) / (2 * n)
    scores = pca_by_sklearn(X, weights=np.ones(n), num_components=2)
    Y = (X - X.mean(axis=0)) @ scores.components.T
    Y = Y * 1e-4 / Y[:, 0].std()
    velocity, gains, history = np.zeros_like(Y), np.ones_like(Y), []

    def kernel(Y):
        return np.where(off, 1 / (1 + ((Y[:, None] - Y[None]) ** 2).sum(axis=2)), 0)

    for time in range(num_steps):
        w = kernel(Y)
        factor = (12.0 if time < 2 else 1.0) * P - w / w.sum()
        slope = 4 * ((factor * w)[:, :, None] * (Y[:, None] - Y[None])).sum(axis=1)
        same = np.sign(slope) == np.sign(velocity)
        gains = np.maximum(np.where(same, 0.8 * gains, gains + 0.2), 0.01)
        velocity = (0.5 if time < 2 else 0.8) * velocity - 12.5 * gains * slope
        Y = Y + velocity
        Y = Y - Y.mean(axis=0)
        if (time + 1) % record_every == 0:
            Q = kernel(Y) / kernel(Y).sum()
            history.append((P[off] * np.log(P[off] / Q[off])).sum())
    norm = np.linalg.norm(slope)
    info = tsne.Info(
        history[-1], np.array(history), norm, 0.0, num_steps, False, Status.OUT_OF_STEPS
    )
    return tsne.State(Y, X), info


def place_by_definition(state, X, *, perplexity, learning_rate, num_steps, **_):
    Y = []
    for x in X:
        d = ((state.rows - x) ** 2).sum(axis=1)
        low, high = -60.0, 60.0
        for _ in range(200):
            log_beta = (low + high) / 2
            p = special.softmax(-np.exp(log_beta) * d)
            is_wide = special.entr(p).sum() > np.log(perplexity)
            low, high = (log_beta, high) if is_wide else (low, log_beta)
        y = p @ state.embedding
        for _ in range(num_steps):
            apart = y - state.embedding
            w = 1 / (1 + (apart**2).sum(axis=1))
            y = y - learning_rate * (((p - w / w.sum()) * w)[:, None] * apart).sum(axis=0)
        Y.append(y)
    return np.array(Y)


CASES: tuple[Case, ...] = (
    *(
        Case(
            f"pca.fit {solver}",
            pca.fit,
            (X,),
            {"weights": weights},
            {"num_components": 2, "whiten": solver == "svd", "solver": solver},
            oracle=pca_by_sklearn,
        )
        for solver in ("svd", "eigh")
    ),
    Case(
        "pca.transform",
        pca.transform,
        (fitted, X),
        oracle=lambda s, X: (X - s.mean) @ s.components.T / s.scales,
    ),
    Case(
        "pca.inverse_transform",
        pca.inverse_transform,
        (fitted, X[:, :2]),
        oracle=lambda s, Z: Z * s.scales @ s.components + s.mean,
    ),
    *(
        Case(
            f"truncated_svd.fit {solver}",
            truncated_svd.fit,
            (wide,),
            static={"num_components": 3, "solver": solver},
            oracle=svd_by_sklearn,
        )
        for solver in ("svd", "eigh")
    ),
    Case(
        "truncated_svd.transform", truncated_svd.transform, (svd, X), oracle=lambda s, X: X[:, :2]
    ),
    Case(
        "truncated_svd.inverse_transform",
        truncated_svd.inverse_transform,
        (svd, X[:, :2]),
        oracle=lambda s, Z: Z @ s.components,
    ),
    Case(
        "randomized_svd.fit",
        randomized_svd.fit,
        (key, wide),
        static={"num_components": 2},
        oracle=randomized_by_sklearn,
    ),
    *(
        Case(
            f"kernel_pca.fit {kernel}",
            kernel_pca.fit,
            (0.3 * X,),
            hyper,
            {"num_components": 2, "kernel": kernel},
            oracle=kernel_pca_by_sklearn,
        )
        for kernel, hyper in (
            ("rbf", {"gamma": 0.4}),
            ("poly", {"gamma": 0.4, "degree": 2.0, "offset": 0.7}),
            ("linear", {}),
        )
    ),
    Case(
        "kernel_pca.transform",
        kernel_pca.transform,
        (kernel_pca.State(X, X[:, :2], np.ones(2), np.ones(12), *np.array([0.1, 3.0, 1.0])), X[:5]),
        static={"kernel": "linear"},
        oracle=lambda s, Z, **_: (Z - X.mean(axis=0)) @ (X - X.mean(axis=0)).T @ X[:, :2],
    ),
    Case(
        "tsne.fit",
        tsne.fit,
        (groups,),
        {"perplexity": 4.0},
        {
            "num_neighbors": 11,
            "repulsion": "exact",
            "exaggeration_steps": 2,
            "num_steps": 4,
            "record_every": 2,
        },
        oracle=tsne_by_definition,
        modes=(),
        because="the steps' gains are decided by signs, and the search of the roots has no slope",
    ),
    Case(
        "tsne.transform",
        tsne.transform,
        (tsne.State(3 * X[:, :2], X), X[:5] + 0.3),
        {"perplexity": 4.0, "learning_rate": 0.5},
        {"num_neighbors": 12, "num_steps": 3},
        oracle=place_by_definition,
        modes=(),
        because="the search of the roots has no slope",
    ),
)
