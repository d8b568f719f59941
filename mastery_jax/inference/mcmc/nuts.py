"""The No-U-Turn sampler with its warm-up, as pure functions: a door to NumPyro's kernel.

A transition draws a momentum r ~ N(0, M) and follows the leapfrog flow of
H(x, r) = −log p(x) + ½ rᵀM⁻¹r, forwards and backwards in doubling steps, until the trajectory
turns back on itself or H has grown by 1000 nats (a divergence); it keeps one visited point, drawn
with weights exp(−H). Early transitions also tune the step size and M: see ``warmup``.

NumPyro's kernels remember what their ``init`` was told; here the kernel is rebuilt inside every
``step``, so that all there is to know stands in ``State`` and the arguments.

Source: Hoffman & Gelman (2014), *JMLR* 15, 1593; multinomial trees: Betancourt (2017),
arXiv:1701.02434, appendix A; the tree without recursion: Phan, Pradhan & Jankowiak (2019),
arXiv:1912.11554, algorithm 2.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key
from numpyro.infer.hmc import HMCState, hmc
from numpyro.infer.util import ParamInfo

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.mcmc import warmup

__all__ = ["Info", "State", "chains_of", "init", "over_chains", "sample", "step"]


class State(NamedTuple):
    """Where one chain stands. All arrays: it can be saved, mapped and resumed."""

    position: Any  # a pytree of floats of one dtype
    gradient: Any  # of log_density, the same pytree
    log_density: Float[Array, ""]  # nats, up to a constant
    num_steps: Int[Array, ""]  # transitions made, those of the warm-up included
    tuning: warmup.State


class Info(NamedTuple):
    """What happened in one transition."""

    accept_prob: Float[Array, ""]  # mean over the trajectory, in [0, 1]
    step_size: Float[Array, ""]  # with which it was made
    num_leapfrog: Int[Array, ""]  # evaluations of the gradient
    energy: Float[Array, ""]  # H of the point that was kept, in nats
    is_divergent: Bool[Array, ""]  # H grew by more than 1000 nats
    is_cut: Bool[Array, ""]  # the trajectory reached max_tree_depth


@partial(jax.jit, static_argnames=("dense_mass",))
@checked
def init(
    position: Any, *, log_density: Partial, step_size: Scalar = 1.0, dense_mass: bool = False
) -> State:
    """Return a chain that stands at ``position`` with unit mass. One gradient.

    Args:
        position: A pytree of floats of one dtype, where the density is positive.
        log_density: ``position -> log density`` in nats, up to a constant; −inf outside the
            support. As ``Partial(fn, data)`` its data is traced, its code is static.
        step_size: Of the first leapfrog steps, > 0, in units of the position; the warm-up
            mends a bad one. Traced.
        dense_mass: Tune the whole matrix M instead of its diagonal.
    """
    with _precision(position):
        init_kernel, _ = _kernels(log_density)
        return _from_numpyro(
            init_kernel(position, num_warmup=0, step_size=step_size, dense_mass=dense_mass)
        )


@partial(jax.jit, static_argnames=("num_warmup", "max_tree_depth"))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    log_density: Partial,
    num_warmup: int,
    target_accept: Scalar = 0.8,
    max_tree_depth: int = 10,
) -> tuple[State, Info]:
    """Make one transition; the first ``num_warmup`` of a chain also tune. O(2^depth) gradients.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        num_warmup: Length of the warm-up, which fixes its windows. 0 never tunes.
        target_accept: Mean acceptance that the warm-up aims at, in (0, 1); the higher, the
            smaller the steps and the rarer the divergences. Traced.
        max_tree_depth: A trajectory makes at most 2^max_tree_depth − 1 leapfrog steps.

    Returns:
        The new state, and what happened. A point where the density or its gradient is not
        finite ends a trajectory as a divergence; a chain that starts at one stays there.
    """
    if num_warmup < 0 or max_tree_depth < 1:
        raise ValueError(
            f"nuts.step: num_warmup is {num_warmup} and max_tree_depth {max_tree_depth}, "
            "not at least 0 and 1"
        )
    with _precision(state.position):
        init_kernel, sample_kernel = _kernels(log_density)
        before = _to_numpyro(key, state)
        # Only tells the kernel its options; what it computes is dead code.
        init_kernel(
            ParamInfo(before.z, before.potential_energy, before.z_grad),
            num_warmup,
            dense_mass=state.tuning.inverse_mass.ndim == 2,
            target_accept_prob=jnp.asarray(target_accept, state.log_density.dtype),
            max_tree_depth=max_tree_depth,
            rng_key=key,
        )
        after = sample_kernel(before)
        return _from_numpyro(after), Info(
            accept_prob=after.accept_prob,
            step_size=state.tuning.step_size,
            num_leapfrog=after.num_steps.astype(jnp.int32),
            energy=after.energy,
            is_divergent=after.diverging,
            is_cut=after.num_steps == 2**max_tree_depth - 1,
        )


@partial(
    jax.jit,
    static_argnames=("num_warmup", "num_samples", "max_tree_depth", "dense_mass", "lockstep"),
)
@checked
def sample(
    key: Key[Array, ""],
    positions: Any,
    *,
    log_density: Partial,
    num_warmup: int,
    num_samples: int,
    target_accept: Scalar = 0.8,
    step_size: Scalar = 1.0,
    max_tree_depth: int = 10,
    dense_mass: bool = False,
    lockstep: bool = False,
) -> tuple[Any, Info]:
    """Run a chain from each of ``positions``: ``num_warmup + num_samples`` transitions.

    Args:
        key: Consumed.
        positions: A pytree whose leaves have a leading axis of chains.
        log_density: Of one position, as in ``init``. Other data of the same shapes in it
            compiles nothing.
        num_warmup: Transitions that tune and are not returned.
        num_samples: Transitions that are returned.
        target_accept: As in ``step``. Traced.
        step_size: As in ``init``. Traced.
        max_tree_depth: As in ``step``.
        dense_mass: As in ``init``.
        lockstep: As in ``over_chains``.

    Returns:
        The draws, as ``positions`` with a second axis of ``num_samples``, and the info of every
        returned transition, of shape (chain, sample).

    Raises:
        ValueError: a number is below its least, or the positions do not share their leading axis.
    """
    if num_warmup < 0 or num_samples < 1:
        raise ValueError(
            f"nuts.sample: num_warmup is {num_warmup} and num_samples {num_samples}, not at least "
            "0 and 1"
        )
    num_chains = chains_of("nuts.sample", positions)

    def chain(key: Key[Array, ""], position: Any) -> tuple[Any, Info]:
        state = init(position, log_density=log_density, step_size=step_size, dense_mass=dense_mass)

        def transition(key: Key[Array, ""], state: State) -> tuple[State, tuple[Any, Info]]:
            state, info = step(
                key,
                state,
                log_density=log_density,
                num_warmup=num_warmup,
                target_accept=target_accept,
                max_tree_depth=max_tree_depth,
            )
            return state, (state.position, info)

        # One loop over both phases: the transition is compiled once.
        _, history = loop.scan(transition, state, key=key, num_steps=num_warmup + num_samples)
        return jax.tree.map(lambda x: x[num_warmup:], history)

    keys = jax.random.split(key, num_chains)
    return over_chains(chain, keys, positions, lockstep=lockstep)


def chains_of(where: str, positions: Any) -> int:
    """Return how many chains positions are for. O(1).

    Raises:
        ValueError: the leaves do not share a leading axis.
    """
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(positions)]
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1 or shapes[0][0] < 1:
        raise ValueError(f"{where}: positions have shapes {shapes}, not one leading axis of chains")
    return shapes[0][0]


def over_chains(fn: Callable[..., Any], *args: Any, lockstep: bool) -> Any:
    """Call ``fn`` for each entry of the leading axis of ``args``.

    Args:
        fn: What one chain does.
        args: Its arguments, with a leading axis of chains.
        lockstep: All chains at once, for accelerators. Every tree is then as deep as the
            deepest, and on a CPU XLA no longer makes one kernel of a chain's loop: 2 to 8 times
            slower there (4 chains, measured), and 3 times as long to compile.
    """
    return jax.vmap(fn)(*args) if lockstep else jax.lax.map(lambda one: fn(*one), args)


def _precision(position: Any) -> contextlib.AbstractContextManager[Any]:
    """Make NumPyro work in the dtype of the position: it takes its own from jax's default."""
    dtypes = {jnp.result_type(leaf) for leaf in jax.tree.leaves(position)}
    if len(dtypes) != 1 or not all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
        raise ValueError(
            f"nuts: position has leaves of {sorted(map(str, dtypes))}, not of one floating dtype"
        )
    return jax.enable_x64(dtypes.pop().itemsize == 8)


