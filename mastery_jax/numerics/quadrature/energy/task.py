"""What is integrated, on what device, and the joules of one call.

    joules of a call = those of the integrand, and of what the rule itself does with its value

A node is moved into the box, its value weighed and added, here and to Σ |w f|: 2 d + 4 operations.
Gauss-Kronrod adds to four sums: 12. A point of a lattice is a product, a remainder, a shift and a
fold on every axis: 8 d + 2.

Source: counted in ``ladder``, and in the rules that it calls; Gauss-Kronrod's sums: Piessens et al.
(1983), *QUADPACK*, section 2.2.4.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.numerics.quadrature.energy import devices, operations
from mastery_jax.numerics.quadrature.energy.devices import Device
from mastery_jax.numerics.quadrature.energy.operations import Operations

__all__ = ["COPIES", "CUT", "MOST_NODES", "Task", "cast", "least", "make", "num_payable", "price"]

MOST_NODES = {1: 256, 2: 512, 3: 64}  # an axis, by dimension
CUT = 42  # calls for one cut of an interval, of 21 nodes a half
COPIES = 16  # of a lattice, whose spread is the error
LEAST_EACH = 2  # points of a copy


class Task(NamedTuple):
    """What is integrated, and on what."""

    fn: Partial
    lower: Any  # NumPy, a number or (d)
    upper: Any
    device: Device
    key: Any  # None where no random points are needed
    counts: Mapping[str, Operations]  # of one call, by dtype
    rtol: float = 0.0  # 0: as far as rounding allows
    atol: float = 0.0

    @property
    def dim(self) -> int:
        """Return d, 1 for an interval."""
        return self.lower.size

    @property
    def rule(self) -> str:
        """Return the name of the rule that this begins with."""
        is_finite = bool(np.isfinite([self.lower, self.upper]).all())
        if self.lower.ndim == 0:
            return "gauss_legendre" if is_finite else "gauss_kronrod"
        return "product_grid" if is_finite and self.dim in MOST_NODES else "quasi"


def make(
    fn: Partial, lower: Any, upper: Any, *, device: Device, dtypes: Iterable[Any], key: Any = None
) -> Task:
    """Return a task whose operations are counted, once for each dtype. O(compilation).

    Example:
        >>> iot = devices.DEVICES["iot"]
        >>> task = make(Partial(jnp.exp), np.zeros(()), np.ones(()), device=iot, dtypes=[np.single])
        >>> task.rule, task.counts["float32"].transcendentals
        ('gauss_legendre', 1.0)
    """
    counts = {
        str(dtype): operations.count(cast(fn, dtype), jnp.zeros(lower.shape, dtype))
        for dtype in map(np.dtype, dtypes)
    }
    return Task(fn=fn, lower=lower, upper=upper, device=device, key=key, counts=counts)


def least(task: Task, dtype: Any) -> tuple[int, float]:
    """Return the fewest calls that a task can be given, and the joules of one. O(1) calls.

    Example:
        >>> iot = devices.DEVICES["iot"]
        >>> task = make(Partial(jnp.exp), np.zeros(()), np.ones(()), device=iot, dtypes=[np.single])
        >>> calls, joules = least(task, np.single)
        >>> calls, round(joules * 1e9)
        (1, 26)
    """
    calls = {"quasi": COPIES * LEAST_EACH, "gauss_kronrod": CUT}.get(task.rule, 1)
    return calls, price(task, dtype)(task.rule)


def cast(fn: Partial, dtype: Any) -> Partial:
    """Return an integrand whose floats have a dtype. O(data).

    Example:
        >>> cast(Partial(jnp.add, np.ones(3)), np.half).args[0].dtype
        dtype('float16')
    """

    def one(leaf: Any) -> Any:
        is_float = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return jnp.asarray(leaf, dtype) if is_float else leaf

    return jax.tree.map(one, fn)


def price(task: Task, dtype: Any) -> Callable[[str], float]:
    """Return what gives the joules of one call, by the name of a rule. O(1).

    Example:
        >>> iot = devices.DEVICES["iot"]
        >>> task = make(Partial(jnp.exp), np.zeros(()), np.ones(()), device=iot, dtypes=[np.single])
        >>> round(price(task, np.single)("gauss_kronrod") * 1e9)
        32
    """
    one = task.counts[str(np.dtype(dtype))]

    def of(rule: str) -> float:
        own = {"gauss_kronrod": 12, "quasi": 8 * task.dim + 2}.get(rule, 2 * task.dim + 4)
        return devices.joules(task.device, one.plus(own), dtype=dtype)

    return of


def num_payable(joules: float, each: float) -> float:
    """Return how many calls can be paid; their product is not above what there is. O(1).

    Example:
        >>> num_payable(1e-6, 3e-7), num_payable(math.inf, 3e-7)
        (3, inf)
    """
    if math.isinf(joules):
        return math.inf
    count = math.floor(joules / each)
    return count if count * each <= joules else count - 1
