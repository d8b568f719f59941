"""Shapley values: ours against shap, and against what XGBoost computes of its own trees.

Trees are those of the peers, read into our form, so that everybody explains one model. 1,000 rows
of 20 features. Ours in single precision; shap computes in double precision, XGBoost in single.
Values must agree before anything is timed. KernelSHAP draws its sets: the errors are taken from the
exact values, of all 2²⁰ sets, of three rows, and ours may be a quarter larger, as chance has it.
"""

import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Call, Row, contest, enter_alone, fastest, in_turn, save

FAMILY = "explanations"
LEARNED, ROWS, FEATURES, BACKGROUND = 2000, 1000, 20, 100
KERNEL_ROWS, KERNEL_BACKGROUND, COALITIONS = 50, 50, 2048
EXACT_ROWS = 3
CLOSE = 1e-4  # of the largest value: differences that do not count


def data() -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(LEARNED, FEATURES)).astype(np.single)
    y = X[:, 0] * X[:, 1] + np.sin(X[:, 2]) + X[:, 3:8].sum(axis=1) + rng.normal(size=len(X))
    return X, y


def agreement(what: str, answers: dict) -> tuple[bool, str]:
    """Say how far the values of peers are from ours, by the largest."""
    import numpy as np

    first, *others = (np.asarray(values, np.double) for values in answers.values())
    off = max(float(np.abs(first - other).max()) for other in others) / np.abs(first).max()
    return off < CLOSE, f"{what}: values differ by {off:.1g} of the largest ({CLOSE:g} allowed)."


def forest(num_trees: int, depth: int, goals: tuple[float, float]) -> tuple[list[Row], list[str]]:
    """Explain a random forest, by its covers and by a background."""
    import jax
    import jax.numpy as jnp
    import shap
    from sklearn.ensemble import RandomForestRegressor

    from mastery_jax.learning.trees import imported
    from mastery_jax.trust.shap import paths, tree_interventional, tree_path_dependent

    X, y = data()
    model = RandomForestRegressor(num_trees, max_depth=depth, random_state=0).fit(X, y)
    for _ in range(2):  # the first time compiles
        begun = time.process_time()
        leaves = jax.block_until_ready(paths.prepare(imported.from_sklearn(model).trees))
        read = time.process_time() - begun
    rows, double = jnp.asarray(X[:ROWS]), X[:ROWS].astype(float)
    seen, double_seen = jnp.asarray(X[ROWS:][:BACKGROUND]), X[ROWS:][:BACKGROUND].astype(float)
    begun = time.process_time()
    by_covers = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    prepared = time.process_time() - begun
    by_rows = shap.TreeExplainer(model, double_seen, feature_perturbation="interventional")

    def ours(module: Any, *more: Any) -> Call:
        def call() -> Any:
            return jax.block_until_ready(module.explain(leaves, rows, *more)[0].values)[:, :, 0]

        return call

    def theirs(explainer: Any) -> Call:
        return lambda: explainer.shap_values(double, check_additivity=False)

    num_leaves = sum(tree.get_n_leaves() for tree in model.estimators_)
    size = f"{num_trees} trees of depth {depth} ({num_leaves:,} leaves)"
    kinds = {
        f"TreeSHAP, {size}": (ours(tree_path_dependent), theirs(by_covers)),
        f"TreeSHAP, interventional, {size}, {BACKGROUND} background rows": (
            ours(tree_interventional, seen), theirs(by_rows)
        ),
    }  # fmt: skip
    found, notes = [], []
    for (what, (mine, other)), goal in zip(kinds.items(), goals, strict=True):
        calls = {"ours": mine, "shap.TreeExplainer": other}
        done = contest(calls, lambda answers, what=what: agreement(what, answers))
        found.append(done.row(what, "shap.TreeExplainer", goal))
        notes.append(f"{what}: our first call takes {done.first['ours'].cpu:.2g} CPU-s.")
    notes.append(
        f"{size}: to read the trees takes {read:.2g} CPU-s of ours, {prepared:.2g} of shap."
    )
    return found, notes


def boosted() -> tuple[list[Row], list[str]]:
    """Explain a model of XGBoost, whose own TreeSHAP is compiled."""
    import jax
    import jax.numpy as jnp
    import xgboost

    from mastery_jax.learning.trees import imported
    from mastery_jax.trust.shap import paths, tree_path_dependent

    X, y = data()
    model = xgboost.XGBRegressor(n_estimators=100, max_depth=6, n_jobs=1).fit(X, y)
    booster = model.get_booster()
    read = imported.from_xgboost(booster.save_raw("json").decode())
    leaves, rows = paths.prepare(read.trees), jnp.asarray(X[:ROWS])
    matrix = xgboost.DMatrix(X[:ROWS], nthread=1)
    options = {"pred_contribs": True, "validate_features": False}

    def ours() -> Any:
        return jax.block_until_ready(tree_path_dependent.explain(leaves, rows)[0].values)[:, :, 0]

    what = "TreeSHAP, 100 boosted trees of depth 6"
    calls = {"ours": ours, "XGBoost": lambda: booster.predict(matrix, **options)[:, :-1]}
    done = contest(calls, lambda answers: agreement(what, answers))
    first = f"{what}: our first call takes {done.first['ours'].cpu:.2g} CPU-s."
    return [done.row(what, "XGBoost", 1)], [first]


