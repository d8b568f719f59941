"""L-BFGS: a thousand problems at once, and one, against scipy and optax, in double precision.

Rosenbrock's valley in 5 and 10 dimensions from 1000 starts, and 1000 logistic regressions with data
of their own. Everybody has the exact gradient, a memory of 10 pairs and the same tolerance for its
largest entry, which every answer must meet before anything is timed. scipy is a loop over problems,
its function and gradient in one call of NumPy; optax's steps are vmapped in one compiled loop.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "optimize"
PROBLEMS, SAMPLES, FEATURES, PENALTY = 1000, 100, 8, 1e-3
GTOL, MAX_STEPS, MEMORY = 1e-6, 300, 10
ROUNDS = 5


class Family(NamedTuple):
    """Problems of one kind: an objective of (data, x), and each problem's data and start."""

    what: str
    objective: Callable[..., Any]  # in jax
    value_and_gradient: Callable[..., Any]  # in NumPy
    data: tuple[Any, ...]  # leading axis: problems
    starts: Any


def valley(dim: int) -> Family:
    import numpy as np

    def objective(x: Any) -> Any:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    def both(x: Any) -> tuple[Any, Any]:
        above, here = x[1:] - x[:-1] ** 2, 1 - x[:-1]
        gradient = np.zeros_like(x)
        gradient[1:] = 200 * above
        gradient[:-1] -= 400 * above * x[:-1] + 2 * here
        return (100 * above**2 + here**2).sum(), gradient

    starts = np.random.default_rng(0).uniform(-2, 2, (PROBLEMS, dim))
    return Family(f"Rosenbrock, {dim} dimensions", objective, both, (), starts)


def regressions() -> Family:
    import jax.numpy as jnp
    import numpy as np

    def objective(X: Any, y: Any, w: Any) -> Any:
        z = X @ w
        softplus = jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))
        return (softplus - y * z).mean() + PENALTY / 2 * jnp.sum(w * w)

    def both(X: Any, y: Any, w: Any) -> tuple[Any, Any]:
        z = X @ w
        small = np.exp(-np.abs(z))
        softplus = np.maximum(z, 0) + np.log1p(small)
        left = np.where(z >= 0, 1, small) / (1 + small) - y
        value = (softplus - y * z).mean() + PENALTY / 2 * w @ w
        return value, left @ X / len(X) + PENALTY * w

    rng = np.random.default_rng(1)
    X = rng.normal(size=(PROBLEMS, SAMPLES, FEATURES))
    w = rng.normal(size=(PROBLEMS, FEATURES))
    y = rng.random((PROBLEMS, SAMPLES)) < 1 / (1 + np.exp(-np.einsum("pnd,pd->pn", X, w)))
    what = f"logistic regressions, {SAMPLES} samples, {FEATURES} features"
    return Family(what, objective, both, (X, 1.0 * y), np.zeros((PROBLEMS, FEATURES)))


def ours(family: Family, batch: Callable[..., Any] | None) -> Callable[[], Any]:
    """Return a call that solves every problem by ``batch``, or the first one."""
    import jax
    import jax.numpy as jnp
    from jax.tree_util import Partial

    from mastery_jax.numerics.optimize import lbfgs

    def one(given: Any) -> Any:
        data, start = given
        fn = Partial(family.objective, *data)
        x, info = lbfgs.minimize(fn, start, gtol=GTOL, max_steps=MAX_STEPS, memory=MEMORY)
        return x, info.value, info.num_evals

    given = jax.tree.map(jnp.asarray, (family.data, family.starts))
    if batch is None:
        given = jax.tree.map(lambda leaf: leaf[0], given)
    solve = jax.jit(one if batch is None else lambda given: batch(one, given))
    return lambda: jax.block_until_ready(solve(given))


