"""A run again, from its record: whether it gives the same numbers, and what is different if not."""

import importlib.metadata
import pathlib
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow import config, environment, files, records, run, yaml12
from mastery_jax.workflow.compare import rows
from mastery_jax.workflow.config import Loaded
from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store

__all__ = ["Report", "Source", "find", "reproduce", "settings"]

FILE = "reproduction.json"
# What vmap and map promise: rounding grows with the steps, and was below 1e-4 of a loss after 300.
RTOL, ATOL = 1e-4, 1e-6
_SET = ("NPROC", "JAX_ENABLE_X64")  # they decide bits, and mean the same on every machine


class Source(NamedTuple):
    """What is to be reproduced: a run, or one lane of a sweep."""

    run: records.Run
    lane: int | None
    recorded: Mapping[str, Any]  # its environment.json; empty where there is none
    strategy: str  # under which it ran

    @property
    def title(self) -> str:
        """Return its folder, and the number of the lane."""
        return f"{self.run.folder}" + ("" if self.lane is None else f"#{self.lane}")


class Report(NamedTuple):
    """How it ended."""

    source: Source
    folder: pathlib.Path  # of the reproduction
    ended: str  # its state
    num_steps: int
    goal: int  # the last step of the record
    found: rows.Comparison
    notes: tuple[str, ...]  # what is not as it was

    @property
    def is_equal(self) -> bool:
        """Return whether all numbers are equal: bit for bit, or as far as is promised."""
        return self.found.first is None

    @property
    def is_cut(self) -> bool:
        """Return whether the reproduction was stopped before it was as far as the record."""
        return self.ended == "interrupted" and self.found.last < self.goal

    def describe(self) -> str:
        """Return the outcome, one line a fact."""
        lines = [self.found.describe()]
        if self.found.rtol:
            lines.append(f"a lane of {self.source.strategy} is its own run up to rounding only")
        if self.found.last < self.num_steps:
            lines.append(
                f"compared up to step {self.found.last} of {self.num_steps}: both went so far"
            )
        lines += [f"note: {each}" for each in self.notes]
        return "\n".join((*lines, f"folder: {self.folder}"))

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        return {
            "source": self.source.title,
            "folder": str(self.folder),
            "state": self.ended,
            "strategy": self.source.strategy,
            "is_equal": self.is_equal,
            **self.found.to_json(),
            "notes": list(self.notes),
        }


def find(argument: str, runs: pathlib.Path) -> Source:
    """Find a run as ``records.find`` does, or a lane of a sweep: ``SWEEP#7``.

    Raises:
        RunError: It is not there, a sweep is named without a lane, or a record is damaged.
    """
    name, mark, number = argument.rpartition("#")
    lane = int(number) if mark and re.fullmatch(r"[0-9]+", number) else None
    found = records.find(argument if lane is None else name, runs)
    if found.kind == "sweep" and lane is None:
        raise RunError(f"{argument} is a sweep: say which lane, as in {argument}#0")
    if found.kind == "run" and lane is not None:
        raise RunError(f"{name} is a run, and has no lanes: mastery reproduce {name}")
    strategy, is_recorded = "loop", (found.folder / environment.FILE).exists()
    recorded = environment.read(found.folder) if is_recorded else {}
    if lane is not None:
        strategy = store.how(found.folder)["strategy"]
    return Source(found, lane, recorded, strategy)


def settings(source: Source) -> dict[str, str]:
    """Return the recorded variables that decide bits, for whoever imports jax.

    XLA's flags are those of one version: another one would not start with them.
    """
    launched = source.recorded.get("launch", {})
    is_same = source.recorded.get("packages", {}).get("jaxlib") == importlib.metadata.version(
        "jaxlib"
    )
    names = (*_SET, "XLA_FLAGS") if is_same else _SET
    return {name: launched[name] for name in names if name in launched}


