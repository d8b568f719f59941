"""A kernel as a value: what it is told before it walks, bound to its ``init`` and ``step``.

Whole numbers that size a loop, texts and truths are bound as code, floats and arrays as data, so
that other data of the same shapes compiles nothing. ``chains``, ``gibbs`` and ``tempering`` take
such a value; the log density stays an argument, since a block or a temperature changes it. A kernel
is any pair of that kind: a module with ``init`` and ``step``, bound; or a tuned one, which learns
its step size and factor by ``warmup`` in its first transitions.

Source: jax.tree_util.Partial (JAX documentation), a function whose data is a pytree; tuning:
Hoffman & Gelman (2014), *JMLR* 15, 1593, section 3.2.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Int

from mastery_jax.core.check import Scalar
from mastery_jax.inference.mcmc import warmup

__all__ = ["Kernel", "Tuned", "bind", "is_scaled", "refresh", "tune"]


class Kernel(NamedTuple):
    """How a chain is begun and moved. Both take what they know by name, and pass by the rest."""

    init: Partial  # position, *, log_density -> State
    step: Partial  # key, State, *, log_density, num_warmup, factor -> (State, Info)


class Tuned(NamedTuple):
    """The state of a kernel that is tuned while it walks."""

    chain: Any  # the state of the kernel itself
    num_steps: Int[Array, ""]  # transitions made
    tuning: warmup.State

    @property
    def position(self) -> Any:
        """Return where the chain stands."""
        return self.chain.position

    @property
    def log_density(self) -> Array:
        """Return the log density there, in nats."""
        return self.chain.log_density


@dataclass(frozen=True)
class _Call:
    """A function with its static options; two of the same are equal, and compile once."""

    fn: Callable[..., Any]
    static: tuple[tuple[str, Any], ...]

    def __call__(self, *args: Any, **traced: Any) -> Any:
        taken = _options(self.fn)
        known = {name: value for name, value in traced.items() if name in taken}
        return self.fn(*args, **{**known, **dict(self.static)})


def _options(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(fn).parameters
    return {name: p for name, p in found.items() if p.kind is p.KEYWORD_ONLY}


def bind(module: ModuleType, **options: Any) -> Kernel:
    """Return the kernel of a module with ``init`` and ``step``, its options bound. O(1).

    Args:
        module: Such as ``hmc``.
        options: Keywords of its ``init`` or ``step``, but ``log_density`` and ``num_warmup``.

    Raises:
        ValueError: an option is not one of the module's, or a needed one is missing.

    Example:
        >>> import jax
        >>> from mastery_jax.inference.mcmc import hmc
        >>> kernel = bind(hmc, step_size=0.1, num_steps=8)
        >>> jax.tree.leaves(kernel)
        [0.1]
    """
    name = module.__name__.rpartition(".")[2]
    given_later = {"log_density", "num_warmup"}
    known = {**_options(module.init), **_options(module.step)}
    for option in options:
        if option not in known or option in given_later:
            may = sorted(set(known) - given_later)
            raise ValueError(f"kernel.bind: {name} has no option {option!r}, only {may}")
    needed = {n for n, p in known.items() if p.default is p.empty} - given_later - {*options}
    if needed:
        raise ValueError(f"kernel.bind: {name} needs {sorted(needed)}")
    return Kernel(*(_bound(fn, known, options) for fn in (module.init, module.step)))


def _bound(fn: Callable[..., Any], known: dict[str, inspect.Parameter], options: Any) -> Partial:
    static, traced = {}, {}
    for name in sorted(_options(fn).keys() & options.keys()):
        value, hint = options[name], known[name].annotation
        is_code = isinstance(value, bool | int | str) and not _takes_floats(hint)
        (static if is_code else traced)[name] = value
    return Partial(_Call(fn, tuple(static.items())), **traced)


def _takes_floats(hint: Any) -> bool:
    return float in getattr(hint, "__args__", (hint,))


def tune(
    kernel: Kernel,
    *,
    target_accept: Scalar = 0.8,
    step_size: Scalar = 1.0,
    dense_mass: bool = False,
) -> Kernel:
    """Return a kernel whose step size and factor are learned while it warms up. O(1).

    Args:
        kernel: One whose ``step`` takes ``step_size`` and ``factor``. What was bound for them is
            overruled.
        target_accept: Mean acceptance to aim at, in (0, 1): about 0.8 for ``hmc``, 0.57 for
            ``mala``, 0.4 for ``barker``, 0.23 for ``metropolis`` in many dimensions. Traced.
        step_size: Of the first transition, > 0. Traced.
        dense_mass: Learn a matrix, not a number for each coordinate. Static.

    Raises:
        ValueError: the kernel's ``step`` takes no step size or factor.

    Example:
        >>> import jax
        >>> from mastery_jax.inference.mcmc import mala
        >>> kernel = tune(bind(mala, step_size=0.1), target_accept=0.57)
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> state = kernel.init(jnp.zeros(2), log_density=f)
        >>> state, info = kernel.step(jax.random.key(0), state, log_density=f, num_warmup=20)
        >>> int(state.num_steps), float(state.tuning.step_size) != 1.0
        (1, True)
    """
    if missing := _missing(kernel):
        raise ValueError(f"kernel.tune: the step of the kernel takes no {sorted(missing)}")
    static = (("dense_mass", dense_mass),)
    return Kernel(
        init=Partial(_Call(_tuned_init, static), kernel=kernel, step_size=step_size),
        step=Partial(_Call(_tuned_step, ()), kernel=kernel, target_accept=target_accept),
    )


def _tuned_init(
    position: Any, *, log_density: Partial, kernel: Kernel, step_size: Scalar, dense_mass: bool
) -> Tuned:
    return Tuned(
        chain=kernel.init(position, log_density=log_density),
        num_steps=jnp.int32(0),
        tuning=warmup.init(position, step_size=step_size, dense_mass=dense_mass),
    )


def _tuned_step(
    key: Array,
    state: Tuned,
    *,
    log_density: Partial,
    kernel: Kernel,
    num_warmup: int,
    target_accept: Scalar,
) -> tuple[Tuned, Any]:
    tuning = state.tuning
    root = tuning.inverse_mass_root
    chain, info = kernel.step(
        key,
        state.chain,
        log_density=log_density,
        step_size=tuning.step_size,
        factor=root.T if root.ndim == 2 else root,
    )
    if num_warmup > 0:
        tuning = warmup.update(
            tuning,
            chain.position,
            info.accept_prob,
            state.num_steps,
            num_warmup=num_warmup,
            target_accept=target_accept,
        )
    return Tuned(chain=chain, num_steps=state.num_steps + 1, tuning=tuning), info


def is_scaled(kernel: Kernel) -> bool:
    """Say whether a kernel's steps have a size and a factor, which can be learned. O(1).

    Example:
        >>> from mastery_jax.inference.mcmc import elliptical_slice, mala
        >>> is_scaled(bind(mala, step_size=0.1)), is_scaled(bind(elliptical_slice, factor=2.0))
        (True, False)
    """
    return not _missing(kernel)


def _missing(kernel: Kernel) -> set[str]:
    call = kernel.step.func
    return {"step_size", "factor"} - set(_options(getattr(call, "fn", call)))


def refresh(state: Any, fresh: Any) -> Any:
    """Return a state that stands where ``fresh`` does, and keeps what it has learned. O(1).

    Args:
        state: Of a kernel.
        fresh: Of the same kernel, from its ``init``.
    """
    if hasattr(state, "chain"):
        return state._replace(chain=refresh(state.chain, fresh.chain))
    place = {
        name: getattr(fresh, name)
        for name in ("position", "gradient", "log_density")
        if name in state._fields
    }
    return state._replace(**place)
