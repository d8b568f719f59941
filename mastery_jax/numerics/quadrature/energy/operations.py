"""How many operations one call of an integrand takes, as XLA counts them.

    (count of a batch of 2m points − count of m points) / m

so that what does not depend on the point, and is done once, is not charged to every call. XLA
counts the body of a loop once: here it is counted as often as a ``scan`` runs it, and a loop whose
number of rounds is not known beforehand is refused. An add, a product, a division, a comparison and
a choice are one operation each; an exp, log, sin, power, root or erf is one transcendental.

Source: Williams, Waterman & Patterson (2009), *Communications of the ACM* 52(4), section 2
(operations and bytes of a program).
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun
from jax.tree_util import Partial

__all__ = ["Operations", "count"]

BATCH = 256
"""m: many vectors of any processor, so that remainders of vectors are not seen."""

COUNTED_CALLS = ("mhlo.", "chlo.", "Sharding")
"""Custom calls that are operations of XLA under another name."""


class Operations(NamedTuple):
    """What a call takes, on the host: means over a batch, hence floats."""

    flops: float  # floating-point operations
    transcendentals: float = 0.0  # exp, log, sin, …
    bytes_moved: float = 0.0  # read and written, the point and the value among them
    bytes_held: float = 0.0  # data inside the integrand

    def plus(self, flops: float) -> "Operations":
        """Return these and so many floating-point operations."""
        return self._replace(flops=self.flops + flops)


def count(fn: Partial, x: Any) -> Operations:
    """Count the operations of one call of an integrand. O(compilation), twice, and no call.

    Args:
        fn: The integrand. Data inside the ``Partial`` is read; data in a closure is a constant,
            and what XLA works out of constants beforehand is not counted.
        x: One point, a number or (d): its shape and dtype are looked at.

    Returns:
        ``Operations``. Both branches of a ``cond`` are counted, for a batch takes both.

    Raises:
        ValueError: a ``while_loop``, or a function that is one inside, such as ``gammainc``: its
            rounds are not known; a call of a library, such as LAPACK, whose work is not seen; or a
            device on which XLA does not count.

    Example:
        >>> count(Partial(lambda x: (2 * x + 1) * x), 0.5).flops
        3.0
    """
    fn = fn if isinstance(fn, Partial) else Partial(fn)
    x = jnp.asarray(x)
    few, many = (_of_batch(fn, x, size) for size in (BATCH, 2 * BATCH))
    each = ((many - few) / BATCH).tolist()
    held = sum(leaf.nbytes for leaf in map(jnp.asarray, jax.tree.leaves(fn)))
    return Operations(*each, bytes_held=float(held))


def _of_batch(fn: Partial, x: Any, size: int) -> Any:
    points = jax.ShapeDtypeStruct((size, *x.shape), x.dtype)
    closed = jax.make_jaxpr(jax.vmap(lambda fn, x: fn(x), in_axes=(None, 0)))(fn, points)
    return _of_program(closed)[1]


def _of_program(closed: ClosedJaxpr) -> tuple[Any, Any]:
    """Return flops, transcendentals and bytes: with loops run once, and as often as they run."""
    inputs = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in closed.in_avals]
    lowered = jax.jit(jaxpr_as_fun(closed)).lower(*inputs)
    loops = list(_loops(closed.jaxpr))
    _refuse(lowered.as_text(), _num_loops(loops))
    found = lowered.compile().cost_analysis() or {}
    if "bytes accessed" not in found:
        raise ValueError(f"operations.count: XLA gives {found} on this device, not its counts")
    once = np.array([found.get(key, 0.0) for key in ("flops", "transcendentals", "bytes accessed")])
    total = once
    for length, body in loops:
        body_once, body_total = _of_program(body)
        total = total - body_once + length * body_total
    return once, total


def _loops(jaxpr: Jaxpr) -> Iterator[tuple[int, ClosedJaxpr]]:
    """Yield the rounds and the body of each scan that is not inside another."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "while":
            raise ValueError(
                "operations.count: fn holds a while_loop, whose rounds are not known beforehand, "
                "not only loops of a fixed length"
            )
        if equation.primitive.name == "scan":
            yield equation.params["length"], equation.params["jaxpr"]
            continue
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, ClosedJaxpr):
                    yield from _loops(inner.jaxpr)
                elif isinstance(inner, Jaxpr):
                    yield from _loops(inner)


def _num_loops(loops: list[tuple[int, ClosedJaxpr]]) -> int:
    """Return how many loops there are, those inside others among them."""
    return sum(1 + _num_loops(list(_loops(body.jaxpr))) for _, body in loops)


def _refuse(text: str, num_loops: int) -> None:
    """Refuse a program that does work which XLA does not count."""
    for name in re.findall(r"custom_call @([\w.]+)", text):
        if not name.startswith(COUNTED_CALLS):
            raise ValueError(
                f"operations.count: fn calls {name} of a library, not only operations that XLA "
                "counts"
            )
    if text.count("stablehlo.while") > num_loops:
        raise ValueError(
            "operations.count: fn calls a function that is a loop inside, such as gammainc, whose "
            "rounds are not known beforehand, not only loops of a fixed length"
        )
