"""What a Hamiltonian sampler tunes while it warms up, as arrays that can be saved and mapped.

Dual averaging steers log ε, the step size, so that the mean acceptance comes to a wanted δ: with
H̄ the mean of δ − α over the steps so far, log ε = μ − √t / 0.05 · H̄; what stays after the warm-up
is the mean of log ε with weights t^−0.75. Meanwhile, in windows of doubling length, M⁻¹ becomes the
variance (or the covariance matrix) of the positions, shrunk towards 10⁻³ I, and log ε starts anew.

After t transitions, with t₀ = 10 more that are imagined,

    H̄ ← (1 − 1/(t + t₀)) H̄ + (δ − α) / (t + t₀)
    M⁻¹ = n/(n + 5) cov + 10⁻³ · 5/(n + 5) I          at the end of a window of n positions

The first 15 % (75 at most) and the last 10 % (50 at most) of the transitions tune the step size
alone. ``nuts`` leaves the arithmetic to NumPyro; here it stands in the open, for other kernels.

Source: Hoffman & Gelman (2014), *JMLR* 15, 1593, section 3.2, equation 6; Welford (1962),
*Technometrics* 4, 419; windows and shrinkage: Stan reference manual, "HMC algorithm parameters".
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from numpyro.infer.hmc_util import HMCAdaptState

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target

__all__ = [
    "Averaging",
    "Moments",
    "State",
    "from_numpyro",
    "init",
    "to_numpyro",
    "update",
    "window_ends",
]

_FORGET, _GAIN, _IMAGINED = 0.75, 0.05, 10  # κ, γ and t₀ of Hoffman & Gelman
_SHRINK = 1e-3, 5  # towards this variance, as if seen this often

Mass = Float[Array, " d"] | Float[Array, "d d"]  # the diagonal, or the whole matrix


class Averaging(NamedTuple):
    """Dual averaging of log ε."""

    log_step: Float[Array, ""]
    log_step_mean: Float[Array, ""]
    shortfall: Float[Array, ""]  # H̄
    num_seen: Int[Array, ""]  # t
    center: Float[Array, ""]  # μ


class Moments(NamedTuple):
    """Welford's running moments of the positions in the present window."""

    mean: Float[Array, " d"]
    products: Mass  # sums of (products of) deviations
    num_seen: Int[Array, ""]


class State(NamedTuple):
    """All that is tuned; d is the number of numbers in a position."""

    step_size: Float[Array, ""]  # ε of the next transition
    inverse_mass: Mass  # M⁻¹
    mass_root: Mass  # a square root of M
    inverse_mass_root: Mass
    averaging: Averaging
    moments: Moments
    window: Int[Array, ""]  # number of windows that have ended


@partial(jax.jit, static_argnames=("dense_mass",))
@checked
def init(position: Any, *, step_size: Scalar = 1.0, dense_mass: bool = False) -> State:
    """Return a warm-up that has seen nothing, with unit mass. O(d), or O(d²) if dense.

    Args:
        position: A pytree of floats of one dtype, for its size and dtype.
        step_size: Of the first transition, > 0. Traced.
        dense_mass: Tune the whole matrix M instead of its diagonal. Static.

    Raises:
        ValueError: the position is not of floats of one dtype.

    Example:
        >>> init(jnp.zeros(3), step_size=0.1).inverse_mass
        Array([1., 1., 1.], dtype=float32)
    """
    x, _ = vector.flat("warmup.init", position)
    unit = jnp.eye(x.size, dtype=x.dtype) if dense_mass else jnp.ones_like(x)
    step_size = jnp.asarray(step_size, x.dtype)
    return State(
        step_size=step_size,
        inverse_mass=unit,
        mass_root=unit,
        inverse_mass_root=unit,
        averaging=_averaging(step_size),
        moments=_moments(x, unit),
        window=jnp.int32(0),
    )


@partial(jax.jit, static_argnames=("num_warmup",))
@checked
def update(
    state: State,
    position: Any,
    accept_prob: Float[Array, ""],
    num_steps: Int[Array, ""],
    *,
    num_warmup: int,
    target_accept: Scalar = 0.8,
) -> State:
    """Learn from one transition. O(d), or O(d²) if dense and O(d³) at the end of a window.

    Args:
        state: What was learned so far.
        position: Where the transition ended.
        accept_prob: Its α, in [0, 1].
        num_steps: Transitions made before it; from ``num_warmup`` on nothing is learned.
        num_warmup: Length of the warm-up, which fixes its windows, at least 1. Static.
        target_accept: δ, in (0, 1). Traced.

    Returns:
        The state for the next transition; after the last of the warm-up its step size is the
        weighted mean of all since the last window.

    Raises:
        ValueError: num_warmup is below 1, or the position is of another size.

    Example:
        >>> start = init(jnp.zeros(1), step_size=0.1)
        >>> always = update(start, jnp.ones(1), jnp.ones(()), jnp.int32(0), num_warmup=50)
        >>> bool(always.step_size > start.step_size)
        True
    """
    x, _ = vector.flat("warmup.update", position)
    if num_warmup < 1:
        raise ValueError(f"warmup.update: num_warmup is {num_warmup}, not at least 1")
    if x.size != state.moments.mean.size:
        raise ValueError(
            f"warmup.update: position has {x.size} numbers, not {state.moments.mean.size}"
        )
    ends = jnp.asarray(window_ends(num_warmup), jnp.int32)
    averaging = _steered(state.averaging, jnp.asarray(target_accept, x.dtype) - accept_prob)
    is_last = num_steps == num_warmup - 1
    log_step = jnp.where(is_last, averaging.log_step_mean, averaging.log_step)
    limits = jnp.finfo(x.dtype)
    step_size = jnp.clip(jnp.exp(log_step), limits.tiny, limits.max)

    is_inner = (state.window > 0) & (state.window < ends.size - 1)
    seen = _seen(state.moments, x)
    is_end = num_steps == ends[jnp.minimum(state.window, ends.size - 1)]
    learned = state._replace(
        step_size=step_size,
        averaging=averaging,
        moments=target.choose(is_inner, seen, state.moments),
        window=state.window + is_end.astype(jnp.int32),
    )
    learned = jax.lax.cond(is_end & is_inner, _close_window, lambda state: state, learned)
    return target.choose(num_steps < num_warmup, learned, state)


