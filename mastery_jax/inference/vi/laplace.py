"""Laplace's approximation: the normal at the mode, with the curvature there.

    m = argmax log p,   Λ = −∇² log p(m),   q = N(m, Λ⁻¹)
    log ∫ p ≈ log p(m) + d/2 log 2π − log |Λ| / 2

Exact where log p is quadratic. A posterior at a bound, or with several modes, is not: see
``trust``.

Source: Tierney & Kadane (1986), *JASA* 81, 82; MacKay (2003), *Information Theory, Inference, and
Learning Algorithms*, chapter 27.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference import vector
from mastery_jax.inference.vi import full_rank
from mastery_jax.numerics.optimize import lbfgs, report

__all__ = ["NEAR", "Info", "fit"]

NEAR = 0.1
"""How far from the mode the normal may be, in its own standard deviations."""


class Info(NamedTuple):
    """What was found at the mode."""

    log_evidence: Float[Array, ""]  # log ∫ p, nats
    search: report.Info  # for the mode, of −log p
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    position: Any, *, log_density: Partial, gtol: Scalar = 1e-4, max_steps: int = 200
) -> tuple[full_rank.Params, Info]:
    """Find the mode, and the normal there. O(d) gradients and O(d³) at the end.

    Args:
        position: Where to start: any tree of floats of one dtype.
        log_density: ``position -> nats``, up to a constant; twice differentiable.
        gtol: The mode is found when no entry of the gradient is larger; nats per unit.
        max_steps: Steps of L-BFGS at most. Static.

    Returns:
        A normal for ``full_rank``, and Info: CONVERGED; SINGULAR, with NaN in the covariance, where
        the curvature at the end is not that of a mode; STALLED where by that curvature the mode is
        farther than ``NEAR``: ``gtol`` is then too large for the unit; else as the search ended.

    Raises:
        ValueError: the density is not one number, or ``max_steps`` < 1.

    Example:
        >>> bell = Partial(lambda x: -2 * ((x["a"] - 3) ** 2).sum())
        >>> params, info = fit({"a": jnp.zeros(1)}, log_density=bell)
        >>> params.mean["a"], jnp.exp(params.log_factor), info.log_evidence.round(4)
        (Array([3.], dtype=float32), Array([[0.5]], dtype=float32), Array(0.2258, dtype=float32))
    """
    u, back = vector.flat("laplace.fit", position)
    fn = Partial(_negative, log_density, position)
    vector.refuse("laplace.fit", log_density, position)
    mode, search = lbfgs.minimize(fn, u, gtol=gtol, max_steps=max_steps)
    with jax.default_matmul_precision("highest"):
        precision = jax.hessian(fn)(mode)
        # With rows and columns turned over, the inverse of the factor is lower triangular again.
        root = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
        factor = solve_triangular(root, jnp.eye(u.size, dtype=u.dtype), lower=False).T
    factor = jnp.tril(factor)
    log_evidence = -search.value + jnp.log(jnp.diagonal(factor)).sum()
    log_evidence = log_evidence + u.size / 2 * math.log(2 * math.pi)
    away = jnp.sqrt(((jax.grad(fn)(mode) @ factor) ** 2).sum())  # standard deviations, to the mode
    status = jnp.where(away > NEAR, Status.STALLED, Status.CONVERGED)
    status = jnp.where(jnp.isfinite(factor).all(), status, Status.SINGULAR)
    status = jnp.where(search.is_done, status, search.status).astype(jnp.int32)
    params = full_rank.from_factor(back(mode), factor)
    return params, Info(log_evidence, search, status, status == Status.CONVERGED)


def _negative(log_density: Partial, like: Any, u: Array) -> Array:
    return -vector.value_at("laplace.fit", log_density, vector.flat("laplace.fit", like)[1](u))
