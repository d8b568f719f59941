"""Draw the pictures of these pages from real data, by the code that they show.

python -m docs.pictures [NAME]...        all of them, or those that are named, into docs/pictures/
"""

import contextlib
import importlib
import itertools
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from mastery_jax.workflow import launch

if __name__ == "__main__":
    launch.prepare()  # before jax is imported

import jax
import jax.numpy as jnp
import numpy as np

from docs.draw.common import MUTED, add, median_seconds, save, squeeze
from mastery_jax.core import loop
from mastery_jax.core import smallmat as unrolled
from mastery_jax.inference.filtering import kalman, linear_gaussian, rts
from mastery_jax.learning.linear import ridge
from mastery_jax.numerics import activations as formulas
from mastery_jax.plots import style
from mastery_jax.workflow import bundled, config, data, program, run
from mastery_jax.workflow.experiment import Experiment
from serving.client import Client, ServingError
from serving.wire import Prediction

FOLDER = pathlib.Path(__file__).parent / "pictures"
MASTERY = (sys.executable, "-m", "mastery_jax.cli")


def smallmat(file: pathlib.Path) -> None:
    """Draw what one solve costs inside a loop, unrolled and by LAPACK."""
    num_steps = 2000

    def lapack(matrix: Any, rhs: Any) -> Any:
        return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), rhs)

    def microseconds(solve: Callable[..., Any], size: int) -> float:
        def step(x: Any) -> tuple[Any, None]:
            return solve(matrix, x + 1), None

        half = jax.random.normal(jax.random.key(size), (size, size))
        matrix = half @ half.T + size * jnp.eye(size)
        many = jax.jit(lambda x: loop.scan(step, x, num_steps=num_steps)[0])
        return 1e6 * median_seconds(lambda: many(jnp.ones(size)).block_until_ready()) / num_steps

    sizes = range(1, unrolled.MAX_SIZE + 1)
    plane = style.axes("time of one solve", "in a loop of 2,000", x="rows of the matrix")
    add(plane, sizes, [microseconds(lapack, size) for size in sizes], "LAPACK")
    add(plane, sizes, [microseconds(unrolled.solve, size) for size in sizes], "unrolled")
    plane.set_yscale("log")
    plane.set_yticks([0.03, 0.1, 0.3, 1.0], ["0.03", "0.1", "0.3", "1"])
    plane.set_ylabel("µs", color=MUTED)
    save(plane, file, note="float32, one CPU, median of 9")


def activations(file: pathlib.Path) -> None:
    """Draw the activations, and their slopes dashed."""
    x = jnp.linspace(-4, 4, 401)
    plane = style.axes("activations", "and their slopes (dashed)", x="x")
    for index, name in enumerate(("sigmoid", "tanh", "leaky_relu", "silu", "gelu")):
        formula, look = getattr(formulas, name), style.look(index)
        plane.plot(x, formula(x), color=look.color, linewidth=1.8, label=name)
        slope = jax.vmap(jax.grad(formula))(x)
        plane.plot(x, slope, color=look.color, linewidth=1.2, linestyle=(0, (4, 2)), alpha=0.75)
    plane.set_ylim(-1.1, 2.6)
    plane.set_ylabel("")
    save(plane, file)


def two_moons(file: pathlib.Path) -> None:
    """Draw the density that the config ``two_moons_flow`` learns, and the points held out."""
    ran = trained("two_moons_flow")
    x0, x1 = jnp.linspace(-1.6, 2.6, 300), jnp.linspace(-1.1, 1.6, 200)
    density = jnp.exp(ran.ask("log_prob", grid(x0, x1))["log_prob"])
    plane = style.axes("density", "of two moons, by a flow of 12 layers", x="x0")
    plane.grid(visible=False)
    plane.contourf(x0, x1, density.reshape(200, 300), levels=24, cmap="Blues")
    held_out = ran.arrays["test"]["X"]
    plane.plot(*held_out.T, ".", color=style.look(1).color, markersize=2.5, alpha=0.8)
    plane.set_ylabel("x1", color=MUTED)
    nll = ran.found["test_nll"]
    save(plane, file, note=f"dots: 400 points held out; {nll:.2f} nats each")


