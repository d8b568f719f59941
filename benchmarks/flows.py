"""Normalizing flows: ours against flowjax.

One architecture, twice: eight coupling layers over ten coordinates, whose networks have two hidden
layers of 64 units with tanh between, and whose moves are affine, or rational-quadratic splines of
eight bins in [-4, 4]. Rows: a step of Adam on the mean log density of 256 points, as both train;
its first call, which traces and compiles; the log densities alone; and 256 samples. flowjax's
layers are scanned, as ours are, and its bijections inverted, as it does by default, so that
densities are cheap for both. It runs in our process, under our launch setting. Both permute between
layers; orders, first weights and the bound of the affine scale are each one's own, and so the
numbers that come out differ; that both learn is checked first: as many steps on the same rows must
bring both below the entropy of the normal distribution with the rows' moments.
"""

import os
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "flows"
DIM, LAYERS, WIDTH, DEPTH, BATCH = 10, 8, 64, 2, 256
BINS, INTERVAL, RATE = 8, 4.0, 1e-3
LEARN_STEPS = 300
ROUNDS = 9


def rows(count: int) -> Any:
    """Return standardized points near a curved sheet, which no normal distribution fits."""
    import numpy as np

    rng = np.random.default_rng(0)
    z = rng.normal(size=(count, DIM))
    z[:, DIM // 2 :] = z[:, : DIM // 2] ** 2 + 0.3 * z[:, DIM // 2 :]
    return ((z - z.mean(axis=0)) / z.std(axis=0)).astype("float32")


def ours(kind: str) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return parameters, log densities of points, and samples."""
    import jax

    from mastery_jax.probability.flows import affine_coupling, chain, inverted, spline_coupling

    layer, options = affine_coupling, {"widths": (WIDTH,) * DEPTH, "scale": 0.1}
    if kind == "spline":
        layer, options = spline_coupling, options | {"num_bins": BINS, "interval": INTERVAL}
    keys = jax.random.split(jax.random.key(0), LAYERS)
    params = (jax.vmap(lambda key: layer.init(key, dim=DIM, **options))(keys),)
    layers = (inverted.Inverted(layer),)  # as flowjax's are: densities go the way without roots

    def log_probs(params: Any, x: Any) -> Any:
        return jax.vmap(lambda x: chain.log_prob(params, x, layers=layers))(x)

    def samples(params: Any, key: Any) -> Any:
        return chain.sample(key, params, layers=layers, dim=DIM, shape=(BATCH,))

    return params, log_probs, samples


def flowjax(kind: str) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """Return the same of flowjax."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from flowjax import bijections, distributions, flows
    from paramax import unwrap

    transformer = None
    if kind == "spline":
        transformer = bijections.RationalQuadraticSpline(knots=BINS, interval=INTERVAL)
    flow = flows.coupling_flow(
        jax.random.key(0),
        base_dist=distributions.Normal(jnp.zeros(DIM)),
        transformer=transformer,
        flow_layers=LAYERS,
        nn_width=WIDTH,
        nn_depth=DEPTH,
        nn_activation=jnp.tanh,
    )
    params, static = eqx.partition(flow, eqx.is_inexact_array)

    def log_probs(params: Any, x: Any) -> Any:
        return unwrap(eqx.combine(params, static)).log_prob(x)

    def samples(params: Any, key: Any) -> Any:
        return unwrap(eqx.combine(params, static)).sample(key, (BATCH,))

    return params, log_probs, samples


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
    density, draw, key = jax.jit(log_probs), jax.jit(samples), jax.random.key(1)
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
        "ours": contestant(ours(kind), given),
        "flowjax": contestant(flowjax(kind), given),
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
    for kind in ("spline", "affine"):
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
