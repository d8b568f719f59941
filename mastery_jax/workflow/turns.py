"""Whether what a program is asked changes how long it computes.

A loop that goes on until its numbers are good enough may go on for ever with numbers that nobody
has tried. Here a mark spreads from the inputs of a StableHLO module, not from its parameters,
through everything that is computed of them; a loop (or a choice that holds one) whose condition
gets the mark may take any time. How many rows there are makes no mark: a program is compiled for
their number.
"""

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["is_counted"]

WHILE, CALL, SIZE = "stablehlo.while", "func.call", "stablehlo.get_dimension_size"
CHOICES = frozenset({"stablehlo.case", "stablehlo.if"})
ENDS = frozenset({"stablehlo.return", "func.return"})


def is_counted(module: bytes, inputs: int) -> bool:
    """Say whether every loop of a module takes as many turns whatever the inputs hold.

    Args:
        module: As jax exports it.
        inputs: How many of the arguments of ``main`` hold them, the last ones.
    """
    from jax.extend.mlir import deserialize_portable_artifact, ir

    with ir.Context():
        program = deserialize_portable_artifact(module)
        functions = {each.attributes["sym_name"].value: each for each in program.body.operations}
        main = functions["main"].regions[0].blocks[0]
        marks = _Marks(functions)
        others = len(main.arguments) - inputs
        marks.block(main, [False] * others + [True] * inputs)
        # A loop that was not seen is in something that is not known here.
        is_all = len(marks.loops) == len(re.findall(rf"{WHILE}\b", str(program)))
        return is_all and marks.is_counted


class _Marks:
    """Which values of a module depend on its inputs."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self.functions = functions
        self.is_counted = True
        self.loops: set[Any] = set()  # that were seen
        self._marked: dict[Any, bool] = {}

    def block(self, block: Any, given: Iterable[bool]) -> list[bool]:
        """Spread marks through a block; return those of what it returns."""
        self._set(block.arguments, given)
        for operation in block.operations:
            if operation.operation.name in ENDS:
                return self._of(operation.operands)
            self._set(operation.results, self._results(operation))
        return []

    def _set(self, values: Any, marks: Iterable[bool]) -> None:
        self._marked.update(zip(values, marks, strict=True))

    def _of(self, values: Any) -> list[bool]:
        return [self._marked[value] for value in values]

    def _results(self, operation: Any) -> list[bool]:
        name, given = operation.operation.name, self._of(operation.operands)
        if name == WHILE:
            return self._loop(operation, given)
        if name == CALL:
            callee = self.functions[operation.attributes["callee"].value]
            return self.block(callee.regions[0].blocks[0], given)
        if name in CHOICES:
            found = [self.block(region.blocks[0], []) for region in operation.regions]
            if given[0] and WHILE in str(operation):
                self.is_counted = False
            return [given[0] or any(marks) for marks in zip(*found, strict=True)]
        mark = any(given) and name != SIZE
        return [mark] * len(operation.results)

    def _loop(self, operation: Any, given: list[bool]) -> list[bool]:
        self.loops.add(operation.operation)
        condition, body = (region.blocks[0] for region in operation.regions)
        while True:  # until no more is marked: each turn marks at least one more
            after = self.block(body, given)
            spread = [a or b for a, b in zip(given, after, strict=True)]
            if spread == given:
                break
            given = spread
        if any(self.block(condition, given)):
            self.is_counted = False
        return given
