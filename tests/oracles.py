"""The table of oracles: how far each function is from other code that computes the same.

``python -m tests.oracles`` writes docs/ORACLES.md. An error is the largest of a result's leaf, over
the leaf's largest entry; the worst leaf of the worst case stands for a function. Single precision
is held against the same oracle, which computes in double; functions that draw random numbers draw
others at another width, and have none.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.cases import CASES
from tests.contract import Case, cast, is_key

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "ORACLES.md"
HEAD = """# Oracles

Worst error of each function against its oracle, other code that computes the same in double
precision (NumPy, SciPy, scikit-learn, optax, mpmath, a closed form; `tests/cases`). An error is
that of the worst entry, over the largest entry of its array. `make oracles` writes this page.

| function | double | single |
|---|---|---|
"""


def judged() -> dict[str, list[Case]]:
    """Return the cases that have an oracle, by function."""
    cases: dict[str, list[Case]] = {}
    for case in CASES:
        if case.oracle is not None:
            cases.setdefault(case.function, []).append(case)
    return dict(sorted(cases.items()))


def apart(case: Case, dtype: str) -> float | None:
    """Return the worst error, or None where there is none to give."""
    if dtype == "float32" and any(is_key(leaf) for leaf in jax.tree.leaves(case.args)):
        return None
    expected = case.oracle(*case.args, **case.hyper, **case.static)
    with jax.enable_x64(True):
        found = case(*cast(case.args, dtype), **cast(dict(case.hyper), dtype))
    return max(errors(found, expected), default=None)


def errors(found: Any, expected: Any) -> Iterator[float]:
    """Yield the error of every leaf of numbers that are not whole."""
    for leaf, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        here, wanted = np.asarray(leaf), np.asarray(wanted)
        is_number = np.isfinite(wanted)
        if is_number.any():
            size = np.abs(wanted[is_number]).max()
            error = np.abs(here[is_number] - wanted[is_number]).max()
            yield float(error / size) if size > 0 else float(error)


def row(function: str, cases: list[Case]) -> str:
    """Return a line of the table.

    Programs are dropped with their function: those of all are more than a process may map.
    """

    def worst(dtype: str) -> str:
        found = [error for case in cases if (error := apart(case, dtype)) is not None]
        return f"{max(found):.1e}" if found else "–"

    line = f"| `{function}` | {worst('float64')} | {worst('float32')} |\n"
    jax.clear_caches()
    return line


def main() -> None:
    """Write the page."""
    PAGE.write_text(HEAD + "".join(row(*each) for each in judged().items()))


if __name__ == "__main__":
    main()
