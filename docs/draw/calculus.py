"""The picture of docs/calculus.md: what a step does to a finite difference."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, save
from mastery_jax.numerics.calculus import finite_difference
from mastery_jax.plots import style


def finite_difference_error(file: pathlib.Path) -> None:
    """Draw the error of differences of four orders against their step, in two dtypes."""
    plane = style.axes("error", "of differences of exp(sin x) at 1", x="step h")
    for color, (order, kind) in enumerate(
        {1: "forward", 2: "central", 4: "central", 6: "central"}.items()
    ):
        for width, line in {"float64": "-", "float32": ":"}.items():
            with jax.enable_x64(width == "float64"):
                steps, errors, chosen, its_error = _errors(order, kind)
            look = {"color": style.look(color).color, "linewidth": 1.4, "linestyle": line}
            name = f"order {order}, {kind}" if width == "float64" else None
            plane.plot(steps, errors, label=name, **look)
            plane.plot(chosen, its_error, "o", color=look["color"], markeredgecolor="white")
    plane.set_xscale("log")
    plane.set_yscale("log")
    plane.set_ylim(1e-15, 3)
    plane.set_ylabel("relative error", color=MUTED)
    save(plane, file, note="dotted: float32; dots: the steps chosen")


def _errors(order: int, kind: str) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return steps, the worst error in each eighth of a decade, the chosen step and its error."""
    fn, x = Partial(lambda x: jnp.exp(jnp.sin(x))), jnp.array(1.0)
    wanted = np.exp(np.sin(1)) * np.cos(1)

    def difference(h: jax.Array) -> jax.Array:
        return finite_difference.derivative(fn, x, order=order, kind=kind, step_size=h)

    few = float(jnp.finfo(x.dtype).eps)
    # A single step may be right by luck: what is drawn is the worst of eight neighbours.
    steps = np.geomspace(few, 0.5, 8 * int(8 * np.log10(0.5 / few))).reshape(-1, 8)
    found = np.asarray(jax.vmap(difference)(jnp.asarray(steps.ravel())), float)
    errors = np.abs(found / wanted - 1).reshape(steps.shape).max(axis=1)
    chosen = finite_difference.step_size(x, order=order)
    its_error = np.exp(np.interp(np.log(chosen), np.log(steps[:, 4]), np.log(errors + 1e-16)))
    return steps[:, 4], errors, float(chosen), float(its_error)


PICTURES = (finite_difference_error,)
