"""Forests and gradient boosting: ours against scikit-learn, LightGBM and XGBoost.

Two classes, 20 features of which ten tell and five repeat them, 5 % of the labels at random; 20,000
rows more judge accuracy and log loss before anything is timed, and are what is predicted. Depth,
leaves, bins, rate and penalty are the same for all. Ours in single precision; peers in the
precision that they compute in, so that they need not convert. ``missing="right"``, since nothing is
missing: a peer looks whether there is.
"""

from typing import Any, NamedTuple

from benchmarks.harness import Call, Row, contest, enter_alone, fastest, in_turn, save

FAMILY = "trees"
TREES, ROUNDS, DEPTH = 100, 100, 6
JUDGES = 20_000
POINTS = 0.005  # accuracies that count as equal
NATS = 0.005  # log losses that do


class Data(NamedTuple):
    """Rows to learn from, and rows that judge."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any


def data(num_rows: int) -> Data:
    import numpy as np
    from sklearn.datasets import make_classification

    X, y = make_classification(
        num_rows + JUDGES, 20, n_informative=10, n_redundant=5, n_clusters_per_class=6,
        flip_y=0.05, random_state=0,
    )  # fmt: skip
    X, y = X.astype(np.float32), y.astype(np.int32)
    return Data(X[:num_rows], y[:num_rows], X[num_rows:], y[num_rows:])


def accuracy(probs: Any, y: Any) -> float:
    import numpy as np

    return float((np.asarray(probs).argmax(axis=1) == y).mean())


def log_loss(probs: Any, y: Any) -> float:
    import numpy as np

    chosen = np.take_along_axis(np.asarray(probs, np.double), y[:, None], axis=1)
    return float(-np.log(chosen).mean())


def forests(given: Data, depth: int | None) -> dict[str, tuple[Call, Any]]:
    """Return by name what fits a forest, and what predicts by it."""
    import jax
    import jax.numpy as jnp
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import RandomForestClassifier

    from mastery_jax.learning.trees import forest_classifier

    X, y = jnp.asarray(given.X), jnp.asarray(given.y)
    options = {"num_classes": 2, "num_trees": TREES, "max_depth": depth, "missing": "right"}

    def ours() -> Any:
        found = forest_classifier.fit(jax.random.key(0), X, y, **options)
        return jax.block_until_ready(found)[0]

    peer = RandomForestClassifier(TREES, max_depth=depth, n_jobs=1, random_state=0)
    found = {
        "ours": (ours, lambda state, X: forest_classifier.predict_proba(state, X)),
        "RandomForestClassifier": (
            lambda: peer.fit(given.X, given.y), lambda model, X: model.predict_proba(X)
        ),
    }  # fmt: skip
    if depth is not None:
        light = LGBMClassifier(
            boosting_type="rf", n_estimators=TREES, max_depth=depth, num_leaves=2**depth,
            max_bin=63, bagging_freq=1, bagging_fraction=0.632, feature_fraction_bynode=0.2,
            min_child_samples=1, min_child_weight=0, force_col_wise=True, n_jobs=1, verbosity=-1,
        )  # fmt: skip
        found["LightGBM, a forest"] = (
            lambda: light.fit(given.X, given.y), lambda model, X: model.predict_proba(X)
        )  # fmt: skip
    return found


def forest(
    num_rows: int, depth: int | None, goal: float, *, goal_of_prediction: float | None = None
) -> tuple[list[Row], list[str]]:
    """Grow a hundred trees, and predict by them where there is a goal for it."""
    given = data(num_rows)
    parts = forests(given, depth)
    said = "of any depth" if depth is None else f"of depth {depth}"
    what = f"random forest, {num_rows:,} x 20, {TREES} trees {said}"
    kept, allowed = {}, 2 * POINTS if depth is None else POINTS

    def judge(models: dict) -> tuple[bool, str]:
        kept.update(models)
        scores = {
            name: accuracy(parts[name][1](model, given.X_test), given.y_test)
            for name, model in models.items()
        }
        listed = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
        is_held = scores["ours"] > scores["RandomForestClassifier"] - allowed
        return is_held, f"{what}: accuracy {listed} (ours may be {allowed:g} lower)."

    found = contest({name: call for name, (call, _) in parts.items()}, judge)
    rows = [found.row(what, "RandomForestClassifier", goal)]
    notes = [f"{what}: our first call takes {found.first['ours'].cpu:.2g} CPU-s."]
    for name in list(parts)[2:]:
        rows.append(found.row(what, name, 1)._replace(note=""))
    if depth is not None and goal_of_prediction is not None:
        goals = {"RandomForestClassifier": goal_of_prediction}
        rows += predicted(f"random forest {said}", given, parts, kept, goals)
        step = 1e6 * rows[-1].ours / (JUDGES * TREES * depth)
        notes.append(
            f"{rows[-1].what}: a step down a tree takes {step:.2g} ns of ours: it reads a node, "
            "and then, as that says, a feature of the row."
        )
    return rows, notes


def predicted(
    kind: str, given: Data, parts: dict, models: dict, goals: dict[str, float]
) -> list[Row]:
    """Time the probabilities of the judging rows."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    single, double = jnp.asarray(given.X_test), given.X_test.astype(np.double)

    def call(name: str) -> Call:
        rows = {"ours": single, "HistGradientBoosting": double}.get(name, given.X_test)
        return lambda: jax.block_until_ready(parts[name][1](models[name], rows))

    what = f"{kind}, prediction of {JUDGES:,} rows"

    def judge(answers: dict) -> tuple[bool, str]:
        scores = {name: accuracy(probs, given.y_test) for name, probs in answers.items()}
        least = min(scores[name] for name in goals)
        listed = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
        return scores["ours"] > least - POINTS, f"{what}: accuracy {listed}."

    found = contest({name: call(name) for name in ("ours", *goals)}, judge, rounds=7)
    rows = [found.row(what, name, goal) for name, goal in goals.items()]
    return [rows[0], *(row._replace(note="") for row in rows[1:])]


