"""The metrics of all workers in one text.

Each sample gets the label ``worker``. Nothing is added up here: sums over workers are right in
PromQL as they stand (``sum by (model) (rate(ml_predictions_total[1m]))``), gauges need no rule
for how to add them, and a worker that dies resets its own series alone, which ``rate`` knows.
"""

import re
from collections.abc import Mapping

__all__ = ["merge"]

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?")


def merge(texts: Mapping[int, str]) -> str:
    """Return Prometheus texts as one.

    Args:
        texts: By worker.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}  # name -> what it is, samples
    for worker, text in texts.items():
        about, samples = [], []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                known = families.setdefault(line.split(" ", 3)[2], ([], []))
                about, samples = ([], known[1]) if known[0] else known
            if line.startswith("#"):
                about.append(line)
            elif line:
                samples.append(_labelled(line, worker))
    return "".join(
        f"{line}\n" for about, samples in families.values() for line in (*about, *samples)
    )


def _labelled(line: str, worker: int) -> str:
    """Return a sample with one label more."""
    found = SAMPLE.match(line)
    if found is None:
        return line
    rest = line[found.end() :]
    label = f'worker="{worker}"'
    return found[1] + "{" + (f"{label},{rest}" if found[2] else f"{label}}}{rest}")
