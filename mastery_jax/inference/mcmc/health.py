"""A verdict on a set of chains, chain by chain: what is wrong with one is never averaged away.

A chain is stuck where a coordinate never changed, or where all stood still for a good part of its
draws in a row, at its end or before; frozen where its step size has collapsed; a draw
is lost where it or its log density is not finite; a divergence means that the chain did not follow
the target where it was. Only after that do R-hat and the effective sample sizes mean anything.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), *Bayesian Analysis* 16, 667 (the
limits of R-hat and ESS); Betancourt (2017), arXiv:1701.02434, section 6.2 (divergences).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import diagnostics

__all__ = ["Verdict", "judge"]


class Verdict(NamedTuple):
    """What is wrong, and with which chain or coordinate."""

    status: Int[Array, ""]  # the worst of what follows
    num_lost: Int[Array, " chain"]  # draws that, or whose log density, are not finite
    num_constant: Int[Array, " chain"]  # coordinates that never changed
    longest_still: Int[Array, " chain"]  # draws in a row that are equal in all coordinates
    is_frozen: Bool[Array, " chain"]  # the step size is below its least, or not finite
    num_divergent: Int[Array, " chain"]
    rhat: Float[Array, " d"]  # NaN where it says nothing
    ess_bulk: Float[Array, " d"]
    ess_tail: Float[Array, " d"]
    is_poor: Bool[Array, " d"]  # R-hat is too high, an ESS too low, or either says nothing


@jax.jit
@checked
def judge(
    draws: Any,
    *,
    log_density: Float[Array, "chain draw"] | None = None,
    num_divergent: Int[Array, " chain"] | None = None,
    step_size: Float[Array, " chain"] | None = None,
    max_rhat: Scalar = 1.01,
    min_ess: Scalar = 400.0,
    min_step_size: Scalar = 1e-6,
    max_divergent: Scalar = 0.0,
    max_still: Scalar = 0.25,
) -> Verdict:
    """Say whether chains can be trusted, and if not, which and why. O(S log S) a coordinate.

    Args:
        draws: A pytree of draws, each leaf (chain, draw, ...), at least 4 a chain.
        log_density: Of every draw, in nats.
        num_divergent: Of each chain after its warm-up.
        step_size: With which each chain ended.
        max_rhat: Above it chains do not agree. Traced.
        min_ess: Bulk and tail, of all chains together. Traced.
        min_step_size: Below it a chain is frozen, in units of the position over its factor.
            Traced.
        max_divergent: Divergences, of all chains, that are put up with. Traced.
        max_still: Part of a chain that may be one draw, over and over, in a row. Few draws of a
            kernel that seldom accepts may be more, and so may positions of few values. Traced.

    Returns:
        The first of: NOT_FINITE, a draw is lost; STALLED, a chain is stuck or frozen; DIVERGED,
        there are too many divergences; OUT_OF_STEPS, some coordinate is poor; CONVERGED.

    Raises:
        ValueError: the leaves do not share their chains and draws, or there are too few.

    Example:
        >>> draws = jax.random.normal(jax.random.key(0), (4, 500, 2))
        >>> Status(int(judge(draws).status)).name
        'CONVERGED'
        >>> stuck = judge(draws.at[2, :, 1].set(0.5))
        >>> Status(int(stuck.status)).name, stuck.num_constant
        ('STALLED', Array([0, 0, 1, 0], dtype=int32))
        >>> stuck = judge(draws.at[2, 10:].set(0.5))
        >>> Status(int(stuck.status)).name, stuck.longest_still
        ('STALLED', Array([  1,   1, 490,   1], dtype=int32))
    """
    rows = _rows(draws)
    lost = ~jnp.isfinite(rows).all(axis=2)
    if log_density is not None:
        if log_density.shape != rows.shape[:2]:
            raise ValueError(
                f"health.judge: log_density has shape {log_density.shape}, not {rows.shape[:2]}"
            )
        lost = lost | ~jnp.isfinite(log_density)
    none = jnp.zeros(rows.shape[0], jnp.int32)
    for name, given in (("num_divergent", num_divergent), ("step_size", step_size)):
        if given is not None and given.shape != none.shape:
            raise ValueError(f"health.judge: {name} has shape {given.shape}, not {none.shape}")
    divergent = none if num_divergent is None else num_divergent
    is_frozen = none > 0 if step_size is None else ~(step_size >= min_step_size)
    is_frozen = is_frozen if step_size is None else is_frozen | ~jnp.isfinite(step_size)
    num_constant = (rows.max(axis=1) == rows.min(axis=1)).sum(axis=1, dtype=jnp.int32)
    longest_still = _longest_still(rows)
    is_stuck = longest_still.astype(rows.dtype) > max_still * rows.shape[1]
    rhat = diagnostics.rhat(rows)
    bulk, tail = diagnostics.ess(rows), diagnostics.ess(rows, kind="tail")
    is_poor = ~((rhat <= max_rhat) & (bulk >= min_ess) & (tail >= min_ess))
    found = {
        Status.NOT_FINITE: lost.any(),
        Status.STALLED: (is_stuck | is_frozen | (num_constant > 0)).any(),
        Status.DIVERGED: divergent.sum().astype(rows.dtype) > max_divergent,
        Status.OUT_OF_STEPS: is_poor.any(),
    }
    return Verdict(
        status=jnp.select([*found.values()], [jnp.int32(s) for s in found], Status.CONVERGED),
        num_lost=lost.sum(axis=1, dtype=jnp.int32),
        num_constant=num_constant,
        longest_still=longest_still,
        is_frozen=is_frozen,
        num_divergent=divergent.astype(jnp.int32),
        rhat=rhat,
        ess_bulk=bulk,
        ess_tail=tail,
        is_poor=is_poor,
    )


def _longest_still(rows: Array) -> Array:
    """Return the most draws in a row, of each chain, that are equal."""
    places = jnp.arange(rows.shape[1], dtype=jnp.int32)[None, :]
    has_moved = (rows[:, 1:] != rows[:, :-1]).any(axis=2)
    begun = jnp.where(jnp.pad(has_moved, ((0, 0), (1, 0))), places, 0)
    return (places - jax.lax.cummax(begun, axis=1)).max(axis=1) + 1


def _rows(draws: Any) -> Array:
    """Return all coordinates as (chain, draw, d)."""
    leaves = jax.tree.leaves(draws)
    heads = {jnp.shape(leaf)[:2] for leaf in leaves}
    head = next(iter(heads), ())
    if len(heads) != 1 or len(head) != 2 or head[1] < 4:
        raise ValueError(
            f"health.judge: draws have leading axes {sorted(heads)}, not of chains and at least 4 "
            "draws"
        )
    vector.flat("health.judge", draws)
    rows = jnp.concatenate([leaf.reshape(*head, -1) for leaf in leaves], axis=2)
    return vector.native(rows)
