"""Normalizing flows: ours against flowjax, at one architecture (``peers/flow_models.py``).

Rows: a step of Adam on the mean log density of 256 points of ten coordinates, as both train; its
first call, which traces and compiles; the log densities alone; and 256 samples. flowjax runs in our
process, under our launch setting. First weights and orders are each one's own, and so the numbers
that come out differ; that both learn is checked first: as many steps on the same rows must bring
both below the entropy of the normal distribution with the rows' moments.
"""

import os
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, enter, in_turn, save
from benchmarks.peers.flow_models import KINDS, LAYERS, flowjax_as_functions, ours_as_functions
from mastery_jax.workflow import launch

FAMILY = "flows"
DIM, BATCH, RATE = 10, 256, 1e-3
LEARN_STEPS = 300
ROUNDS = 9


def rows(count: int) -> Any:
    """Return standardized points near a curved sheet, which no normal distribution fits."""
    import numpy as np

    rng = np.random.default_rng(0)
    z = rng.normal(size=(count, DIM))
    z[:, DIM // 2 :] = z[:, : DIM // 2] ** 2 + 0.3 * z[:, DIM // 2 :]
    return ((z - z.mean(axis=0)) / z.std(axis=0)).astype("float32")


def contestant(made: Any, given: Any) -> tuple[dict[str, Callable[[], Any]], Callable[[], float]]:
    """Return calls of what is compiled, and one for the loss after learning, in nats per row."""
    import jax
    import optax

    params, log_probs, samples = made
    rule = optax.adam(RATE)

    @jax.jit
    def step(params: Any, state: Any, x: Any) -> Any:
        value, grads = jax.value_and_grad(lambda params: -log_probs(params, x).mean())(params)
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    batch, state = given[:BATCH], rule.init(params)
    density, key = jax.jit(log_probs), jax.random.key(1)
    draw = jax.jit(lambda params, key: samples(params, key, BATCH))
    calls: dict[str, Callable[[], Any]] = {
        "train step": lambda: jax.block_until_ready(step(params, state, batch)),
        "log density": lambda: jax.block_until_ready(density(params, batch)),
        "samples": lambda: jax.block_until_ready(draw(params, key)),
    }

    def learn() -> float:
        trained, kept = params, state
        for i in range(LEARN_STEPS):
            start = i * BATCH % (len(given) - BATCH)
            trained, kept, _ = step(trained, kept, given[start : start + BATCH])
        return float(-log_probs(trained, given).mean())

    return calls, learn


def entropy(given: Any) -> float:
    """Return that of the normal distribution with the rows' moments, in nats."""
    import numpy as np

    return float((DIM * (1 + np.log(2 * np.pi)) + np.linalg.slogdet(np.cov(given.T))[1]) / 2)


def family(kind: str) -> tuple[list[Row], list[str]]:
    """Return the rows of one kind of layer, and what is to be said of them."""
    import jax.numpy as jnp

    given = jnp.asarray(rows(16 * BATCH))
    made = {
        "ours": contestant(ours_as_functions(kind, dim=DIM), given),
        "flowjax": contestant(flowjax_as_functions(kind, dim=DIM), given),
    }
    table, notes = [], []
    for what, goal, goal_first in (
        ("train step", 1.5, 2.0),
        ("log density", 1.0, 1.0),
        ("samples", 1.0, 1.0),
    ):
        contestants = {name: calls[what] for name, (calls, _) in made.items()}
        first, again = in_turn(contestants, rounds=ROUNDS)
        times = [1e3 * again[name].cpu for name in ("ours", "flowjax")]
        table.append(Row(f"{kind} coupling, {what}", "flowjax", *times, "ms CPU", goal))
        times = [first[name].cpu for name in ("ours", "flowjax")]
        table.append(Row(f"{kind} coupling, first {what}", "flowjax", *times, "s CPU", goal_first))
    losses = {name: learn() for name, (_, learn) in made.items()}
    normal = entropy(given)
    if not max(losses.values()) < normal:
        raise RuntimeError(f"{kind}: losses are {losses}, not below {normal}")
    said = ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items())
    notes.append(
        f"{kind} coupling, nats per row after {LEARN_STEPS} steps: {said}; "
        f"the normal distribution of the same moments {normal:.2f}."
    )
    return table, notes


def main() -> None:
    """Measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    table, notes = [], []
    for kind in KINDS:
        more, said = family(kind)
        table += more
        notes += said
    notes.append(
        f"{LAYERS} layers, {DIM} coordinates, batches of {BATCH}, single precision; a first call "
        "traces, compiles and runs."
    )
    save(FAMILY, "Normalizing flows", table, notes=notes)


if __name__ == "__main__":
    main()
