"""The pictures of minimizers of second order."""

import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import optimize

from docs.draw.common import MUTED, add, save
from mastery_jax.numerics.optimize import lbfgs
from mastery_jax.plots import style


def valley(x: Any) -> Any:
    """Return Rosenbrock's function."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def cpu_seconds(call: Any, repeats: int = 3) -> float:
    """Return the least CPU time of a call, after one that is not timed."""
    call()
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return min(times)


def lbfgs_batch(file: pathlib.Path) -> None:
    """Draw what a problem costs among many: mapped, vmapped, and in a loop of scipy's."""

    def one(start: Any) -> Any:
        return lbfgs.minimize(Partial(valley), start, gtol=1e-3, max_steps=300)[1].num_evals

    def peer(starts: Any) -> None:
        options = {"gtol": 1e-3, "ftol": 0.0}
        for start in starts:
            optimize.minimize(
                optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B", options=options
            )

    counts = (1, 10, 100, 1000)
    mapped, vmapped = jax.jit(lambda xs: jax.lax.map(one, xs)), jax.jit(jax.vmap(one))
    starts = np.random.default_rng(0).uniform(-2, 2, (counts[-1], 5))
    plane = style.axes("CPU time", "per L-BFGS problem", x="problems at once")
    for name, solve, most in (
        ("scipy, a loop", peer, 100),
        ("vmap", lambda xs: vmapped(jnp.asarray(xs)).block_until_ready(), 1000),
        ("lax.map", lambda xs: mapped(jnp.asarray(xs)).block_until_ready(), 1000),
    ):
        sizes = [count for count in counts if count <= most]
        costs = [1e6 * cpu_seconds(lambda n=n, solve=solve: solve(starts[:n])) / n for n in sizes]
        add(plane, sizes, costs, name)
    plane.set_xscale("log")
    plane.set_yscale("log")
    plane.set_ylabel("µs", color=MUTED)
    evals = np.asarray(mapped(jnp.asarray(starts)))
    note = f"Rosenbrock in 5 dimensions: {evals.mean():.0f} evaluations, at most {evals.max()}"
    save(plane, file, note=note)


PICTURES = (lbfgs_batch,)
