"""Learning rates that change with the step: pure formulas, all of whose numbers may be traced.

    step_decay      η₀ γ^⌊t/T⌋
    exponential     η₀ γ^(t/T)
    cosine          η₁ + (η₀ − η₁) (1 + cos(π min(t/T, 1))) / 2
    warmup_cosine   from η_s straight to η₀ in W steps, then cosine to η₁ at step T

t counts from 0. ``make`` binds the numbers of one of them: what it returns is an optax schedule,
and a tree of its numbers besides, so that ``vmap`` sweeps them.

Source: Goodfellow, Bengio & Courville (2016), *Deep Learning*, section 8.3.1 (decay); Loshchilov &
Hutter (2017), *SGDR*, eq. 5 (cosine); Goyal et al. (2017), *Accurate, Large Minibatch SGD*,
section 2.2 (warm-up).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import names

__all__ = ["cosine", "exponential", "make", "step_decay", "warmup_cosine"]

Step = int | Int[Array, ""] | Float[Array, ""]


@jax.jit
@checked
def step_decay(
    step: Step, *, init_value: Scalar, decay_rate: Scalar = 0.5, transition_steps: Scalar
) -> Float[Array, ""]:
    """Multiply the rate by ``decay_rate`` every ``transition_steps`` steps. O(1).

    Args:
        step: Steps taken so far, at least 0.
        init_value: η₀, the rate of step 0. Traced, as all that follows.
        decay_rate: γ in (0, 1].
        transition_steps: T > 0, steps from one fall to the next.
    """
    start, rate, period = _floats(init_value, decay_rate, transition_steps)
    return start * rate ** jnp.floor(_as_float(step, start) / period)


@jax.jit
@checked
def exponential(
    step: Step, *, init_value: Scalar, decay_rate: Scalar = 0.5, transition_steps: Scalar
) -> Float[Array, ""]:
    """Shrink the rate smoothly, by ``decay_rate`` in ``transition_steps`` steps. O(1).

    Args:
        step: Steps taken so far, at least 0.
        init_value: η₀, the rate of step 0. Traced, as all that follows.
        decay_rate: γ in (0, 1].
        transition_steps: T > 0.
    """
    start, rate, period = _floats(init_value, decay_rate, transition_steps)
    return start * rate ** (_as_float(step, start) / period)


@jax.jit
@checked
def cosine(
    step: Step, *, init_value: Scalar, decay_steps: Scalar, end_value: Scalar = 0.0
) -> Float[Array, ""]:
    """Follow half a cosine from ``init_value`` down to ``end_value``, and stay there. O(1).

    Args:
        step: Steps taken so far, at least 0.
        init_value: η₀, the rate of step 0. Traced, as all that follows.
        decay_steps: T > 0, the step at which the end is reached.
        end_value: η₁ ≥ 0.

    Example:
        >>> rates = jax.vmap(lambda t: cosine(t, init_value=1.0, decay_steps=4))(jnp.arange(6))
        >>> [round(float(rate), 2) for rate in rates]
        [1.0, 0.85, 0.5, 0.15, 0.0, 0.0]
    """
    start, period, end = _floats(init_value, decay_steps, end_value)
    share = jnp.minimum(_as_float(step, start) / period, 1)
    return end + (start - end) * (1 + jnp.cos(jnp.pi * share)) / 2


@jax.jit
@checked
def warmup_cosine(
    step: Step,
    *,
    init_value: Scalar = 0.0,
    peak_value: Scalar,
    warmup_steps: Scalar,
    decay_steps: Scalar,
    end_value: Scalar = 0.0,
) -> Float[Array, ""]:
    """Rise straight to ``peak_value``, then follow half a cosine down to ``end_value``. O(1).

    Args:
        step: Steps taken so far, at least 0.
        init_value: η_s, the rate of step 0. Traced, as all that follows.
        peak_value: η₀, the rate of step ``warmup_steps``.
        warmup_steps: W ≥ 0; with 0 the cosine begins at once.
        decay_steps: T > W, the step at which the end is reached, warm-up included.
        end_value: η₁ ≥ 0.
    """
    start, peak, warm, period, end = _floats(
        init_value, peak_value, warmup_steps, decay_steps, end_value
    )
    t = _as_float(step, start)
    rising = start + (peak - start) * t / jnp.where(warm > 0, warm, 1)
    falling = cosine(t - warm, init_value=peak, decay_steps=period - warm, end_value=end)
    return jnp.where(t < warm, rising, falling)


_SCHEDULES = {
    "cosine": cosine,
    "exponential": exponential,
    "step_decay": step_decay,
    "warmup_cosine": warmup_cosine,
}


def make(name: str, numbers: Mapping[str, Scalar]) -> Partial:
    """Return ``schedule(step) -> rate``, by name: an optax schedule.

    Args:
        name: ``cosine``, ``exponential``, ``step_decay`` or ``warmup_cosine``.
        numbers: The keywords of that formula. Traced.

    Raises:
        ValueError: no schedule has that name, or it lacks or does not take one of the numbers.

    Example:
        >>> schedule = make("exponential", {"init_value": 0.1, "transition_steps": 10.0})
        >>> schedule(20).round(4)
        Array(0.025, dtype=float32)
    """
    names.check("schedules.make", name, _SCHEDULES, numbers)
    return Partial(_SCHEDULES[name], **numbers)


def _floats(*numbers: Scalar) -> tuple[Array, ...]:
    """Return numbers as arrays of the one dtype that they share."""
    dtype = jnp.result_type(float, *numbers)
    return tuple(jnp.asarray(number, dtype) for number in numbers)


def _as_float(step: Step, like: Array) -> Array:
    return jnp.asarray(step, like.dtype)
