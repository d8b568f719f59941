"""The drawing of the page on optimization: six ways down one valley."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from docs.draw.common import MUTED, save
from mastery_jax.core import loop
from mastery_jax.numerics.optimize import landscapes, lbfgs, newton
from mastery_jax.numerics.optimize.rules import adam, gradient_descent, lion, momentum
from mastery_jax.plots import style

START = (-1.2, 1.0)
BUDGET = 200  # gradients
STEPS = 39  # of L-BFGS and Newton, at most
RULES = {
    "gradient descent": (gradient_descent, 2e-3),
    "momentum": (momentum, 5e-4),
    "Adam": (adam, 0.1),
    "Lion": (lion, 0.03),
}


def rosenbrock_paths(file: pathlib.Path) -> None:
    """Draw where each optimizer goes on Rosenbrock's function in as many gradients."""
    valley = jax.grad(landscapes.rosenbrock)
    start = jnp.array(START)
    plane = style.axes("Rosenbrock's valley", f"in {BUDGET} gradients", x="x0")
    plane.grid(visible=False)
    x0, x1 = jnp.linspace(-1.7, 1.7, 240), jnp.linspace(-0.7, 1.9, 200)
    points = jnp.stack(jnp.meshgrid(x0, x1), axis=-1)
    height = jnp.log10(jax.vmap(jax.vmap(landscapes.rosenbrock))(points))
    plane.contourf(x0, x1, height, levels=16, cmap="Greys", alpha=0.6)
    for index, (name, (rule, rate)) in enumerate(RULES.items()):

        def step(carry: Any, rule: Any = rule, rate: float = rate) -> Any:
            x, state = carry
            updates, state = rule.step(state, valley(x), x, learning_rate=rate)
            return (x + updates, state), x

        _, path = loop.scan(step, (start, rule.init(start)), num_steps=BUDGET)
        draw(plane, path, index, name)
    fn = Partial(landscapes.rosenbrock)
    for index, (name, solver) in enumerate({"L-BFGS": lbfgs, "Newton": newton}.items(), len(RULES)):
        ends = [solver.minimize(fn, start, max_steps=n, gtol=1e-3)[0] for n in range(1, STEPS + 1)]
        draw(plane, jnp.stack([start, *ends]), index, name)
    plane.plot(1, 1, "*", color="black", markersize=11)
    plane.set_xlim(-1.7, 1.7)
    plane.set_ylim(-0.7, 1.9)
    plane.set_ylabel("x1", color=MUTED)
    save(plane, file, note=f"star: minimum; L-BFGS, Newton: {STEPS} steps at most")


def draw(plane: Any, path: Any, index: int, name: str) -> None:
    """Draw a path, its end marked, and say how far it is from the minimum."""
    look = style.look(index)
    left = float(landscapes.rosenbrock(path[-1]))
    plane.plot(*path.T, color=look.color, linewidth=1.4, label=f"{name}: f = {left:.0e}")
    plane.plot(*path[-1], look.marker, color=look.color, markeredgecolor="white", markersize=7)


PICTURES = (rosenbrock_paths,)
