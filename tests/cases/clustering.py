import jax
import numpy as np
from scipy import special, stats
from sklearn.cluster import DBSCAN, KMeans
from sklearn.mixture import GaussianMixture

from mastery_jax.core.status import Status
from mastery_jax.learning.clustering import dbscan, gaussian_mixture, kmeans
from tests.contract import Case

rng = np.random.default_rng(0)
blobs = np.concatenate([rng.normal(size=(12, 2)) + at for at in ([0, 0], [16, 1], [3, 16])])
weights = rng.uniform(0.5, 2, size=36)
key = jax.random.key(0)
seeds = kmeans.State(blobs[[0, 1, 20]])  # two in one group
stray = kmeans.State(np.array([[0.0, 0.0], [5.0, 5.0], [900.0, 900.0]]))  # the third has no row
FULL = np.array([[[1.0, 0.0], [0.5, 2.0]], [[0.7, 0.0], [-0.2, 0.6]]])
FORMS = {
    "full": FULL,
    "tied": FULL[:1],
    "diag": np.array([[[1.0, 2.0]], [[0.5, 0.7]]]),
    "spherical": np.array([[[1.0]], [[0.7]]]),
}
MIXTURES = {
    name: gaussian_mixture.State(np.array([0.3, 0.7]), np.array([[0.0, 1.0], [6.0, 3.0]]), factors)
    for name, factors in FORMS.items()
}


def kmeans_in_order(key, X, **given):
    """Sort what is found by the first coordinate of the centers: their order is drawn."""
    state, info = kmeans.fit(key, X, **given)
    order = state.centers[:, 0].argsort()
    return state.centers[order], info.sizes[order], info.inertia


def kmeans_by_sklearn(key, X, *, weights, num_clusters, **_):
    fitted = KMeans(num_clusters, n_init=20, tol=0, random_state=0).fit(X, sample_weight=weights)
    order = fitted.cluster_centers_[:, 0].argsort()
    sizes = np.bincount(fitted.labels_, weights)[order]
    return fitted.cluster_centers_[order], sizes, fitted.inertia_


def step_by_definition(state, X, *, weights):
    squares = ((X[:, None] - state.centers[None]) ** 2).sum(axis=2)
    labels = squares.argmin(axis=1)
    moved = state.centers.copy()
    for j in set(labels):
        moved[j] = np.average(X[labels == j], axis=0, weights=weights[labels == j])
    empty = [j for j in range(len(moved)) if j not in labels]
    if empty:
        moved[empty[0]] = X[squares.min(axis=1).argmax()]
    return moved, ((moved - state.centers) ** 2).sum(), False


def mixture_in_order(key, X, **given):
    state, info = gaussian_mixture.fit(key, X, **given)
    order = state.means[:, 0].argsort()
    covs = state.factors**2
    if covs.shape[1] > 1:
        covs = (state.factors[:, :, None, :] * state.factors[:, None, :, :]).sum(axis=3)
    if len(covs) > 1:
        covs = covs[order]
    return state.weights[order], state.means[order], covs, info.log_likelihood


def mixture_by_sklearn(key, X, *, num_clusters, reg_covar, covariance="full", **_):
    fitted = GaussianMixture(
        num_clusters, covariance_type=covariance, reg_covar=reg_covar, tol=1e-14, max_iter=2000,
        random_state=0,
    ).fit(X)  # fmt: skip
    order = fitted.means_[:, 0].argsort()
    covs = fitted.covariances_
    covs = {
        "full": lambda: covs[order],
        "tied": lambda: covs[None],
        "diag": lambda: covs[order][:, None],
        "spherical": lambda: covs[order][:, None, None],
    }[covariance]()
    return fitted.weights_[order], fitted.means_[order], covs, fitted.score(X)


def parts_by_scipy(state, X):
    parts = []
    for j, (weight, mean) in enumerate(zip(state.weights, state.means, strict=True)):
        factor = state.factors[j % len(state.factors)]
        cov = np.eye(2) * factor**2 if len(factor) == 1 else factor @ factor.T
        parts.append(np.log(weight) + stats.multivariate_normal(mean, cov).logpdf(X))
    return np.stack(parts)


