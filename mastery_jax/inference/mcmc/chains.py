"""Any kernel, over many chains, in one program.

    state ← init(x₀);      state ← K(state)       num_warmup + num_samples · thin times

All that varies between two calls of the same shapes is an argument of the program, the data of the
log density and the numbers of the kernel included: the second compiles nothing. Chains are dealt
over the devices of a mesh, and no chain knows of another: their number changes no draw.

Source: Geyer (1992), *Statistical Science* 7, 473, sections 3.1 and 3.6 (thinning).
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.mcmc.kernel import Kernel
from mastery_jax.inference.mcmc.nuts import chains_of, over_chains

__all__ = ["Run", "sample"]


class Run(NamedTuple):
    """What chains have drawn after their warm-up."""

    draws: Any  # as the positions, with a second axis of samples
    log_density: Float[Array, "chain sample"]  # nats
    info: Any  # the kernel's, of every transition that is kept, of shape (chain, sample)
    num_divergent: Int[Array, " chain"]  # of all transitions, those between the kept ones included
    state: Any  # the kernel's, where each chain ended


@partial(jax.jit, static_argnames=("num_warmup", "num_samples", "thin", "mesh", "lockstep"))
@checked
def sample(
    key: Key[Array, ""],
    positions: Any,
    *,
    log_density: Partial,
    kernel: Kernel,
    num_warmup: int,
    num_samples: int,
    thin: int = 1,
    mesh: Mesh | None = None,
    lockstep: bool = False,
) -> Run:
    """Run a chain from each of ``positions``. O((num_warmup + num_samples · thin) · chains) steps.

    Args:
        key: Consumed.
        positions: A pytree whose leaves have a leading axis of chains.
        log_density: ``position -> log density`` of one position, in nats, up to a constant. As
            ``Partial(fn, data)`` its data is traced, its code is static.
        kernel: From ``kernel.bind`` or ``kernel.tune``.
        num_warmup: Transitions that tune and are not returned; a kernel that does not tune only
            forgets its start. Static.
        num_samples: Draws of each chain that are returned. Static.
        thin: Transitions for each of them, at least 1. Static.
        mesh: Devices that share the chains, whatever their number; none: where the caller runs.
            Static.
        lockstep: All chains of a device at once, for accelerators; on a CPU one after another is
            faster. Static.

    Returns:
        The draws, and what happened. Chains that go wrong are not stopped: ask ``health``.

    Raises:
        ValueError: a number is below its least, or the positions do not share their leading axis.

    Example:
        >>> from mastery_jax.inference.mcmc import hmc, kernel
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> walk = kernel.tune(kernel.bind(hmc, step_size=1.0, num_steps=4))
        >>> run = sample(
        ...     jax.random.key(0),
        ...     jnp.zeros((4, 2)),
        ...     log_density=f,
        ...     kernel=walk,
        ...     num_warmup=100,
        ...     num_samples=200,
        ... )
        >>> run.draws.shape, run.log_density.shape, int(run.num_divergent.sum())
        ((4, 200, 2), (4, 200), 0)
    """
    if num_warmup < 0 or num_samples < 1 or thin < 1:
        raise ValueError(
            f"chains.sample: num_warmup is {num_warmup}, num_samples {num_samples} and thin "
            f"{thin}, not at least 0, 1 and 1"
        )
    count = chains_of("chains.sample", positions)
    plan = (num_warmup, num_samples, thin)

    def run(given: Any, keys: Array, positions: Any) -> Run:
        one = partial(_chain, plan, *given)
        return over_chains(one, keys, positions, lockstep=lockstep)

    keys = jax.random.split(key, count)
    if mesh is None:
        return run((log_density, kernel), keys, positions)
    dealt = jax.shard_map(
        run,
        mesh=mesh,
        in_specs=(jax.P(), jax.P(mesh.axis_names), jax.P(mesh.axis_names)),
        out_specs=jax.P(mesh.axis_names),
        check_vma=False,
    )
    # What is left over is filled up with the last chain, and dropped.
    padded = math.ceil(count / mesh.size) * mesh.size
    which = jnp.minimum(jnp.arange(padded), count - 1)
    filled = jax.tree.map(lambda x: x[which], (keys, positions))
    found = dealt((log_density, kernel), *filled)
    return jax.tree.map(lambda x: x[:count], found)


def _chain(plan: Any, log_density: Partial, kernel: Kernel, key: Array, position: Any) -> Run:
    num_warmup, num_samples, thin = plan
    start = kernel.init(position, log_density=log_density)
    move = partial(kernel.step, log_density=log_density, num_warmup=num_warmup)
    _, shapes = jax.eval_shape(move, key, start)
    kept = (start.position, start.log_density, shapes)
    rows = jax.tree.map(lambda x: jnp.zeros((num_samples, *x.shape), x.dtype), kept)

    def transition(key: Array, carry: Any) -> tuple[Any, None]:
        state, rows, num_divergent, t = carry
        state, info = move(key, state)
        # The last of thin transitions overwrites those before it, and the first draw the warm-up.
        place = jnp.maximum((t - num_warmup) // thin, 0)
        now = (state.position, state.log_density, info)
        rows = jax.tree.map(lambda row, x: row.at[place].set(x), rows, now)
        is_counted = (t >= num_warmup) & getattr(info, "is_divergent", False)
        return (state, rows, num_divergent + is_counted.astype(jnp.int32), t + 1), None

    begin = (start, rows, jnp.int32(0), jnp.int32(0))
    total = num_warmup + num_samples * thin
    (state, rows, num_divergent, _), _ = loop.scan(transition, begin, key=key, num_steps=total)
    draws, values, info = rows
    return Run(draws, values, info, num_divergent, state)