def _kernels(log_density: Partial) -> tuple[Callable[..., HMCState], Callable[..., HMCState]]:
    """Return NumPyro's ``init`` and ``sample``, of which the second heeds what the first heard."""

    def potential(position: Any) -> Array:
        value = log_density(position)
        if jnp.shape(value):
            raise ValueError(f"nuts: log_density has shape {jnp.shape(value)}, not of a scalar")
        return -value

    return hmc(potential)


def _to_numpyro(key: Key[Array, ""], state: State) -> HMCState:
    unread = jnp.zeros_like(state.log_density)
    return HMCState(
        i=state.num_steps.astype(int),
        z=state.position,
        z_grad=jax.tree.map(jnp.negative, state.gradient),
        potential_energy=-state.log_density,
        energy=unread,
        r=None,
        trajectory_length=None,
        num_steps=unread,
        accept_prob=unread,
        mean_accept_prob=unread,
        diverging=unread,
        adapt_state=warmup.to_numpyro(state.tuning),
        rng_key=key,
    )


def _from_numpyro(state: HMCState) -> State:
    return State(
        position=state.z,
        gradient=jax.tree.map(jnp.negative, state.z_grad),
        log_density=-state.potential_energy,
        num_steps=state.i.astype(jnp.int32),
        tuning=warmup.from_numpyro(state.adapt_state),
    )
