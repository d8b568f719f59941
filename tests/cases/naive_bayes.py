"""Naive Bayes, beside scikit-learn's."""

import numpy as np
from sklearn import naive_bayes as peer

from mastery_jax.learning.naive_bayes import bernoulli_nb, gaussian_nb, multinomial_nb
from tests.contract import Case

rng = np.random.default_rng(5)
labels = rng.permutation(np.arange(20) % 3).astype(np.int32)
X = rng.normal(size=(20, 4)) + labels[:, None]
counts = rng.poisson(2, size=(20, 4)) + 0.3  # far from the threshold 1
weights = rng.uniform(0.5, 2, size=20)
first, later = slice(0, 12), slice(12, 20)
HALF = {"num_classes": 3}


def moments(X, labels, *, weights, smoothing, num_classes):
    rows = [labels == k for k in range(num_classes)]
    totals = np.array([weights[r].sum() for r in rows])
    means = np.array([np.average(X[r], axis=0, weights=weights[r]) for r in rows])
    apart = (X - means[labels]) ** 2
    squares = np.array([weights[r] @ apart[r] for r in rows])
    return gaussian_nb.State(totals, means, np.sqrt(squares / totals[:, None]), smoothing)


def totals(X, labels, *, weights, num_classes, **hyper):
    of_class = np.eye(num_classes)[labels].T * weights
    return of_class.sum(axis=1), of_class @ X, *hyper.values()


def there(X, labels, *, weights, num_classes, alpha, threshold):
    is_there = threshold < X
    given = {"weights": weights, "num_classes": num_classes}
    _, absent = totals(1.0 - is_there, labels, **given)
    return *totals(1.0 * is_there, labels, **given), absent, alpha, threshold


def of_all(start, oracle, rows):
    """Return an oracle of an update: what a fit of the first rows and these would be."""

    def updated(state, X, labels_here, *, weights):
        everything = np.vstack([rows[first], X]), np.append(labels[first], labels_here)
        return oracle(*everything, weights=np.append(start, weights), num_classes=3)

    return updated


kinds = (
    (
        gaussian_nb,
        X,
        {"smoothing": 0.1},
        moments,
        lambda: peer.GaussianNB(var_smoothing=0.1),
    ),
    (multinomial_nb, counts, {"alpha": 0.5}, totals, lambda: peer.MultinomialNB(alpha=0.5)),
    (
        bernoulli_nb,
        counts,
        {"alpha": 0.5, "threshold": 1.0},
        there,
        lambda: peer.BernoulliNB(alpha=0.5, binarize=1.0),
    ),
)


def cases():
    for module, rows, hyper, oracle, make in kinds:
        name = module.__name__.rpartition(".")[2]

        def given(*args, weights, num_classes, oracle=oracle, hyper=hyper):
            return oracle(*args, weights=weights, num_classes=num_classes, **hyper)

        def peer_of(state, X, make=make, rows=rows):
            return make().fit(rows, labels).predict_log_proba(X)

        start = given(rows[first], labels[first], weights=weights[first], num_classes=3)
        start = module.State(*map(np.asarray, start))
        state = module.State(
            *map(np.asarray, given(rows, labels, weights=np.ones(20), num_classes=3))
        )
        step = {"modes": (), "because": "rows are there or not"} if module is bernoulli_nb else {}
        yield Case(
            f"{name}.fit", module.fit, (rows, labels), {"weights": weights} | hyper,
            static=HALF, oracle=oracle, **step,
        )  # fmt: skip
        yield Case(
            f"{name}.update", module.update, (start, rows[later], labels[later]),
            {"weights": weights[later]}, oracle=of_all(weights[first], given, rows), **step,
        )  # fmt: skip
        yield Case(
            f"{name}.predict_log_proba", module.predict_log_proba, (state, rows[:5]),
            oracle=peer_of, **step,
        )  # fmt: skip
        yield Case(
            f"{name}.predict_proba", module.predict_proba, (state, rows[:5]),
            oracle=lambda s, X, f=peer_of: np.exp(f(s, X)), **step,
        )  # fmt: skip
        yield Case(
            f"{name}.predict", module.predict, (state, rows[:5]),
            oracle=lambda s, X, f=peer_of: f(s, X).argmax(axis=1),
        )  # fmt: skip


CASES: tuple[Case, ...] = tuple(cases())
