"""Ordinary differential equations: ours against diffrax.

The field is a perceptron with one layer of 64 units that moves points of a plane: 64 of them as
one state, or one. Rows: 100 equal steps, rk4 against diffrax's Tsit5 of constant steps; then steps
that adapt to a tolerance, dopri5 against diffrax's Dopri5 and Tsit5 with its PID controller. Each
forwards, and with the gradient of a loss by the parameters. diffrax runs in our process, under our
launch setting, with its own default adjoint, without error checks, and with room for as many steps
as ours. Errors, against double precision at a tolerance of 1e-10, must be comparable. A scan of rk4
that is written out by hand takes part at 64 points: it says what no code around the field can beat.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.harness import Cost, Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "ode"
WIDTH, STEPS, MAX_STEPS = 64, 100, 128
RTOL, ATOL = 1e-4, 1e-6
ROUNDS = 9
HAND = "by hand"


class Problem(NamedTuple):
    """A perceptron and where it moves points from, from time 0 to 1, in NumPy."""

    params: Any
    y: Any  # (points, 2)


def problem(num_points: int) -> Problem:
    import numpy as np

    rng = np.random.default_rng(0)
    into, out = rng.normal(size=(2, WIDTH)), rng.normal(size=(WIDTH, 2)) * 2 / WIDTH**0.5
    params = {"into": into, "out": out, "bias": rng.normal(size=WIDTH)}
    y = rng.normal(size=(num_points, 2))
    return Problem({name: p.astype("float32") for name, p in params.items()}, y.astype("float32"))


def perceptron(params: Any, t: Any, y: Any) -> Any:
    import jax.numpy as jnp

    return jnp.tanh(y @ params["into"] + params["bias"] + t) @ params["out"]


def ours_fixed(params: Any, y: Any) -> Any:
    import jax.numpy as jnp
    from jax.tree_util import Partial

    from mastery_jax.numerics.ode import fixed_step

    times = jnp.linspace(0.0, 1.0, 2)
    return fixed_step.solve(Partial(perceptron, params), y, times, num_substeps=STEPS)[0][-1]


def by_hand(params: Any, y: Any) -> Any:
    """Return where rk4 finds the points, with nothing around it."""
    import jax
    import jax.numpy as jnp

    h = 1 / STEPS

    def step(y: Any, index: Any) -> tuple[Any, None]:
        t = index * h
        k1 = perceptron(params, t, y)
        k2 = perceptron(params, t + h / 2, y + h / 2 * k1)
        k3 = perceptron(params, t + h / 2, y + h / 2 * k2)
        k4 = perceptron(params, t + h, y + h * k3)
        return y + h / 6 * (k1 + 2 * (k2 + k3) + k4), None

    return jax.lax.scan(step, y, jnp.arange(STEPS, dtype=y.dtype))[0]


def ours_adaptive(params: Any, y: Any, rtol: float = RTOL, atol: float = ATOL) -> Any:
    import jax.numpy as jnp
    from jax.tree_util import Partial

    from mastery_jax.numerics.ode import dopri5

    field, times = Partial(perceptron, params), jnp.linspace(0.0, 1.0, 2)
    options = {"rtol": rtol, "atol": atol, "max_steps": MAX_STEPS}
    return dopri5.solve(field, y, times, **options)[0][-1]


def diffrax(solver: str, is_fixed: bool) -> Callable[[Any, Any], Any]:
    """Return where diffrax's solver finds the points."""
    import diffrax

    def field(t: Any, y: Any, params: Any) -> Any:
        return perceptron(params, t, y)

    controller = diffrax.ConstantStepSize() if is_fixed else diffrax.PIDController(RTOL, ATOL)

    def solve(params: Any, y: Any) -> Any:
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            getattr(diffrax, solver)(),
            t0=0.0,
            t1=1.0,
            dt0=1.0 / STEPS if is_fixed else None,
            y0=y,
            args=params,
            stepsize_controller=controller,
            max_steps=MAX_STEPS,
            throw=False,
        ).ys[-1]

    return solve


def contestant(solve: Callable[[Any, Any], Any], given: Problem) -> dict[str, Callable[[], Any]]:
    """Return calls of what is compiled: forwards, and the gradient by the parameters."""
    import jax
    import jax.numpy as jnp

    params, y = jax.tree.map(jnp.asarray, given)

    def loss(params: Any, y: Any) -> Any:
        return (solve(params, y) ** 2).sum()

    forward, slope = jax.jit(solve), jax.jit(jax.grad(loss))
    return {
        "forward": lambda: jax.block_until_ready(forward(params, y)),
        "gradient": lambda: jax.block_until_ready(slope(params, y)),
    }


