"""What flows tell of rows that they have not seen: ours against flowjax, each with its own trainer.

One architecture (``peers/flow_models.py``), spline couplings; Adam at one rate, batches of one
size, a tenth of the rows to stop by, one patience. Ours is ``fit.maximum_likelihood``, theirs
``fit_to_data``. The rows: two half moons, and four tables of the UCI repository (``MASTERY_DATA``)
with their published splits, standardized. Many columns are counts or settings, where a density has
no bound: to each is added a normal distribution of a tenth of its spread, and a column that others
determine is left out. The first numbers of a row are the geometric mean of the density of held-out
points, per coordinate.
"""

import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, enter, save
from benchmarks.peers.flow_models import flowjax, ours
from mastery_jax.workflow import launch

FAMILY = "flow_likelihood"
TABLES = ("concrete", "energy", "wine-quality-red", "yacht")
SPLITS = 5
RATE, BATCH, EPOCHS, PATIENCE, STOP_SHARE, NOISE = 1e-3, 64, 200, 10, 0.1, 0.1


def moons(split: int) -> tuple[Any, Any]:
    """Return rows to fit and rows to judge by, of two half circles with noise."""
    import numpy as np

    rng = np.random.default_rng(split)
    count = 2000
    angle, is_lower = rng.uniform(0, np.pi, count), rng.random(count) < 0.5
    x = np.where(is_lower, 1 - np.cos(angle), np.cos(angle))
    y = np.where(is_lower, 0.5 - np.sin(angle), np.sin(angle))
    points = np.column_stack([x, y]) + 0.1 * rng.normal(size=(count, 2))
    return standardized(points[: count // 2], points[count // 2 :])


def uci(folder: pathlib.Path, name: str, split: int) -> tuple[Any, Any]:
    """Return the rows of a published split of a table."""
    import numpy as np

    with np.load(folder / "uci_regression" / f"{name}.npz") as found:
        table = np.column_stack([found["X"], found["y"]])
        is_test = np.isin(np.arange(len(table)), found["test_idx"][split])
    kept: list[int] = []
    for column in range(table.shape[1]):  # the first ones that no others determine
        chosen = table[:, [*kept, column]] - table[:, [*kept, column]].mean(axis=0)
        if np.linalg.matrix_rank(chosen, tol=1e-6 * np.linalg.norm(chosen)) == len(kept) + 1:
            kept.append(column)
    table = table[:, kept]
    rng = np.random.default_rng(split)
    table = table + NOISE * table.std(axis=0) * rng.normal(size=table.shape)
    return standardized(rng.permutation(table[~is_test]), table[is_test])


def standardized(rows: Any, others: Any) -> tuple[Any, Any]:
    """Return both in units of the first ones' spread."""
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    return tuple(((each - center) / scale).astype("float32") for each in (rows, others))


def by_us(rows: Any, others: Any) -> Any:
    """Return the log densities of others, in nats."""
    import jax

    from mastery_jax.numerics.optimize import optimizers
    from mastery_jax.probability.flows import chain, fit

    params, layers = ours("spline", dim=rows.shape[1])
    num_train = len(rows) - round(STOP_SHARE * len(rows))
    state, _ = fit.maximum_likelihood(
        jax.random.key(1),
        params,
        rows[:num_train],
        rows[num_train:],
        layers=layers,
        rule=optimizers.make("adam", {"learning_rate": RATE}),
        num_epochs=EPOCHS,
        batch_size=BATCH,
        patience=PATIENCE,
    )
    return jax.vmap(lambda x: chain.log_prob(state.params, x, layers=layers))(others)


def by_flowjax(rows: Any, others: Any) -> Any:
    """Return the same of flowjax."""
    import jax
    from flowjax.train import fit_to_data

    flow, _ = fit_to_data(
        jax.random.key(1),
        flowjax("spline", dim=rows.shape[1]),
        rows,
        learning_rate=RATE,
        max_epochs=EPOCHS,
        max_patience=PATIENCE,
        batch_size=BATCH,
        val_prop=STOP_SHARE,
        show_progress=False,
    )
    return flow.log_prob(others)


def judge(name: str, data: Callable[[int], tuple[Any, Any]]) -> tuple[list[Row], str]:
    """Fit every split by both; return the rows of the table and what is to be said."""
    import numpy as np

    values: dict[str, list[float]] = {"ours": [], "flowjax": []}
    costs: dict[str, list[float]] = {"ours": [], "flowjax": []}
    dim = 0
    for split in range(SPLITS):
        rows, others = data(split)
        dim = rows.shape[1]
        for who, call in {"ours": by_us, "flowjax": by_flowjax}.items():
            start = time.process_time()
            values[who].append(float(np.asarray(call(rows, others)).mean()))
            costs[who].append(time.process_time() - start)
    mean = {who: statistics.mean(each) for who, each in values.items()}
    gaps = np.subtract(values["ours"], values["flowjax"])
    error = gaps.std(ddof=1) / np.sqrt(SPLITS)
    density = [float(np.exp(each / dim)) for each in mean.values()]
    again = [statistics.median(each[1:]) for each in costs.values()]  # the first also compiles
    table = [
        Row(f"{name}, density per coordinate", "flowjax", *density, "", 1, more_is_better=True),
        Row(f"{name}, training", "flowjax", *again, "CPU-s", 1),
    ]
    said = (
        f"{name}, {dim} coordinates: {mean['ours']:.3f} nats a row, flowjax {mean['flowjax']:.3f}; "
        f"the gap is {gaps.mean():.3f} ± {error:.3f} over {SPLITS} splits."
    )
    return table, said


def main() -> None:
    """Measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    sets: dict[str, Callable[[int], tuple[Any, Any]]] = {"two moons": moons}
    if folder := os.environ.get("MASTERY_DATA"):
        for name in TABLES:
            sets[name] = lambda split, name=name: uci(pathlib.Path(folder), name, split)
    table, notes = [], []
    for name, data in sets.items():
        more, said = judge(name, data)
        table += more
        notes.append(said)
    notes.append(
        f"Adam at {RATE:g}, batches of {BATCH}, at most {EPOCHS} epochs, patience {PATIENCE}. "
        "Training is that of a later split of the same shape: ours is compiled by then, flowjax "
        "compiles its step in every call."
    )
    save(FAMILY, "Normalizing flows on rows that they have not seen", table, notes=notes)


if __name__ == "__main__":
    main()
