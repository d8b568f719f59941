"""One trace of a whole experiment before anything is compiled: what it reads, and what it measures.

Every float of the config is an argument of the trace. One that decides something in Python is
named, with the line.
"""

import os
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from mastery_jax.workflow import program, usage
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import RunConfig, Spec

__all__ = ["Trace", "changes", "confirm"]


class Trace(NamedTuple):
    """What a trace shows."""

    acts: dict[str, bool]  # lane field -> whether it changes anything
    measured: tuple[str, ...]  # the metrics of an evaluation
    state: Any  # jax.ShapeDtypeStruct in place of each array of a state
    text: Callable[[], str]  # equal for equal programs


def confirm(module: str, value: RunConfig, spec: Spec, data: Any) -> Trace:
    """Trace start, two steps and an evaluation.

    Raises:
        ConfigError: a float of the config decides something while tracing, or a metric is no
            scalar.
    """
    import jax

    fns = program.functions(module, value, spec)
    measured: list[str] = []
    shapes: list[Any] = []

    def whole(lane: Any, data: Any) -> Any:
        ex = fns.experiment(lane)
        init_key, run_key = jax.random.split(jax.random.key(lane["seed"]))
        state, metrics = program.strong(ex.init(init_key, data)), {}
        shapes.append(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state))
        if value.num_steps:

            def step(state: Any, t: Any) -> Any:
                state, metrics = ex.step(jax.random.fold_in(run_key, t), state, data)
                _check_scalars(f"{module}: step", metrics)
                return program.strong(state), metrics

            state, metrics = jax.lax.scan(step, state, jax.numpy.arange(2))
        evaluation = dict(ex.evaluate(state, data))
        _check_scalars(f"{module}: evaluate", evaluation)
        measured.extend(evaluation)
        return state, metrics, evaluation

    lanes = program.lane(value)
    try:
        used, text = usage.reads_and_text(whole, lanes, data)
    except ConfigError:
        raise
    except Exception as error:
        if blame := _blame(fns, lanes, data):
            raise ConfigError(blame) from error
        raise
    return Trace(acts=used[0], measured=tuple(measured), state=shapes[0], text=text)


def _check_scalars(where: str, metrics: Any) -> None:
    import jax.numpy as jnp

    for name, metric in metrics.items():
        if shape := jnp.shape(metric):
            raise ConfigError(f"{where} measures {name} as an array of shape {shape}, not a scalar")


def _blame(fns: program.Functions, lanes: dict[str, Any], data: Any) -> str | None:
    """Find the field that cannot be an argument of the program, and the line that objects.

    Returns:
        ``None`` where the experiment fails with every field a constant too: it is not to do
        with tracing.
    """
    import jax

    def fails(traced: dict[str, Any]) -> Exception | None:
        def start(traced: dict[str, Any]) -> Any:
            all_lanes = lanes | traced
            return fns.advance(all_lanes, fns.start(all_lanes, data), data, 0, 1)

        try:
            jax.eval_shape(start, traced)
        except Exception as error:
            return error
        return None

    if fails({}):
        return None
    for path, value in lanes.items():
        if error := fails({path: value}):
            frames = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in frames if f"{os.sep}jax{os.sep}_src" not in frame.filename]
            at = f"{ours[-1].filename}:{ours[-1].lineno}: {ours[-1].line}"
            return (
                f"{path} cannot be an argument of the program, so it cannot be swept: {at}; write "
                "that line without a Python branch on it, or mark the field Static"
            )
    return None


def changes(path: str, texts: list[tuple[dict[str, Any], str]]) -> bool:
    """Say whether two programs that differ in ``path`` alone ever differ in their text."""
    seen: dict[str, str] = {}
    for constants, text in texts:
        others = repr({k: v for k, v in constants.items() if k != path})
        if seen.setdefault(others, text) != text:
            return True
    return False