def nile(file: pathlib.Path) -> None:
    """Draw the level of the Nile, filtered and smoothed, at the variances that are learned."""
    ran = trained("nile")
    flow = ran.arrays["y"]
    years = bundled.read("nile").columns["year"]
    one = jnp.ones((1, 1))
    process_cov, emission_cov = (ran.found[f"{name}_var"] * one for name in ("process", "emission"))
    model = linear_gaussian.Model(one, process_cov, one, emission_cov)
    filtered, _ = kalman.filter(kalman.init(flow[0], model.emission_cov), flow[1:], model=model)
    smoothed = rts.smooth(filtered, model=model)
    plane = style.axes("flow", "of the Nile at Aswan", x="year")
    plane.plot(years, flow, ".", color=MUTED, markersize=5, label="measured")
    for index, (name, beliefs) in enumerate({"filtered": filtered, "smoothed": smoothed}.items()):
        look, mean = style.look(1 - index), beliefs.mean[:, 0]
        reach = 1.645 * jnp.sqrt(beliefs.cov[:, 0, 0])
        plane.plot(years[1:], mean, color=look.color, linewidth=1.6, label=name)
        low, high = mean - reach, mean + reach
        plane.fill_between(years[1:], low, high, color=look.color, alpha=0.18, lw=0)
    plane.set_ylabel("1e8 m³ a year", color=MUTED)
    save(plane, file, note="bands: 90 % of the level")


def eight_schools(file: pathlib.Path) -> None:
    """Draw what was measured in each school, and what the posterior says of it."""
    ran = trained("eight_schools")
    measured = ran.arrays
    order = np.argsort(measured["effect"])
    theta = np.asarray(ran.state.draws.theta).reshape(-1, len(order))[:, order]
    middle = np.median(theta, axis=0)
    ends = abs(np.quantile(theta, [0.05, 0.95], axis=0) - middle)
    effect, reach = measured["effect"][order], 1.645 * measured["std_error"][order]
    rows, blue = np.arange(len(order)), style.look(0).color
    plane = style.axes("effect of coaching", "in eight schools", x="points")
    plane.errorbar(effect, rows + 0.15, xerr=reach, fmt="o", color="#9aa0a6", label="measured")
    plane.errorbar(middle, rows - 0.15, xerr=ends, fmt="s", color=blue, label="posterior")
    plane.axvline(ran.found["mu_mean"], color=style.look(1).color, linewidth=1.2)
    plane.set_yticks(rows, ["ABCDEFGH"[row] for row in order])
    plane.set_ylabel("school", color=MUTED)
    save(plane, file, note="bars: 90 %; line: mean of all schools")


def ridge_path(file: pathlib.Path) -> None:
    """Draw the weights of a ridge regression over 61 penalties, fitted at once."""
    found = data.load(data.Regression(source="diabetes"))
    train = found.arrays["train"]
    X = (train["X"] - found.arrays["center"]) / found.arrays["scale"]
    penalties = jnp.logspace(-5, 2, 61)
    weights = jax.vmap(lambda l2: ridge.fit(X, train["y"], l2=l2))(penalties).weights
    plane = style.axes("weights", "of a ridge regression on diabetes", x="l2, penalty per row")
    for index, name in enumerate(found.features):
        color, linestyle, _ = style.look(index)
        plane.plot(penalties, weights[:, index], color=color, linestyle=linestyle, label=name)
    plane.set_xscale("log")
    plane.set_ylabel("unit of y per deviation of the feature", color=MUTED)
    save(plane, file, note="61 fits by one vmap")


def moons_mlp(file: pathlib.Path) -> None:
    """Draw the mean of five networks that differ in their seed, and each one's border."""
    few = ("data.source=two_moons", "data.test_fraction=0.97")  # room to disagree
    x0, x1 = jnp.linspace(-2.5, 3.5, 240), jnp.linspace(-2.0, 2.5, 180)
    runs = [trained("digits_mlp", *few, f"seed={seed}") for seed in range(5)]
    found = [ran.ask("predict_proba", grid(x0, x1))["probabilities"] for ran in runs]
    each = [probabilities[:, 1].reshape(180, 240) for probabilities in found]
    plane = style.axes("two moons", "by five networks", x="x0")
    plane.grid(visible=False)
    plane.contourf(x0, x1, sum(each) / 5, levels=jnp.linspace(0, 1, 11), cmap="RdBu", alpha=0.5)
    for border in each:
        plane.contour(x0, x1, border, levels=[0.5], colors=MUTED, linewidths=1.0)
    rows = runs[0].arrays["train"]
    for label, color in enumerate((style.look(1).color, style.look(0).color)):
        points = rows["X"][rows["y"] == label].T
        plane.plot(*points, "o", color=color, markeredgecolor="white", markersize=6)
    plane.set_ylabel("x1", color=MUTED)
    save(plane, file, note="color: mean probability; lines: each network's border")