def window_ends(num_warmup: int) -> tuple[int, ...]:
    """Return the last transition of every window, counted from 0. O(log num_warmup).

    Example:
        >>> window_ends(1000)
        (74, 99, 149, 249, 449, 949, 999)
    """
    if num_warmup < 20:
        return (num_warmup - 1,)
    begin, end, length = 75, 50, 25
    if begin + end + length > num_warmup:
        begin, end = int(0.15 * num_warmup), int(0.1 * num_warmup)
        length = num_warmup - begin - end
    ends, last = [begin], num_warmup - end
    while ends[-1] < last:
        # A window whose double would not fit takes all that is left.
        is_final = 3 * length > last - ends[-1]
        ends.append(last if is_final else ends[-1] + length)
        length *= 2
    return tuple(end - 1 for end in (*ends, num_warmup))


def _averaging(step_size: Array) -> Averaging:
    zero = jnp.zeros_like(step_size)
    return Averaging(zero, zero, zero, jnp.int32(0), center=jnp.log(10) + jnp.log(step_size))


def _moments(like: Array, mass: Array) -> Moments:
    return Moments(jnp.zeros_like(like), jnp.zeros_like(mass), jnp.int32(0))


def _steered(averaging: Averaging, miss: Array) -> Averaging:
    """Move log ε against the mean shortfall of acceptance, of which ``miss`` is the newest."""
    num_seen = averaging.num_seen + 1
    t = num_seen.astype(miss.dtype)
    shortfall = (1 - 1 / (t + _IMAGINED)) * averaging.shortfall + miss / (t + _IMAGINED)
    log_step = averaging.center - jnp.sqrt(t) / _GAIN * shortfall
    weight = t**-_FORGET
    mean = (1 - weight) * averaging.log_step_mean + weight * log_step
    return Averaging(log_step, mean, shortfall, num_seen, averaging.center)


def _seen(moments: Moments, x: Array) -> Moments:
    num_seen = moments.num_seen + 1
    before = x - moments.mean
    mean = moments.mean + before / num_seen.astype(x.dtype)
    is_dense = moments.products.ndim == 2
    product = (x - mean)[:, None] * before[None] if is_dense else before * (x - mean)
    return Moments(mean, moments.products + product, num_seen)


def _close_window(state: State) -> State:
    """Take the spread of the window for the inverse mass, and start log ε anew."""
    n = state.moments.num_seen.astype(state.step_size.dtype)
    variance, times = _SHRINK
    unit = jnp.eye(state.moments.mean.size, dtype=n.dtype) if state.inverse_mass.ndim == 2 else 1
    cov = n / (n + times) * (state.moments.products / (n - 1))
    cov = cov + variance * (times / (n + times)) * unit
    inverse_root, root = _roots(cov)
    return state._replace(
        inverse_mass=cov,
        mass_root=root,
        inverse_mass_root=inverse_root,
        averaging=_averaging(state.step_size),
        moments=_moments(state.moments.mean, state.moments.products),
    )


def _roots(cov: Array) -> tuple[Array, Array]:
    """Return lower R with RᵀR = cov, and its inverse: a root of the mass. O(d³) if dense."""
    if cov.ndim == 1:
        return jnp.sqrt(cov), 1 / jnp.sqrt(cov)
    lower = jnp.linalg.cholesky(cov[::-1, ::-1])[::-1, ::-1].T
    unit = jnp.eye(len(cov), dtype=cov.dtype)
    return lower, jax.scipy.linalg.solve_triangular(lower, unit, lower=True)


def to_numpyro(state: State) -> HMCAdaptState:
    """Return the tuple that NumPyro's kernels carry. They need no key where no step is searched."""
    state = _with_counts(state, jnp.result_type(int))
    return HMCAdaptState(
        step_size=state.step_size,
        inverse_mass_matrix=state.inverse_mass,
        mass_matrix_sqrt=state.mass_root,
        mass_matrix_sqrt_inv=state.inverse_mass_root,
        ss_state=tuple(state.averaging),
        mm_state=tuple(state.moments),
        window_idx=state.window,
        rng_key=None,
    )


def from_numpyro(tuned: HMCAdaptState) -> State:
    """Return the state that a tuple of NumPyro's describes."""
    state = State(
        step_size=tuned.step_size,
        inverse_mass=tuned.inverse_mass_matrix,
        mass_root=tuned.mass_matrix_sqrt,
        inverse_mass_root=tuned.mass_matrix_sqrt_inv,
        averaging=Averaging(*tuned.ss_state),
        moments=Moments(*tuned.mm_state),
        window=tuned.window_idx,
    )
    return _with_counts(state, jnp.int32)


def _with_counts(state: State, dtype: Any) -> State:
    """Cast the counts: NumPyro's are as wide as its floats, ours are always int32."""

    def cast(leaf: Array) -> Array:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.integer) else leaf

    return jax.tree.map(cast, state)
