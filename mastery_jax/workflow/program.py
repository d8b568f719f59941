"""An experiment as compiled programs of (lane, state, data).

A *lane* holds every float of a config and its seed as strong 0-d arrays; they are arguments of the
program whether they are swept or not, so that what is swept cannot change the bits. Everything
else in the config is a constant of the program. One ``advance`` serves every chunk of a run: its
first and last step are arguments, so that chunks and resumes run the same instructions.
"""

import hashlib
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = [
    "Event",
    "Functions",
    "Program",
    "drive",
    "functions",
    "lane",
    "number",
    "prepare",
    "specify",
    "strong",
]

LONGEST_CHUNK = 1024  # steps whose metrics are kept on the device
SECONDS_A_CHUNK = 0.5  # so that a signal is answered soon


class Functions(NamedTuple):
    """The pure functions that a runner compiles."""

    experiment: Callable[[Any], Experiment]  # lane -> Experiment
    start: Callable[[Any, Any], Any]  # (lane, data) -> state
    advance: Callable[..., Any]  # (lane, state, data, first, stop) -> (state, metrics by step)
    evaluate: Callable[[Any, Any, Any], Any]  # (lane, state, data) -> metrics
    chunk: int  # the most steps of one call of advance


class Program(NamedTuple):
    """The same, compiled for one place; ``state`` describes the state."""

    start: Any  # jax.stages.Compiled
    advance: Any
    evaluate: Any
    chunk: int
    state: Any
    digest: str  # SHA-256 of the three as StableHLO: equal for equal programs


class Event(NamedTuple):
    """What is known after some steps."""

    step: int  # steps completed
    state: Any
    metrics: dict[str, Any]  # name -> array, last axis: the steps since the event before
    evaluation: dict[str, Any] | None  # name -> array


def lane(value: RunConfig) -> dict[str, Any]:
    """Return the floats and the seed of a config as 0-d NumPy arrays, by path.

    Raises:
        ConfigError: a float is too large or too small for the default float dtype.
    """
    from mastery_jax.workflow import config

    leaves = config.flatten(value)
    return {path: number(path, leaves[path]) for path in config.lane_paths(value)}


def number(path: str, value: float) -> Any:
    """Return a float or the seed of a config as a 0-d NumPy array.

    Raises:
        ConfigError: it is too large or too small for the default float dtype.
    """
    import jax
    import numpy as np

    width = jax.dtypes.canonicalize_dtype(float)
    with np.errstate(over="ignore", under="ignore"):
        array = np.asarray(value).astype(np.uint32 if path == "seed" else width)
    if not np.isfinite(array) or (value != 0 and array == 0):
        raise ConfigError(f"{path} is {value}, which is {array} as a {width}")
    return array


def specify(dataset: Any) -> Spec:
    """Describe a ``data.Dataset`` as a program will see it: in the default float dtype."""
    import jax

    arrays = jax.eval_shape(lambda tree: tree, dataset.arrays)
    return Spec(arrays=arrays, features=dataset.features, classes=dataset.classes)


