"""Grids of penalties and widths on folds: ours as one program, scikit-learn's as it is searched."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.harness import Call

FOLDS = 5


class Problem(NamedTuple):
    """Rows of a set that everybody has, standardized."""

    name: str
    X: Any
    y: Any
    splits: list[tuple[Any, Any]]  # rows to learn from, rows that judge

    @property
    def size(self) -> str:
        return f"{self.name} {self.X.shape[0]:,} x {self.X.shape[1]}"

    @property
    def num_classes(self) -> int:
        return int(self.y.max()) + 1

    @property
    def largest_class(self) -> int:
        import numpy as np

        return int(np.bincount(self.y).max())

    def masks(self, part: int) -> Any:
        """Return the rows of every fold to learn from (0), or that judge (1)."""
        import numpy as np

        found = np.zeros((len(self.splits), len(self.y)), bool)
        for mask, rows in zip(found, self.splits, strict=True):
            mask[rows[part]] = True
        return found


def problem(name: str, *, every: int = 1) -> Problem:
    """Return every third row, or all, of a set that scikit-learn brings along."""
    import numpy as np
    from sklearn import datasets
    from sklearn.model_selection import StratifiedKFold

    bunch = getattr(datasets, f"load_{name}")()
    X, y = bunch.data[::every], bunch.target[::every].astype(np.int32)
    spread = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return Problem(name, X, y, list(StratifiedKFold(FOLDS).split(X, y)))


def our_penalties(given: Problem, costs: Any, *, atol: float) -> Call:
    """Return a call for the mean score of every penalty."""
    import jax
    import jax.numpy as jnp
    from jax.tree_util import Partial

    from mastery_jax.learning.linear import logistic
    from mastery_jax.learning.selection import grid_search, splits
    from mastery_jax.probability.metrics import classification

    def fit(X: Any, labels: Any, *, weights: Any, C: Any) -> Any:
        l2 = 1 / (C * weights.sum())
        options = {"num_classes": given.num_classes, "weights": weights, "l2": l2, "atol": atol}
        return logistic.fit(X, labels, **options)

    X, y = jnp.asarray(given.X, jnp.float32), jnp.asarray(given.y)
    folds = splits.Folds(*(jnp.asarray(given.masks(part)) for part in (0, 1)))
    hyper = {"C": jnp.asarray(costs, jnp.float32)}
    parts = {
        "fit": Partial(fit),
        "predict": Partial(logistic.predict),
        "score": Partial(classification.accuracy),
    }
    return lambda: jax.block_until_ready(
        grid_search.search(X, y, folds, hyper=hyper, **parts)[1].mean
    )


def their_penalties(given: Problem, costs: Any, dtype: str, **options: Any) -> Call:
    """Return the same by ``GridSearchCV``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    model = LogisticRegression(max_iter=100_000, **options)
    search = GridSearchCV(model, {"C": costs}, cv=given.splits, n_jobs=1)
    X = given.X.astype(dtype)
    return lambda: search.fit(X, given.y).cv_results_["mean_test_score"]


def their_path(given: Problem, costs: Any, dtype: str, **options: Any) -> Call:
    """Return the same by ``LogisticRegressionCV``, which starts a penalty where the last ended."""
    from sklearn.linear_model import LogisticRegressionCV

    X = given.X.astype(dtype)
    search = LogisticRegressionCV(
        Cs=costs, l1_ratios=(0,), cv=given.splits, scoring="accuracy", max_iter=100_000,
        use_legacy_attributes=False, n_jobs=1, **options,
    )  # fmt: skip
    return lambda: search.fit(X, given.y).scores_.reshape(FOLDS, -1).mean(axis=0)


