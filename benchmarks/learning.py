"""Classical learning against scikit-learn: logistic regression, grids, neighbors, k-means.

Ours in single precision; scikit-learn in the precision, and with the solver, in which it is
fastest: all are tried in the run, and the fastest is timed in turn. Rows stand in device memory,
and in NumPy's. Before anything is timed, answers must agree: objectives in double precision, scores
on the same folds, predictions, sums of squares over ten seeds.
"""

import itertools
import warnings
from typing import Any

from benchmarks.harness import Call, Row, contest, enter_alone, fastest, save
from benchmarks.peers import grids, parts

FAMILY = "learning"
L2 = 1e-3
PRECISIONS = ("float32", "float64")
NEAREST = 5
RESTARTS, SEEDS = 20, 10
OPTIMUM = 2e-4  # nats per sample above the minimum, at most, in grids
POINTS = 0.005  # accuracies that count as equal


def drawn(num_rows: int, num_columns: int) -> tuple[Any, Any]:
    """Return correlated rows, and labels by a logistic model of them."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(num_rows, num_columns)) + rng.normal(size=(num_rows, 1))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    logits = X @ rng.normal(size=num_columns)
    return X, (rng.random(num_rows) < 1 / (1 + np.exp(-logits))).astype(np.int32)


def single(num_rows: int, num_columns: int, goal: float) -> tuple[list[Row], list[str]]:
    """Fit one logistic regression."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from mastery_jax.learning.linear import logistic

    X, y = drawn(num_rows, num_columns)
    rows, labels = jnp.asarray(X, jnp.float32), jnp.asarray(y)

    def ours() -> Any:
        state, _ = jax.block_until_ready(logistic.fit(rows, labels, num_classes=2, l2=L2))
        return state.weights, state.bias

    def theirs(solver: str, dtype: str) -> Call:
        model = LogisticRegression(C=1 / (L2 * num_rows), solver=solver, max_iter=1000)
        array = X.astype(dtype)
        return lambda: (model.fit(array, y).coef_, model.intercept_)

    def objective(weights: Any, bias: Any) -> float:
        w = np.asarray(weights, np.double)[0]
        z = X @ w + float(bias[0])
        return float((np.logaddexp(0, z) - y * z).mean() + L2 / 2 * (w**2).sum())

    calls, tried = {"ours": ours}, []
    for solver in ("newton-cholesky", "lbfgs"):
        settings = {dtype: theirs(solver, dtype) for dtype in PRECISIONS}
        best, said = fastest(settings)
        calls[solver] = settings[best]
        tried.append(f"{solver}: {said}")

    what = f"logistic regression, {num_rows:,} x {num_columns}"

    def judge(answers: dict) -> tuple[bool, str]:
        values = {name: objective(*answer) for name, answer in answers.items()}
        most = max(values.values()) - min(values.values())
        said = f"{what}: objectives differ by {most:.1g} nats per sample (1e-6 allowed)."
        return most < 1e-6, said

    found = contest(calls, judge)
    pair = [found.row(what, "newton-cholesky", goal), found.row(what, "lbfgs", 1)._replace(note="")]
    return pair, [
        f"{what}: our first call takes {found.first['ours'].cpu:.2g} CPU-s. {'; '.join(tried)}.",
        f"{what}: {parts.turning(rows)}.",
    ]


def penalties(name: str, solvers: dict[str, float]) -> tuple[list[Row], list[str]]:
    """Search 64 penalties on 5 folds; each solver with the tolerance that reaches ``OPTIMUM``."""
    import numpy as np

    given, costs, atol = grids.problem(name), np.logspace(-4, 4, 64), 1e-5
    searches, paths, options = {}, {}, {}
    for (solver, tol), dtype in itertools.product(solvers.items(), PRECISIONS):
        name = f"{solver} {dtype}"
        options[name] = {"solver": solver, "tol": tol}
        searches[name] = grids.their_penalties(given, costs, dtype, **options[name])
        paths[name] = grids.their_path(given, costs, dtype, **options[name])
    (best, said), (best_path, said_of_paths) = fastest(searches), fastest(paths)
    peers = {
        f"GridSearchCV, {best}": searches[best],
        f"LogisticRegressionCV, {best_path}": paths[best_path],
    }
    what = f"logistic grid, {given.size}, 64 penalties x {grids.FOLDS} folds"

    def judge(answers: dict) -> tuple[bool, str]:
        ours, theirs = grids.most_excess(given, costs[::7], atol=atol, **options[best])
        off = [np.abs(answers[peer] - answers["ours"]) for peer in peers]
        most = max(float(each.mean()) for each in off)
        said = (
            f"{what}: at every seventh penalty the objective on all rows is at most {ours:.1g} "
            f"(ours) and {theirs:.1g} (theirs) nats per sample above its minimum ({OPTIMUM:g} "
            f"allowed); mean accuracies differ by {most:.1g} on average."
        )
        return max(ours, theirs) < OPTIMUM and most < POINTS, said

    found = contest({"ours": grids.our_penalties(given, costs, atol=atol)} | peers, judge)
    first, second = peers
    rows = [found.row(what, first, 8), found.first_row(what, first, 1.5)]
    rows.append(found.row(what, second, 1)._replace(note=""))
    return rows, [f"{what}: GridSearchCV: {said}; LogisticRegressionCV: {said_of_paths}."]