def network() -> tuple[Any, list[Any]]:
    """Return rows of a network, and its matrices: 20-64-64-1."""
    import numpy as np

    rng = np.random.default_rng(0)
    weights = [
        (rng.normal(size=pair) * (1.5 / pair[0] ** 0.5)).astype(np.single)
        for pair in itertools.pairwise((FEATURES, 64, 64, 1))
    ]
    return rng.normal(size=(KERNEL_ROWS + KERNEL_BACKGROUND, FEATURES)).astype(np.single), weights


def forward(tanh: Callable[[Any], Any], weights: list[Any], X: Any) -> Any:
    first, second, last = weights
    return (tanh(tanh(X @ first) @ second) @ last)[:, 0]


def kernel_peers(rows: Any, background: Any, in_numpy: Any, in_jax: Any) -> dict[str, Call]:
    """Return shap's KernelExplainer in all settings."""
    import numpy as np
    import shap

    def theirs(answer: Any) -> Call:
        explainer = shap.KernelExplainer(lambda X: answer(X.astype(np.single)), background)
        options = {"nsamples": COALITIONS, "l1_reg": False, "silent": True}
        return lambda: np.asarray(explainer.shap_values(rows, **options))

    return {
        "of a network in NumPy": theirs(in_numpy),
        "of a network in jax": theirs(lambda X: np.asarray(in_jax(X))),
    }


def alone(in_numpy: Any, in_jax: Any, rows: Any) -> str:
    """Return what the network takes of either, asked as they ask."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    asked = np.tile(rows, (COALITIONS, 1))
    some = jnp.asarray(asked[: 1 << 14])
    calls = {"ours": lambda: jax.block_until_ready(in_jax(some)), "peer": lambda: in_numpy(asked)}
    _, costs = in_turn(calls, rounds=5)
    share = KERNEL_ROWS * COALITIONS * KERNEL_BACKGROUND
    ours, peer = (
        costs[name].cpu * share / len(each) for name, each in (("ours", some), ("peer", asked))
    )
    return f"the network alone takes {ours:.2g} CPU-s of ours, {peer:.2g} of the peer's"


def kernel() -> tuple[list[Row], list[str]]:
    """Explain a network, whatever is in it."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.tree_util import Partial

    from mastery_jax.trust.shap import kernel as kernel_shap

    every, weights = network()
    rows, background = every[:KERNEL_ROWS], every[KERNEL_ROWS:]
    model = Partial(Partial(forward, jnp.tanh), list(map(jnp.asarray, weights)))
    in_numpy, in_jax = functools.partial(forward, np.tanh, weights), jax.jit(model)
    given, seen = jnp.asarray(rows), jnp.asarray(background)

    def ours(rows: Any, num_coalitions: int) -> Any:
        options = {"model": model, "num_coalitions": num_coalitions}
        found, _ = kernel_shap.explain(jax.random.key(0), rows, seen, **options)
        return np.asarray(jax.block_until_ready(found.values))[:, :, 0]

    settings = kernel_peers(rows, background, in_numpy, in_jax)
    best, said = fastest(settings)
    peer = f"shap.KernelExplainer {best}"
    exact = ours(given[:EXACT_ROWS], 2**FEATURES)
    what = (
        f"KernelSHAP, {KERNEL_ROWS} rows, {COALITIONS:,} sets, {KERNEL_BACKGROUND} background rows"
    )

    def judge(answers: dict) -> tuple[bool, str]:
        mine, other = (
            float(np.sqrt(((values[:EXACT_ROWS] - exact) ** 2).mean()))
            for values in answers.values()
        )
        spread = float(exact.std())
        said = f"{what}: errors {mine:.2g} (ours) and {other:.2g}; values spread by {spread:.2g}."
        return mine <= 1.25 * other, said

    calls = {"ours": lambda: ours(given, COALITIONS), peer: settings[best]}
    done = contest(calls, judge)
    first = done.first["ours"].cpu
    return [done.row(what, peer, 6)], [
        f"{what}: our first call takes {first:.2g} CPU-s; the peer {said}.",
        f"{what}: {alone(in_numpy, in_jax, rows)}: what is left to gain is the rest.",
    ]


def main() -> None:
    """Measure one after the other, and save."""
    enter_alone(FAMILY)
    parts = [forest(100, 6, (20, 1)), forest(20, 14, (4, 1)), boosted(), kernel()]
    rows = [row for found, _ in parts for row in found]
    save(FAMILY, "Shapley values", rows, notes=[note for _, said in parts for note in said])


if __name__ == "__main__":
    main()
