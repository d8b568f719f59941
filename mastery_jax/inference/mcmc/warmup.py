"""What a Hamiltonian sampler tunes while it warms up, as arrays that can be saved and mapped.

Dual averaging steers log ε, the step size, so that the mean acceptance comes to a wanted δ: with
H̄ the mean of δ − α over the steps so far, log ε = μ − √t / 0.05 · H̄; what stays after the warm-up
is the mean of log ε with weights t^−0.75. Meanwhile, in windows of doubling length, M⁻¹ becomes the
variance (or the covariance matrix) of the positions, shrunk towards 10⁻³ I, and log ε starts anew.

The arithmetic is NumPyro's; here are its results by name.

Source: Hoffman & Gelman (2014), *JMLR* 15, 1593, section 3.2, equation 6; Welford (1962),
*Technometrics* 4, 419; windows and shrinkage: Stan reference manual, "HMC algorithm parameters".
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from numpyro.infer.hmc_util import HMCAdaptState

__all__ = ["Averaging", "Moments", "State", "from_numpyro", "to_numpyro"]

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
