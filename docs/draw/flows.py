"""The picture of docs/flows.md: what a flow has learned of four sets of points."""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from docs.draw.common import MUTED, squeeze
from mastery_jax.numerics.optimize import optimizers
from mastery_jax.probability.flows import chain, fit, spline_coupling

LAYERS = (spline_coupling,)
REPEATS, INTERVAL, WIDE = 8, 5.0, 4.0


def _moons(rng: np.random.Generator, count: int) -> np.ndarray:
    angle = np.pi * rng.random(count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    is_lower = rng.integers(0, 2, (count, 1)) == 1
    moons = np.where(is_lower, [1, 0.5] - upper, upper) - [0.5, 0.25]
    return 2 * (moons + 0.08 * rng.normal(size=moons.shape))


def _ring(rng: np.random.Generator, count: int) -> np.ndarray:
    angle, radius = 2 * np.pi * rng.random(count), 2.5 + 0.15 * rng.normal(size=count)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _eight(rng: np.random.Generator, count: int) -> np.ndarray:
    angle = np.pi / 4 * rng.integers(0, 8, count)
    centers = 2.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centers + 0.25 * rng.normal(size=centers.shape)


def _pinwheel(rng: np.random.Generator, count: int) -> np.ndarray:
    along, across = 1.8 + 0.6 * rng.normal(size=count), 0.15 * rng.normal(size=count)
    turn = 2 * np.pi / 5 * rng.integers(0, 5, count) + 0.6 * along
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.stack([along * cosine - across * sine, along * sine + across * cosine], axis=1)


TARGETS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "two moons": _moons,
    "ring": _ring,
    "eight normals": _eight,
    "pinwheel": _pinwheel,
}


def flows(file: pathlib.Path) -> None:
    """Draw, for each target, the points that were given, the density, and its own samples."""
    figure = Figure(figsize=(8.4, 6.5), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    planes = figure.subplots(3, 4)
    axis = jnp.linspace(-WIDE, WIDE, 161)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    keys = jax.random.split(jax.random.key(0), REPEATS)
    params = jax.vmap(
        lambda key: spline_coupling.init(key, dim=2, widths=(48, 48), interval=INTERVAL)
    )(keys)
    for column, (name, draw) in enumerate(TARGETS.items()):
        points = draw(np.random.default_rng(0), 10_000)
        rows = jnp.asarray(points.astype("f4"))
        state, history = fit.maximum_likelihood(
            jax.random.key(1), (params,), rows[:8000], rows[8000:], layers=LAYERS,
            rule=optimizers.make("adam", {"learning_rate": 2e-3}), num_epochs=40, batch_size=200,
        )  # fmt: skip
        log_probs = jax.lax.map(
            lambda x, own=state.params: chain.log_prob(own, x, layers=LAYERS), grid, batch_size=4096
        )
        options = {"layers": LAYERS, "dim": 2, "shape": (2000,)}
        samples = chain.sample(jax.random.key(2), state.params, **options)
        above, middle, below = planes[:, column]
        above.plot(*points[:2000].T, ".", color=MUTED, markersize=1.2)
        above.set_title(name, fontsize=11, weight="bold")
        height = np.sqrt(np.exp(np.asarray(log_probs))).reshape(len(axis), -1)
        middle.imshow(height, extent=(-WIDE, WIDE) * 2, origin="lower", cmap="Blues")
        loss = float(history.valid_losses[history.best_epoch])
        middle.set_xlabel(f"{-loss:.2f} nats a point, not fitted", fontsize=8, color=MUTED)
        below.plot(*np.asarray(samples).T, ".", color="#0072B2", markersize=1.2)
    for plane in planes.flat:
        plane.set(xlim=(-WIDE, WIDE), ylim=(-WIDE, WIDE), xticks=[], yticks=[], aspect="equal")
    for plane, words in zip(planes[:, 0], ("points", "√density", "samples"), strict=True):
        plane.set_ylabel(words, color=MUTED)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=66)
    squeeze(file)


PICTURES = (flows,)