def scipy(family: Family, count: int) -> Callable[[], Any]:
    """Return a call that solves the first ``count`` problems, one after the other."""
    import numpy as np
    from scipy.optimize import minimize

    options = {"gtol": GTOL, "ftol": 0.0, "maxiter": MAX_STEPS, "maxcor": MEMORY}

    def solve(i: int) -> tuple[Any, Any, Any]:
        data = tuple(leaf[i] for leaf in family.data)
        found = minimize(
            lambda x: family.value_and_gradient(*data, x),
            family.starts[i],
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
        return found.x, found.fun, found.nfev

    def every() -> tuple[Any, ...]:
        return tuple(map(np.stack, zip(*map(solve, range(count)), strict=True)))

    return every


def optax(family: Family) -> Callable[[], Any]:
    """Return a call that solves every problem by optax's L-BFGS, as its documents use it."""
    import jax
    import jax.numpy as jnp
    import optax as peer

    def one(data: Any, start: Any) -> Any:
        def fn(x: Any) -> Any:
            return family.objective(*data, x)

        solver = peer.lbfgs(memory_size=MEMORY)
        both = peer.value_and_grad_from_state(fn)

        def step(carry: Any) -> Any:
            x, state = carry
            value, gradient = both(x, state=state)
            updates, state = solver.update(
                gradient, state, x, value=value, grad=gradient, value_fn=fn
            )
            return peer.apply_updates(x, updates), state

        def unfinished(carry: Any) -> Any:
            state = carry[1]
            count = peer.tree.get(state, "count")
            gradient = peer.tree.get(state, "grad")
            return (count == 0) | ((count < MAX_STEPS) & (jnp.abs(gradient).max() > GTOL))

        x, state = jax.lax.while_loop(unfinished, step, (start, solver.init(start)))
        return x, fn(x), peer.tree.get(state, "count")

    solve = jax.jit(jax.vmap(one))
    given = jax.tree.map(jnp.asarray, (family.data, family.starts))
    return lambda: jax.block_until_ready(solve(*given))


def agree(family: Family, contestants: Mapping[str, Callable[[], Any]]) -> str:
    """Insist that everybody's answers meet the tolerance; say how they compare.

    Raises:
        RuntimeError: an answer has a larger gradient, or another value where the minimum is one.
    """
    import numpy as np

    answers = {name: [np.asarray(leaf) for leaf in call()] for name, call in contestants.items()}
    said = []
    for name, (xs, values, counts) in answers.items():
        rows = zip(*family.data, xs, strict=True)
        norms = np.array([np.abs(family.value_and_gradient(*row)[1]).max() for row in rows])
        if not (norms <= 1.01 * GTOL).all():
            raise RuntimeError(f"{family.what}: {name} has a gradient of {norms.max():.2g}")
        if family.data and not np.allclose(values, answers["ours"][1], rtol=0, atol=1e-9):
            raise RuntimeError(f"{family.what}: {name} has other minima than ours")
        counted = "steps" if name == "optax" else "evaluations"
        said.append(f"{name} takes {counts.mean():.0f} {counted} (at most {counts.max():.0f})")
    return f"{family.what}: every gradient is at most {GTOL:g} in every answer; " + ", ".join(said)


def compare(family: Family) -> tuple[list[Row], str]:
    """Check the answers, time many problems, and return the rows and what was checked."""
    import jax

    many = {
        "ours": ours(family, jax.lax.map),
        "ours, vmapped": ours(family, lambda solve, given: jax.vmap(solve)(given)),
        "scipy": scipy(family, PROBLEMS),
        "optax": optax(family),
    }
    note = agree(family, many)
    _, again = in_turn(many, rounds=ROUNDS)
    what = f"{PROBLEMS:,} times {family.what}"
    rows = [
        Row(what, peer, 1e3 * again["ours"].cpu, 1e3 * again[peer].cpu, "ms CPU", goal)
        for peer, goal in (("scipy", 30), ("optax", 1), ("ours, vmapped", 1))
    ]
    return rows, note


def alone(family: Family) -> Row:
    """Time one problem."""
    _, again = in_turn({"ours": ours(family, None), "scipy": scipy(family, 1)}, rounds=ROUNDS)
    cost = {name: 1e3 * turn.cpu for name, turn in again.items()}
    return Row(f"one {family.what}", "scipy", cost["ours"], cost["scipy"], "ms CPU", 1)


def main() -> None:
    """Check that answers are equal, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    rows, notes = [], []
    families = (valley(5), valley(10), regressions())
    for family in families:
        found, note = compare(family)
        rows += found
        notes.append(f"{note}.")
    rows += [alone(families[0]), alone(families[2])]
    notes.append(
        "Ours is `jax.lax.map` over problems: each stops when it is done, and a problem is one "
        "kernel under the small-loop setting of our command line, which optax has here, too. "
        "Under `vmap` every problem costs what the slowest does, and a step of all costs more "
        "than their steps one by one, as lanes that are done are copied along. Of the regressions "
        "most is the objective itself, which is compiled code in either: exponentials and "
        "logarithms of every sample."
    )
    save(FAMILY, "Minimizers", rows, notes=notes)


if __name__ == "__main__":
    main()