def reproduce(source: Source, *, runs: pathlib.Path, progress: Progress) -> Report:
    """Run it again as a run of its own, and hold every number against the record.

    What is different by now is said before it begins. What did not reach its end is run as far as
    it went.

    Args:
        source: From :func:`find`.
        runs: The new folder is ``runs/<name>/<id>``, the id ending in ``-reproduced``.
        progress: Where to say how far it is.

    Raises:
        UserError: Nothing was measured, a lane is of a population, or config or data cannot be
            read.
    """
    folder = source.run.folder
    path = folder if source.lane is None else store.record(folder, source.lane)
    before = records.metrics(path)
    if not before:
        raise RunError(f"{source.title} has measured nothing: there is nothing to compare")
    if source.lane is not None and driver.keeps_states(folder):
        raise RunError(
            f"{source.title} is of a population, whose lanes take the states of others and cannot "
            f"be run alone: run all of them again, mastery sweep {folder / 'sweep.yaml'}"
        )
    loaded = _load(source, progress.say)
    prepared = run.ready(loaded)
    notes = _notes(source, prepared)
    for note in notes:
        progress.say(f"note: {note}")
    last = before[-1]["step"]
    named = source.run.id.split("-", 2)[-1] + ("" if source.lane is None else f"-{source.lane}")
    target = files.new_folder(runs / source.run.name, f"{named}-reproduced")
    run.start_in(
        target,
        prepared,
        progress=progress,
        until=None if last >= loaded.value.num_steps else last,
        evaluate_at=() if source.lane is None else driver.rungs(folder, loaded.value.num_steps),
        reproduces={"folder": str(folder), "lane": source.lane},
    )
    is_exact = source.strategy == "loop"
    found = rows.compare(
        before, records.metrics(target), rtol=0 if is_exact else RTOL, atol=0 if is_exact else ATOL
    )
    ended = records.status(target)["state"]
    report = Report(source, target, ended, loaded.value.num_steps, last, found, notes)
    with files.writing(target):
        files.write_json(target / FILE, report.to_json())
    return report


def _notes(source: Source, prepared: run.Ready) -> tuple[str, ...]:
    """Say what is not as it was: all that ``environment`` knows, the revision, the program."""
    if not source.recorded:
        return ("what it was made with is not known: it has no environment.json",)
    before, now = source.recorded, environment.record(prepared.loaded, [prepared.dataset])
    if source.lane is not None:  # the record has the config of the first lane, and all data
        now |= {key: before[key] for key in ("config", "fields", "experiment") if key in before}
        if {*now["data"]} <= {*before.get("data", [])}:
            now["data"] = before["data"]
    found = [each.text for each in environment.differences(before, now)]
    revision, other = before.get("git", {}).get("revision"), now["git"]["revision"]
    if revision != other:
        found.append(f"git was {revision} and is {other}")
    if (patch := source.run.folder / environment.PATCH).exists():
        found.append(f"not all of its code was committed: see {patch}")
    known, digest = before.get("programs", []), prepared.program.digest
    if known and digest not in known and source.strategy == "loop":
        found.append(
            f"the program was {', '.join(each[:12] for each in known)} and is {digest[:12]}"
        )
    found += [f"it was forced on {each['time']}" for each in before.get("forced", [])]
    return tuple(found)


def _load(source: Source, say: Callable[[str], None]) -> Loaded:
    """Read the recorded config; a field that there is no more is said and left out."""
    folder, name = source.run.folder, source.run.name
    if source.lane is not None:
        return driver.lane_config(folder, source.lane)
    raw, _ = records.config(source.run)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / f"{name}.yaml"
        while True:
            path.write_text(yaml12.dump(raw))
            try:
                return config.load(path)
            except ConfigError as error:
                field = str(error).partition(" ")[0]
                if not _left_out(raw, field.split(".")):
                    raise
                say(f"its config no longer loads: {error}; it is run without {field}")


def _left_out(raw: Any, keys: Sequence[str]) -> bool:
    """Remove a field from a config; say whether it was there."""
    for key in keys[:-1]:
        raw = raw.get(key) if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or keys[-1] not in raw or keys == ["experiment"]:
        return False
    del raw[keys[-1]]
    return True