def widths(name: str, *, every: int = 1) -> tuple[list[Row], list[str]]:
    """Search 8 costs x 8 widths of a support vector machine on 5 folds."""
    import numpy as np

    given = grids.problem(name, every=every)
    costs, gammas = np.logspace(-2, 3, 8), np.logspace(-4, 1, 8)
    peers = grids.their_widths(given, costs, gammas)
    what = f"SVM grid, {given.size}, 8 costs x 8 widths x {grids.FOLDS} folds"

    kept = {}

    def judge(answers: dict) -> tuple[bool, str]:
        kept.update(answers)
        answers = answers | {"ours": answers["ours"][0]}
        off = max(float(np.abs(answers[key] - answers["ours"]).mean()) for key in peers)
        tops = ", ".join(f"{np.max(each):.4f}" for each in answers.values())
        said = f"{what}: accuracies differ by {off:.1g} on average; the best are {tops}."
        is_near = np.ptp([np.max(each) for each in answers.values()]) <= POINTS
        return bool(is_near) and off < POINTS, said

    found = contest({"ours": grids.our_widths(given, costs, gammas)} | peers, judge)
    rows = []
    for peer in peers:
        rows += [found.row(what, peer, 8), found.first_row(what, peer, 1.5)]
    rows[2:] = [row._replace(note="") for row in rows[2:]]
    width = min(len(given.y), 2 * given.largest_class)
    steps = 1e6 * found.again["ours"].cpu / kept["ours"][1]
    said = (
        f"{what}: our loops take {kept['ours'][1]:,} steps of {steps:.2g} microseconds, all else "
    )
    said += f"included, over {width} rows"
    return rows, [f"{said}."]


def nearest() -> tuple[list[Row], list[str]]:
    """Ask 2,000 queries for the vote of 5 of 20,000 rows."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.neighbors import KNeighborsClassifier

    from mastery_jax.learning.neighbors import knn_classifier

    X, y = make_classification(22_000, 20, n_informative=10, n_redundant=5, random_state=0)
    y = y.astype(np.int32)
    rows, queries = X[:20_000], X[20_000:]
    single = jnp.asarray(queries, jnp.float32)
    state = knn_classifier.fit(
        jnp.asarray(rows, jnp.float32), jnp.asarray(y[:20_000]), num_classes=2
    )

    def theirs(algorithm: str, dtype: str) -> Call:
        model = KNeighborsClassifier(NEAREST, algorithm=algorithm, n_jobs=1)
        model.fit(rows.astype(dtype), y[:20_000])
        asked = queries.astype(dtype)
        return lambda: model.predict(asked)

    pairs = [("brute", "float32"), ("brute", "float64"), ("kd_tree", "float64")]
    settings = {" ".join(pair): theirs(*pair) for pair in pairs}
    best, said = fastest(settings)
    what = "nearest neighbors, 2,000 queries of 20,000 x 20, k = 5"

    def judge(answers: dict) -> tuple[bool, str]:
        same = float((np.asarray(answers["ours"]) == answers[best]).mean())
        return same > 0.999, f"{what}: {same:.2%} of the predictions are the same."

    ours = {"ours": lambda: jax.block_until_ready(knn_classifier.predict(state, single))}
    found = contest(ours | {best: settings[best]}, judge)
    return [found.row(what, best, 1.8)], [f"{what}: KNeighborsClassifier: {said}."]


def clusters(name: str, num_clusters: int) -> tuple[list[Row], list[str]]:
    """Run k-means from 20 starts, other ones in every call."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from sklearn.cluster import KMeans

    from mastery_jax.learning.clustering import kmeans

    X = grids.problem(name).X
    rows = jnp.asarray(X, jnp.float32)
    keys = itertools.cycle(list(jax.random.split(jax.random.key(0), 100)))
    sizes = {"num_clusters": num_clusters, "num_restarts": RESTARTS, "rtol": 1e-4}

    def ours() -> Any:
        return jax.block_until_ready(kmeans.fit(next(keys), rows, **sizes)[1].inertia)

    def theirs(algorithm: str, dtype: str) -> Call:
        array, seeds = X.astype(dtype), itertools.count()
        options = {"n_init": RESTARTS, "algorithm": algorithm}
        return lambda: KMeans(num_clusters, random_state=next(seeds), **options).fit(array).inertia_

    pairs = itertools.product(("lloyd", "elkan"), PRECISIONS)
    settings = {" ".join(pair): theirs(*pair) for pair in pairs}
    best, said = fastest(settings)
    calls = {"ours": ours, best: settings[best]}
    what = f"k-means, {name} {X.shape[0]:,} x {X.shape[1]}, k = {num_clusters}, {RESTARTS} starts"

    def judge(_: dict) -> tuple[bool, str]:
        mine, other = (np.mean([call() for _ in range(SEEDS)]) for call in calls.values())
        said = (
            f"{what}: sums of squares {mine:.6g} (ours) and {other:.6g}, means of {SEEDS} seeds "
            "(0.1 % more allowed)."
        )
        return mine <= 1.001 * other, said

    found = contest(calls, judge)
    return [found.row(what, best, 3)], [f"{what}: KMeans: {said}."]


def main() -> None:
    """Measure one after the other, and save."""
    enter_alone(FAMILY)
    warnings.simplefilter("ignore")  # newton-cholesky says it whenever it turns to lbfgs
    cholesky = {"newton-cholesky": 1e-4, "lbfgs": 1e-5, "newton-cg": 1e-4}
    several = {"lbfgs": 1e-5, "newton-cg": 1e-5}
    found = [
        single(20_000, 20, 1.5),
        single(100_000, 50, 0.8),
        penalties("breast_cancer", cholesky),
        penalties("digits", several),
        widths("breast_cancer"),
        widths("wine"),
        widths("digits", every=3),
        nearest(),
        clusters("digits", 10),
        clusters("iris", 3),
        clusters("wine", 3),
    ]
    rows = [row for each, _ in found for row in each]
    notes = [*(note for _, said in found for note in said), parts.products()]
    save(FAMILY, "Classical learning", rows, notes=notes)


if __name__ == "__main__":
    main()