def most_excess(given: Problem, costs: Sequence[float], *, atol: float, **options: Any) -> tuple:
    """Return how far we, and scikit-learn, are above the minimum at most; nats per sample."""
    import jax
    import numpy as np
    from scipy.special import logsumexp
    from sklearn.linear_model import LogisticRegression

    from mastery_jax.learning.linear import logistic

    X, y = given.X, given.y

    def objective(weights: Any, bias: Any, l2: float) -> float:
        W = np.asarray(weights, np.double)
        Z = X @ W.T + np.asarray(bias, np.double)
        Z = Z if len(W) > 1 else np.hstack([np.zeros_like(Z), Z])
        losses = logsumexp(Z, axis=1) - Z[np.arange(len(y)), y]
        return float(losses.mean() + l2 / 2 * (W**2).sum())

    def ours(dtype: str, l2: float, atol: float) -> float:
        with jax.enable_x64(dtype == "float64"):
            given_l2 = np.asarray(l2, dtype)
            sizes = {"num_classes": given.num_classes, "l2": given_l2, "atol": atol}
            state, _ = logistic.fit(X.astype(dtype), y, **sizes)
            return objective(state.weights, state.bias, l2)

    found = []
    for C in costs:
        l2 = 1 / (C * len(y))
        model = LogisticRegression(C=C, max_iter=100_000, **options).fit(X, y)
        theirs = objective(model.coef_, model.intercept_, l2)
        values = np.array([ours("float32", l2, atol), theirs, ours("float64", l2, 1e-12)])
        found.append(values - values.min())
    return tuple(np.max(found, axis=0)[:2])


def our_widths(given: Problem, costs: Any, widths: Any) -> Call:
    """Return a call for the mean scores of (costs, widths), and the steps that they took."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.learning.svm import similarity, svm_classifier
    from mastery_jax.probability.metrics import classification

    @jax.jit
    def search(X: Any, y: Any, costs: Any, widths: Any, tests: Any) -> Any:
        def of_width(gamma: Any) -> Any:
            gram = similarity.cross(similarity.RBF(gamma), X, X)

            def left_out(C: Any, test: Any) -> Any:
                options = {"num_classes": given.num_classes, "kernel": "precomputed"}
                options["rows_per_class"] = given.largest_class
                state, info = svm_classifier.fit(gram, y, C=C, weights=1 - test, **options)
                predicted = svm_classifier.predict(state, gram)
                return classification.accuracy(predicted, y, weights=test), info.num_steps.sum()

            def of_cost(C: Any) -> Any:
                scores, steps = jax.lax.map(lambda test: left_out(C, test), tests)
                return scores.mean(), steps.sum()

            return jax.lax.map(of_cost, costs)

        scores, steps = jax.lax.map(of_width, widths)
        return scores.T, steps.sum()

    single = (jnp.asarray(array, jnp.float32) for array in (costs, widths, given.masks(1)))
    X, y = jnp.asarray(given.X, jnp.float32), jnp.asarray(given.y)
    costs, widths, tests = single

    def call() -> tuple[Any, int]:
        scores, steps = jax.block_until_ready(search(X, y, costs, widths, tests))
        return scores, int(steps)

    return call


def their_widths(given: Problem, costs: Any, widths: Any) -> dict[str, Callable[[], Any]]:
    """Return the same by ``GridSearchCV(SVC())``, and on kernel matrices made once a width."""
    import numpy as np
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    options = {"cv": given.splits, "n_jobs": 1}
    plain = GridSearchCV(SVC(), {"C": costs, "gamma": widths}, **options)

    def of_kernel(gamma: float) -> Any:
        search = GridSearchCV(SVC(kernel="precomputed"), {"C": costs}, refit=False, **options)
        return search.fit(rbf_kernel(given.X, gamma=gamma), given.y).cv_results_["mean_test_score"]

    def as_it_is() -> Any:
        return plain.fit(given.X, given.y).cv_results_["mean_test_score"].reshape(len(costs), -1)

    return {
        "GridSearchCV(SVC)": as_it_is,
        "the same, a kernel matrix a width": lambda: np.stack(list(map(of_kernel, widths)), axis=1),
    }