def truth(given: Problem) -> Any:
    """Return where the points go, and the loss's gradient, in double precision."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        exact = Problem(*jax.tree.map(lambda x: jnp.asarray(x, float), given))
        found = contestant(lambda params, y: ours_adaptive(params, y, 1e-10, 1e-10), exact)
        return {kind: jax.tree.map(jax.device_get, call()) for kind, call in found.items()}


def errors(contestants: Mapping[str, Callable[[], Any]], known: Any) -> dict[str, float]:
    """Return how far each one is from the truth, as a part of it."""
    import jax
    import numpy as np

    def norm(tree: Any) -> float:
        return float(np.sqrt(sum((np.asarray(x, float) ** 2).sum() for x in jax.tree.leaves(tree))))

    def apart(answer: Any) -> float:
        return norm(jax.tree.map(lambda a, b: np.asarray(a, float) - b, answer, known)) / norm(
            known
        )

    return {name: apart(call()) for name, call in contestants.items()}


def compare(
    what: str, contestants: Mapping[str, Callable[[], Any]], goal: float
) -> tuple[list[Row], dict[str, Cost], dict[str, Cost]]:
    """Time one row for each peer; return them, the first calls, and the later ones."""
    first, again = in_turn(contestants, rounds=ROUNDS)
    mine = 1e3 * again["ours"].cpu
    rows = [
        Row(what, f"diffrax {peer}", mine, 1e3 * cost.cpu, "ms CPU", goal)
        for peer, cost in again.items()
        if peer not in ("ours", HAND)
    ]
    return rows, first, again


def family(num_points: int, is_fixed: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of one kind of step and one size of state, and what is to be said of them."""
    given = problem(num_points)
    solves = {"ours": ours_fixed if is_fixed else ours_adaptive}
    solves |= {
        name: diffrax(name, is_fixed) for name in ("Tsit5", "Dopri5")[: 1 if is_fixed else 2]
    }
    if is_fixed and num_points > 1:
        solves[HAND] = by_hand
    made = {name: contestant(solve, given) for name, solve in solves.items()}
    known = truth(given)
    kind = f"{STEPS} equal steps" if is_fixed else f"steps that adapt to rtol {RTOL:g}"
    points = "1 point" if num_points == 1 else f"{num_points} points"
    rows, notes = [], []
    for way in ("forward", "gradient"):
        contestants = {name: calls[way] for name, calls in made.items()}
        goal = 2.5 if is_fixed and num_points > 1 else 1.0
        more, first, again = compare(f"{kind}, {points}, {way}", contestants, goal)
        rows += more
        if is_fixed and num_points > 1:
            costs = first["ours"].cpu, first["Tsit5"].cpu
            rows.append(Row(f"{kind}, {points}, first {way}", "diffrax Tsit5", *costs, "s CPU", 4))
            notes.append(
                f"{kind}, {points}, {way}: rk4 written out by hand takes "
                f"{1e3 * again[HAND].cpu:.3g} ms CPU, and {first[HAND].cpu:.3g} s CPU the first "
                f"time. It calls the field {4 * STEPS} times, diffrax's Tsit5 {6 * STEPS} times."
            )
        apart = errors(contestants, known[way])
        check(apart, is_fixed)
        said = ", ".join(f"{name} {error:.1e}" for name, error in apart.items())
        notes.append(f"{kind}, {points}, relative error of the {way}: {said}.")
    return rows, notes


def check(apart: Mapping[str, float], is_fixed: bool) -> None:
    """Insist that we are no less exact than what we are compared with.

    Raises:
        RuntimeError: we are.
    """
    limit = 1e-5 if is_fixed else 3 * max(e for name, e in apart.items() if name != "ours")
    if not apart["ours"] <= limit:
        raise RuntimeError(f"our error is {apart['ours']:.2g}, not within {limit:.2g}: {apart}")


def main() -> None:
    """Compare errors, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    rows, notes = [], []
    for is_fixed in (True, False):
        for num_points in (64, 1):
            more, said = family(num_points, is_fixed)
            rows += more
            notes += said
    notes.append(
        "Single precision, time 0 to 1; a first call traces, compiles and runs. Everybody runs "
        f"under {launch.SMALL_LOOP}={launch.SMALL_LOOP_BYTES}, which our command line sets and "
        f"diffrax does not, with room for {MAX_STEPS} steps."
    )
    save(FAMILY, "Ordinary differential equations", rows, notes=notes)


if __name__ == "__main__":
    main()
