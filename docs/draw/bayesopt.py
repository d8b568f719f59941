"""The picture of the page on Bayesian optimization."""

import pathlib

import jax
import jax.numpy as jnp

from docs.draw.common import MUTED, save
from mastery_jax.inference.bayesopt import latin_hypercube, one_point, surrogate
from mastery_jax.plots import style
from mastery_jax.probability.gaussian_process import gp_regression


def measure(x: jax.Array) -> jax.Array:
    """Return what is searched for its least value."""
    return jnp.sin(3 * x[0]) + (x[0] - 0.5) ** 2 / 4 + 0.3 * jnp.cos(7 * x[0])


def gp_bayesopt(file: pathlib.Path) -> None:
    """Draw a posterior after eight measurements, in their order, and where the next one goes."""
    lower, upper = jnp.array([-2.0]), jnp.array([2.5])
    state = surrogate.init(lower, upper, capacity=8)
    for x in latin_hypercube.sample(jax.random.key(4), lower, upper, num_points=4):
        state = surrogate.tell(state, x, measure(x))
    for key in jax.random.split(jax.random.key(1), 4):
        state = surrogate.tell(state, x := one_point.ask(key, state)[0], measure(x))
    x_next, info = one_point.ask(jax.random.key(2), state)
    grid = jnp.linspace(-2.0, 2.5, 300)[:, None]
    mean, variance = gp_regression.predict(info.model.objective, surrogate.to_cube(state, grid))
    center, scale = state.y.mean(), state.y.std()  # what the surrogate standardizes by
    mean, reach = center + scale * mean, 1.645 * scale * jnp.sqrt(jnp.maximum(variance, 0))
    line, (blue, red) = grid[:, 0], (style.look(0).color, style.look(1).color)
    plane = style.axes("a search", "for the least value, after eight points", x="x")
    plane.plot(line, jax.vmap(measure)(grid), color=MUTED, linestyle="--", label="function")
    plane.plot(line, mean, color=blue, linewidth=1.8, label="posterior mean")
    plane.fill_between(line, mean - reach, mean + reach, color=blue, alpha=0.18, lw=0)
    plane.plot(state.X[:, 0], state.y, "o", color=red, markersize=6, label="measured")
    for order, (x, y) in enumerate(zip(state.X[:, 0], state.y, strict=True), 1):
        plane.annotate(str(order), (x, y), (4, 6), textcoords="offset points", color=red)
    plane.axvline(float(x_next[0]), color=red, linewidth=1.2, linestyle=":", label="next")
    plane.set_ylabel("f(x)", color=MUTED)
    save(plane, file, note="band: 90 %")


PICTURES = (gp_bayesopt,)