def log_prob_by_scipy(state, X):
    return special.logsumexp(parts_by_scipy(state, X), axis=0)


def criterion_by_scipy(price, num_parameters):
    def criterion(state, X, *, weights):
        p = num_parameters
        return price(weights.sum()) * p - 2 * weights @ log_prob_by_scipy(state, X)

    return criterion


def dbscan_by_sklearn(X, *, radius, min_samples, weights):
    fitted = DBSCAN(eps=radius, min_samples=int(min_samples)).fit(X, sample_weight=weights)
    is_core = np.zeros(len(X), bool)
    is_core[fitted.core_sample_indices_] = True
    labels = fitted.labels_
    info = dbscan.Info(labels.max() + 1, (labels < 0).sum(), 3, True, Status.CONVERGED)
    return dbscan.State(labels, is_core), info


CASES: tuple[Case, ...] = (
    Case(
        "kmeans.fit",
        kmeans_in_order,
        (key, blobs),
        {"weights": weights, "rtol": 1e-4},
        {"num_clusters": 3, "num_restarts": 2, "max_steps": 20},
        oracle=kmeans_by_sklearn,
        modes=("fwd",),
        because="until has no reverse mode",
    ),
    Case(
        "kmeans.init",
        kmeans.init,
        (key, blobs),
        {"weights": weights},
        {"num_clusters": 3},
        modes=("fwd",),
        because="the rows are drawn; until they change, the centers move with them",
    ),
    *(
        Case(
            f"kmeans.step {label}",
            kmeans.step,
            (start, blobs),
            {"weights": weights},
            oracle=step_by_definition,
        )
        for label, start in (("", seeds), ("an empty cluster", stray))
    ),
    Case(
        "kmeans.predict",
        kmeans.predict,
        (seeds, blobs),
        oracle=lambda s, X: ((X[:, None] - s.centers[None]) ** 2).sum(axis=2).argmin(axis=1),
    ),
    Case(
        "kmeans.transform",
        kmeans.transform,
        (stray, blobs),
        oracle=lambda s, X: np.linalg.norm(X[:, None] - s.centers[None], axis=2),
    ),
    Case(
        "gaussian_mixture.fit",
        mixture_in_order,
        (key, 3 * blobs),
        {"reg_covar": 1e-6, "atol": 1e-14},
        {"num_clusters": 3, "max_steps": 4},
        oracle=mixture_by_sklearn,
        modes=(),
        because="runs until it is done, which another row may change by a step",
    ),
    *(
        Case(f"gaussian_mixture.{name} {form}", fn, (state, blobs), oracle=oracle)
        for form, state in MIXTURES.items()
        for name, fn, oracle in (
            ("log_prob", gaussian_mixture.log_prob, log_prob_by_scipy),
            (
                "predict_proba",
                gaussian_mixture.predict_proba,
                lambda s, X: special.softmax(parts_by_scipy(s, X), axis=0).T,
            ),
            (
                "predict",
                gaussian_mixture.predict,
                lambda s, X: parts_by_scipy(s, X).argmax(axis=0),
            ),
        )
        if name == "log_prob" or form == "full"
    ),
    *(
        Case(f"gaussian_mixture.sample {form}", gaussian_mixture.sample, (key, MIXTURES[form]))
        for form in ("full", "diag")
    ),
    Case(
        "gaussian_mixture.bic",
        gaussian_mixture.bic,
        (MIXTURES["full"], blobs),
        {"weights": weights},
        oracle=criterion_by_scipy(np.log, 1 + 4 + 6),
    ),
    Case(
        "gaussian_mixture.aic",
        gaussian_mixture.aic,
        (MIXTURES["diag"], blobs),
        {"weights": weights},
        oracle=criterion_by_scipy(lambda n: 2, 1 + 4 + 4),
    ),
    Case(
        "dbscan.fit",
        dbscan.fit,
        (blobs,),
        {"radius": 1.1, "min_samples": 4.0, "weights": weights},
        oracle=dbscan_by_sklearn,
    ),
)
