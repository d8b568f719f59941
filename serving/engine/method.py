"""One method of a model, compiled for some batch sizes, with its queue."""

import logging
import math
from collections.abc import Mapping

import msgspec
import numpy as np
from litestar.exceptions import ClientException

from mastery_jax.workflow import artifact
from mastery_jax.workflow.stablehlo import Arrays, Program, dtype
from serving.engine import audit
from serving.engine.batcher import Batcher, Limits, Outputs
from serving.engine.field import Field, number
from serving.engine.tally import Tally
from serving.errors import malformed, shown
from serving.wire import Rows

__all__ = ["Method"]

LOG = logging.getLogger(__name__)
# What the smallest batch may cost where smaller ones are left out: seconds, or so many times more.
CHEAP, DEARER = 1e-3, 4.0
QUICK = 5e-3  # seconds of a program that is tried with many rows


class Method:
    """One method of a model.

    Args:
        name: ``model/version/method``, in messages.
        spec: Its types.
        programs: By batch size.
        golden: Real rows of its inputs, with which it is measured and tried.
        is_counted: Whether its time does not depend on its numbers.
        limits: Of its queue.
        tally: Where it counts; a new one by default.
    """

    def __init__(
        self,
        name: str,
        spec: artifact.MethodSpec,
        programs: Mapping[int, Program],
        golden: Arrays,
        *,
        is_counted: bool = True,
        limits: Limits | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.name, self.spec = name, spec
        self.fields = {field: Field(field, tensor) for field, tensor in spec.inputs.items()}
        tensors = (*spec.inputs.values(), *spec.outputs.values())
        self.row_bytes = sum(dtype(t).itemsize * math.prod(t.shape[1:]) for t in tensors)
        self._programs = programs
        taken = {size: self._measure(size, golden) for size in programs}
        sizes, self.is_batched = self._chosen(golden, taken)
        self.largest = sizes[-1]
        self._size = [next(s for s in sizes if s >= rows) for rows in range(self.largest + 1)]
        self._index = {size: np.arange(size) for size in sizes}
        self._seconds = [0.0, *(taken[size] for size in self._size[1:])]  # by rows
        self.tally = tally or Tally(tuple(sorted(programs)))
        self.batcher = Batcher(
            self.run,
            name=name,
            most=self.largest,
            seconds=self.seconds,
            size=self._size.__getitem__,
            is_merging=self.is_batched,
            is_counted=is_counted,
            tally=self.tally,
            limits=limits or Limits(),
            golden={field: rows[:1] for field, rows in golden.items()},
        )

    @property
    def predicts(self) -> bool:
        """Say whether it maps ``features`` alone, rows of floats, to ``predictions``."""
        features = self.fields.get("features")
        return (
            features is not None
            and len(self.fields) == 1
            and len(features.row) == 1
            and features.number is float
            and self._gives("predictions", 1, int, float)
            and ("probabilities" not in self.spec.outputs or self._gives("probabilities", 2, float))
        )

    def _gives(self, name: str, rank: int, *numbers: type) -> bool:
        tensor = self.spec.outputs.get(name)
        return tensor is not None and len(tensor.shape) == rank and number(tensor) in numbers

    def _chosen(self, golden: Arrays, taken: Mapping[int, float]) -> tuple[list[int], bool]:
        """Return the batch sizes that are used, and whether requests may share a batch."""
        every = sorted(self._programs)
        is_quick = taken[every[-1]] < QUICK
        rows = audit.varied(golden, every[-1]) if is_quick else golden
        sizes = list(audit.alike(self._programs, rows))
        if not sizes:
            said = "%s: rows meddle with each other; each request is computed alone"
            LOG.warning(said, self.name)
            return every, False
        listed = ", ".join(map(str, sizes))
        if taken[sizes[0]] > max(CHEAP, DEARER * taken[every[0]]):
            said = "%s: only batches of %s rows answer alike, which is dear for one row; "
            LOG.warning(said + "each request is computed alone", self.name, listed)
            return every, False
        if sizes != every:
            LOG.info("%s: batches have %s rows, which answer alike", self.name, listed)
        return sizes, True

    def _measure(self, size: int, golden: Arrays) -> float:
        x = {k: np.resize(v, (size, *v.shape[1:])) for k, v in golden.items()}
        return audit.measure(self._programs[size], x)

    def seconds(self, rows: int) -> float:
        """Return about how long so many rows take."""
        parts, rest = divmod(rows, self.largest)
        return parts * self._seconds[-1] + self._seconds[rest]

    def most(self, seconds: float) -> int:
        """Return how many rows take about so long."""
        parts, left = divmod(seconds, self._seconds[-1])
        return int(parts) * self.largest + max(
            rows for rows in range(self.largest) if self._seconds[rows] <= left
        )

    def is_long(self, rows: int) -> bool:
        """Say whether the answer to so many rows takes more than a turn of the event loop."""
        return rows > self.largest or self.batcher.is_long(self.largest)

    def read(self, inputs: Mapping[str, Rows]) -> dict[str, np.ndarray]:
        """Return inputs of any kind as arrays with as many rows each.

        Raises:
            ClientException: one is missing, unknown, or not what its type says.
        """
        self.check_names(inputs)
        x = {}
        for name, field in self.fields.items():
            try:
                x[name] = field.read(msgspec.convert(inputs[name], field.type))
            except msgspec.ValidationError as error:
                raise malformed(error, name) from None
        return check_rows(x)

    def check_names(self, inputs: Mapping[str, object]) -> None:
        """Refuse inputs that are not the method's.

        Raises:
            ClientException: one is missing or unknown.
        """
        if inputs.keys() != self.fields.keys():
            came = ", ".join(map(shown, inputs)) or "none"
            raise ClientException(f"inputs: {came} came, wanted {', '.join(self.fields)}")

    async def answer(self, x: Arrays, rows: int, deadline: float = float("inf")) -> Outputs:
        """Return the outputs for any number of checked rows.

        Many rows go through the queue a largest batch at a time, so that others get their turn.

        Args:
            x: The inputs.
            rows: How many; none are answered without computing.
            deadline: On the monotonic clock.

        Raises:
            HTTPException: 503, no room in the queue; 504, the deadline is over.
        """
        if rows == 0:
            tensors = self.spec.outputs.items()
            return {name: np.empty((0, *t.shape[1:]), dtype(t)) for name, t in tensors}
        if rows <= self.largest:
            return await self.batcher.submit(x, rows, deadline)
        parts = []
        for i in range(0, rows, self.largest):
            part = {k: v[i : i + self.largest] for k, v in x.items()}
            parts.append(await self.batcher.submit(part, min(self.largest, rows - i), deadline))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def run(self, x: Arrays, rows: int) -> Outputs:
        """Compute at most the largest batch, here and now."""
        size = self._size[rows]
        if size != rows:  # filled up with the last row: a made-up one might cost more, or warn
            x = {k: v.take(self._index[size], axis=0, mode="clip") for k, v in x.items()}
        return {name: out[:rows] for name, out in self._programs[size](x).items()}


def check_rows(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the inputs if there are as many rows of each.

    Raises:
        ClientException: there are not.
    """
    if len({len(array) for array in x.values()}) > 1:
        came = ", ".join(f"{len(array)} of {name}" for name, array in x.items())
        raise ClientException(f"inputs: {came} came, wanted as many rows of each")
    return x
