"""What parts of classical learning cost, where the whole is slower than a peer."""

from typing import Any

from benchmarks.harness import in_turn
from mastery_jax.workflow import launch


def turning(rows: Any) -> str:
    """Return what the parts of our fit cost that read all rows."""
    import jax
    import jax.numpy as jnp

    axes = jax.jit(lambda X: jnp.linalg.eigh(X.T @ X)[1].T @ X.T)
    turned, product = axes(rows), jax.jit(lambda w, A: w @ A)
    calls = {
        "axes": lambda: jax.block_until_ready(axes(rows)),
        "product": lambda: jax.block_until_ready(product(turned[:, 0], turned)),
    }
    _, costs = in_turn(calls, rounds=5)
    axes, product = (1e3 * costs[name].cpu for name in calls)
    return f"of ours, to turn rows to their axes {axes:.2g} ms, each product with all {product:.2g}"


def products() -> str:
    """Return what the products cost of which two searches on the digits are made."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mastery_jax.learning.clustering import kmeans

    rng = np.random.default_rng(0)
    A, U = (rng.normal(size=size).astype(np.single) for size in ((65, 1797), (10, 65)))
    B, V, product = jnp.asarray(A), jnp.asarray(U), jax.jit(lambda V, B: V @ B)
    rows = jnp.asarray(A[:64].T)
    state = kmeans.State(rows[:10])
    calls = {
        "XLA": lambda: jax.block_until_ready(product(V, B)),
        "NumPy": lambda: U @ A,
        "a step of k-means, which has two": lambda: jax.block_until_ready(kmeans.step(state, rows)),
    }
    _, costs = in_turn(calls)
    listed = ", ".join(f"{name} {1e6 * cost.cpu:.3g}" for name, cost in costs.items())
    return (
        "A product of 10 x 65 x 1,797, as the digits' logistic grid and k-means have them, in "
        f"microseconds: {listed}; XLA with {launch.record()['NPROC']} threads, NumPy with one."
    )