def sweep(file: pathlib.Path) -> None:
    """Draw what ``mastery compare --plots`` draws of a sweep of 56 lanes."""
    rates = "optimizer.learning_rate=1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1"
    with tempfile.TemporaryDirectory() as scratch:
        mastery(scratch, "sweep", "digits_mlp", rates, "optimizer.kind=sgd,adamw", "seed=range(4)")
        mastery(scratch, "compare", "digits_mlp/", "--metric", "test_accuracy", "--plots", ".")
        drawn = pathlib.Path(scratch) / "test_accuracy-by-optimizer.learning_rate.png"
        file.write_bytes(drawn.read_bytes())
    squeeze(file)


def serving(file: pathlib.Path) -> None:
    """Draw how long a request takes by its number of rows, seen from a client on the machine."""
    rows = data.load(data.Classification(source="digits")).arrays["train"]["X"]
    sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    with served("digits_logistic") as client:
        seen, inside = [], []
        for size in sizes:
            answers: list[Prediction] = []
            ask = partial(client.predict_batch, rows[:size].tolist())
            seen.append(median_seconds(lambda: answers.append(ask()), repeats=50))  # noqa: B023
            inside.append(statistics.median(answer.processing_time for answer in answers))
    plane = style.axes("time of a request", "by its number of rows", x="rows of 64 features")
    add(plane, sizes, [1000 * seconds for seconds in seen], "seen by the client")
    add(plane, sizes, [1000 * seconds for seconds in inside], "processing_time")
    plane.set_xscale("log", base=2)
    plane.set_yscale("log")
    plane.set_xticks(sizes, [str(size) for size in sizes])
    plane.set_yticks(ticks := [0.1, 0.3, 1, 3, 10], [f"{tick:g}" for tick in ticks])
    plane.minorticks_off()
    plane.set_ylabel("ms", color=MUTED)
    save(plane, file, note="digits_logistic, one CPU, median of 50")


class Ran(NamedTuple):
    """A config that was run here."""

    arrays: Any  # of its data
    state: Any
    found: Any  # by its last evaluation
    experiment: Experiment

    def ask(self, method: str, features: Any) -> Any:
        """Call a method of the experiment."""
        return jax.jit(self.experiment.methods[method])(self.state, {"features": features})


def trained(name: str, *changes: str) -> Ran:
    """Run a config."""
    made = run.ready(config.load(name, changes))
    num_steps = made.loaded.value.num_steps
    *_, last = program.drive(made.program, made.lane, made.data, num_steps=num_steps)
    experiment = made.functions.experiment(made.lane)
    return Ran(made.dataset.arrays, last.state, last.evaluation, experiment)


def grid(x0: Any, x1: Any) -> Any:
    """Return every pair as a row."""
    return jnp.stack(jnp.meshgrid(x0, x1), axis=-1).reshape(-1, 2)


def mastery(folder: str, *words: str) -> None:
    """Type a command."""
    subprocess.run([*MASTERY, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def served(name: str) -> Iterator[Any]:
    """Export a config and serve it from another process."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    with tempfile.TemporaryDirectory() as scratch:
        mastery(scratch, "run", name)
        mastery(scratch, "export", f"{name}/", "--name", "m")
        server = subprocess.Popen([*MASTERY, "serve", "--port", str(port)], cwd=scratch)
        try:
            with Client(f"http://127.0.0.1:{port}") as client:
                for _ in range(100):
                    with contextlib.suppress(ServingError):
                        client.health()
                        break
                    time.sleep(0.1)
                yield client
        finally:
            server.terminate()
            server.wait(timeout=30)


PAGES = (
    importlib.import_module(f"docs.draw.{path.stem}")
    for path in sorted((FOLDER.parent / "draw").glob("*.py"))
    if path.stem != "common"
)
PICTURES = (
    *(smallmat, activations, two_moons, nile, eight_schools, ridge_path, moons_mlp, sweep, serving),
    *itertools.chain.from_iterable(page.PICTURES for page in PAGES),
)

if __name__ == "__main__":
    for draw in PICTURES:
        if draw.__name__ in sys.argv[1:] or not sys.argv[1:]:
            draw(FOLDER / f"{draw.__name__}.png")
