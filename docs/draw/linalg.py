"""The picture of docs/linalg.md: how fast two algorithms find eigenvalues."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from docs.draw.common import MUTED, save
from mastery_jax.core import loop
from mastery_jax.numerics.linalg import power_iteration, qr_algorithm
from mastery_jax.plots import style


def eigenvalue_convergence(file: pathlib.Path) -> None:
    """Draw the error of the largest eigenvalue by power iteration, and of all by shifted QR."""
    n, sweeps = 12, (1, 4, 8, 12, 16, 20, 24, 28)
    plane = style.axes("error", f"of eigenvalues, {n} x {n}", x="steps: products, or sweeps of QR")
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))
    with jax.enable_x64(True):
        for index, ratio in enumerate((0.5, 0.9, 0.99)):
            values = ratio ** np.arange(n)
            A = jnp.asarray(turn * values @ turn.T)
            state = power_iteration.init(jax.random.key(1), A)
            _, info = loop.scan(power_iteration.step, state, num_steps=60, A=A, rtol=0.0)
            look = style.look(index)
            plane.plot(
                range(1, 61), _shown(info.value - 1), color=look.color, linewidth=1.6,
                label=f"power, the next is {ratio}",
            )  # fmt: skip
            found = [qr_algorithm.eigh(A, max_steps=most)[0].values for most in sweeps]
            errors = [jnp.abs(each - values[::-1]).max() for each in found]
            plane.plot(
                sweeps, _shown(errors), linestyle=":", color=look.color, marker=look.marker,
                label=f"QR, all {n} of ratio {ratio}",
            )  # fmt: skip
    plane.set_yscale("log")
    plane.set_ylabel("absolute, the largest being 1", color=MUTED)
    save(plane, file, note="symmetric, float64")


def _shown(errors: object) -> np.ndarray:
    """Return sizes that a logarithmic axis can show."""
    return np.maximum(np.abs(np.asarray(errors, float)), 1e-16)


PICTURES = (eigenvalue_convergence,)