def boosters(given: Data, num_bins: int) -> dict[str, tuple[Call, Any]]:
    """Return by name what boosts trees, and what predicts by them."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier
    from xgboost import XGBClassifier

    from mastery_jax.learning.trees import boosting_classifier

    X, y, double = jnp.asarray(given.X), jnp.asarray(given.y), given.X.astype(np.double)
    options = {
        "num_classes": 2, "num_rounds": ROUNDS, "max_depth": DEPTH, "num_bins": num_bins,
        "missing": "right",
    }  # fmt: skip

    def ours() -> Any:
        found = boosting_classifier.fit(jax.random.key(0), X, y, **options)
        return jax.block_until_ready(found)[0]

    def light(way: str) -> Any:
        return LGBMClassifier(
            n_estimators=ROUNDS, max_depth=DEPTH, num_leaves=2**DEPTH, max_bin=num_bins - 1,
            reg_lambda=1.0, min_child_weight=1.0, n_jobs=1, verbosity=-1, **{way: True},
        )  # fmt: skip

    histogram = HistGradientBoostingClassifier(
        max_iter=ROUNDS, max_depth=DEPTH, max_leaf_nodes=2**DEPTH, max_bins=num_bins - 1,
        l2_regularization=1.0, early_stopping=False, random_state=0,
    )  # fmt: skip
    extreme = XGBClassifier(
        n_estimators=ROUNDS, max_depth=DEPTH, learning_rate=0.1, max_bin=num_bins,
        tree_method="hist", n_jobs=1,
    )  # fmt: skip

    def answer(model: Any, X: Any) -> Any:
        return model.predict_proba(X)

    return {
        "ours": (ours, lambda state, X: boosting_classifier.predict_proba(state, X)),
        "LightGBM, by columns": (lambda: light("force_col_wise").fit(given.X, given.y), answer),
        "LightGBM, by rows": (lambda: light("force_row_wise").fit(given.X, given.y), answer),
        "HistGradientBoosting": (lambda: histogram.fit(double, given.y), answer),
        "XGBoost": (lambda: extreme.fit(given.X, given.y), answer),
    }


def boosting(num_rows: int, num_bins: int) -> tuple[list[Row], list[str]]:
    """Boost a hundred trees; with few bins, predict by them as well."""
    given = data(num_rows)
    parts = boosters(given, num_bins)
    ways = [name for name in parts if name.startswith("LightGBM")]
    way, tried = fastest({name: parts[name][0] for name in ways})
    goals = {way: 0.9, "HistGradientBoosting": 1.2, "XGBoost": 1}
    what = f"boosting, {num_rows:,} x 20, {ROUNDS} rounds of depth {DEPTH}, {num_bins} bins"
    kept = {}

    def judge(models: dict) -> tuple[bool, str]:
        kept.update(models)
        losses = {
            name: log_loss(parts[name][1](model, given.X_test), given.y_test)
            for name, model in models.items()
        }
        listed = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
        is_held = losses["ours"] < min(losses.values()) + NATS
        return is_held, f"{what}: log loss {listed} (ours may be {NATS:g} nats above the least)."

    found = contest({name: parts[name][0] for name in ("ours", *goals)}, judge)
    rows = [found.row(what, name, goal) for name, goal in goals.items()]
    rows = [rows[0], *(row._replace(note="") for row in rows[1:])]
    first = f"{what}: our first call takes {found.first['ours'].cpu:.2g} CPU-s."
    if num_bins == 64:
        goals = {"HistGradientBoosting": 3, way: 1, "XGBoost": 1}
        rows += predicted(f"boosting, depth {DEPTH}", given, parts, kept, goals)
    cost = found.again["ours"].cpu
    return rows, [first, f"{what}: {tried}.", f"{what}: {counting(num_rows, num_bins, cost)}."]


def counting(num_rows: int, num_bins: int, whole: float) -> str:
    """Return what it costs to add a row to a histogram, beside all that a fit does with it."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng, most = np.random.default_rng(0), 2 ** (DEPTH - 1) * num_bins
    cells = rng.integers(0, most, (20, num_rows)).astype(np.int32)
    with jax.enable_x64(True):
        given = jnp.asarray(cells), jnp.ones(num_rows, jnp.int64)

        @jax.jit
        def sums(cells: Any, amounts: Any) -> Any:
            zeros = jnp.zeros(most, jnp.int64)

            def add(cell: Any) -> Any:
                return zeros.at[cell].add(amounts, mode="promise_in_bounds")

            return jax.lax.map(add, cells)

        _, costs = in_turn({"sums": lambda: jax.block_until_ready(sums(*given))}, rounds=5)
    one = 1e9 * costs["sums"].cpu / cells.size
    fit = 1e9 * whole / (cells.size * ROUNDS * DEPTH)
    return (
        f"for each row, feature and level of a tree our fit takes {fit:.2g} ns, of which to add to "
        f"a sum {one:.2g}; peers add up the smaller child of a node, and subtract for the other"
    )


def main() -> None:
    """Measure one after the other, and save."""
    enter_alone(FAMILY)
    parts = [
        forest(20_000, 10, 5, goal_of_prediction=4),
        forest(100_000, 10, 10),
        forest(20_000, None, 0.67),
        boosting(100_000, 64),
        boosting(100_000, 256),
    ]
    rows = [row for found, _ in parts for row in found]
    save(FAMILY, "Trees", rows, notes=[note for _, said in parts for note in said])


if __name__ == "__main__":
    main()