def functions(module: str, value: RunConfig, spec: Spec) -> Functions:
    """Write an experiment as functions of its lane. Nothing is traced yet."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.workflow import config

    build = importlib.import_module(module).build
    chunk = max(1, min(value.num_steps, LONGEST_CHUNK))

    def experiment(lane: Any) -> Experiment:
        return build(config.replace(value, lane), spec)

    def keys(lane: Any) -> tuple[Any, Any]:
        init_key, run_key = jax.random.split(jax.random.key(lane["seed"]))
        return init_key, run_key

    def start(lane: Any, data: Any) -> Any:
        return strong(experiment(lane).init(keys(lane)[0], data))

    def advance(lane: Any, state: Any, data: Any, first: Any, stop: Any) -> Any:
        step, run_key = experiment(lane).step, keys(lane)[1]
        shapes = jax.eval_shape(step, run_key, state, data)[1]
        kept = jax.tree.map(lambda m: jnp.zeros((chunk, *m.shape), m.dtype), shapes)

        def body(t: Any, carry: Any) -> Any:
            state, kept = carry
            state, metrics = step(jax.random.fold_in(run_key, t), state, data)
            kept = jax.tree.map(lambda k, m: k.at[t - first].set(m), kept, metrics)
            return strong(state), kept

        return jax.lax.fori_loop(first, stop, body, (state, kept))

    def evaluate(lane: Any, state: Any, data: Any) -> Any:
        return dict(experiment(lane).evaluate(state, data))

    return Functions(experiment, start, advance, evaluate, chunk)


def strong(tree: Any) -> Any:
    """Return ``tree`` without weak types, so that a step's output is a step's input."""
    import jax
    import jax.numpy as jnp

    def one(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return jax.lax.convert_element_type(leaf, leaf.dtype)

    return jax.tree.map(one, tree)


def prepare(
    fns: Functions, lane: Any, data: Any, *, place: Any = None, metrics: Any = None
) -> Program:
    """Compile ``fns`` where ``lane`` and ``data`` live, for their shapes.

    Args:
        fns: From :func:`functions`, perhaps with a leading axis of lanes.
        lane: Floats and seed, on their device or devices.
        data: The arrays, likewise.
        place: The sharding of every leaf of the state; by default what XLA makes of it, which for
            a leaf that does not depend on the lane is not how the lanes are split.
        metrics: The sharding of what is measured, likewise.
    """
    import jax
    import numpy as np

    start = jax.jit(fns.start, out_shardings=place).lower(lane, data)
    started = start.compile()
    shapes, places = jax.eval_shape(fns.start, lane, data), started.output_shardings
    state = jax.tree.map(
        lambda s, place: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place), shapes, places
    )
    at = np.int32(0)
    advance = jax.jit(fns.advance, out_shardings=place and (place, metrics)).lower(
        lane, state, data, at, at
    )
    evaluate = jax.jit(fns.evaluate, out_shardings=metrics).lower(lane, state, data)
    texts = "".join(lowered.as_text() for lowered in (start, advance, evaluate))
    return Program(
        start=started,
        advance=advance.compile(),
        evaluate=evaluate.compile(),
        chunk=fns.chunk,
        state=state,
        digest=hashlib.sha256(texts.encode()).hexdigest(),
    )


def drive(
    program: Program,
    lane: Any,
    data: Any,
    *,
    num_steps: int,
    evaluate_every: int = 0,
    save_every: int = 0,
    state: Any = None,
    first: int = 0,
    is_steady: bool = False,
    evaluate_at: Sequence[int] = (),
) -> Iterator[Event]:
    """Run from step ``first`` to the end, yielding after every chunk. The last one is evaluated.

    Chunks end at every multiple of ``evaluate_every`` and at ``evaluate_at``, where they are
    evaluated, and at every multiple of ``save_every``.

    The length of a chunk follows the clock, so that a chunk takes about half a second; it never
    changes a bit of the result. Where ``is_steady`` all chunks are equally long, as several
    processes need it that call one program together.
    """
    import jax
    import numpy as np

    if state is None:
        state = program.start(lane, data)
    step, length = first, program.chunk if is_steady else min(8, program.chunk)
    while True:
        marks = [step - step % each + each for each in (evaluate_every, save_every) if each]
        marks += (each for each in evaluate_at if each > step)
        stop = min(step + length, num_steps, *marks)
        begun = time.perf_counter()
        metrics: dict[str, Any] = {}
        if stop > step:
            state, kept = program.advance(lane, state, data, np.int32(step), np.int32(stop))
            jax.block_until_ready(state)
            metrics = {name: np.asarray(x)[..., : stop - step] for name, x in kept.items()}
        seconds = time.perf_counter() - begun
        if not is_steady:
            fitting = int((stop - step) * SECONDS_A_CHUNK / (seconds + 1e-9))
            length = max(1, min(program.chunk, fitting))
        step = stop
        due = step == num_steps or (evaluate_every and step % evaluate_every == 0)
        due = due or step in evaluate_at
        evaluation = None
        if due:
            found = jax.device_get(program.evaluate(lane, state, data))
            evaluation = {name: np.asarray(x) for name, x in found.items()}
        yield Event(step, state, metrics, evaluation)
        if step >= num_steps:
            return
