"""Continuous flow: a point follows a field that a network gives, from time 0 to 1.

    dx/dt = f(t, x; θ),    y = x(1)
    log|det ∂y/∂x| = ∫ tr(∂f/∂x) dt,    tr J = E εᵀJε where ε is ±1 at random (Hutchinson)

The inverse follows the field back. The trace is exact, in d products with the Jacobian, or an
average over a few probes ε that a path keeps; their keys are a part of the parameters, so that
forward and inverse agree, and a fit renews them in each step.

Source: Chen, Rubanova, Bettencourt & Duvenaud (2018), *Neural Ordinary Differential Equations*,
theorem 1; Grathwohl et al. (2019), *FFJORD*, eq. 4-8; Hutchinson (1990), *Communications in
Statistics* 19(2).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.ode import dopri5
from mastery_jax.probability.flows import conditioner
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Params", "forward", "init", "inverse"]

Adjoint = Literal["direct", "backsolve", "forward"]


class Params(NamedTuple):
    """One flow."""

    network: Any  # nested dict of arrays, of (x, t, context)
    probes: Frozen | None  # keys, one for each probe of the trace; None where it is exact


@partial(jax.jit, static_argnames=("dim", "widths", "num_probes", "context_dim"))
@checked
def init(
    key: Key[Array, ""],
    *,
    dim: int,
    widths: tuple[int, ...],
    num_probes: int = 0,
    context_dim: int = 0,
    scale: Scalar = 0.0,
) -> Params:
    """Draw the network of the field at random. O(number of its weights).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point. Static.
        widths: Units of each hidden layer. Static.
        num_probes: Probes of the trace; 0 computes it exactly, d products with the Jacobian a
            call. Static.
        context_dim: Numbers of the context; 0 where there is none. Static.
        scale: Size of the last layer's weights; 0 gives the identity. Its dtype is that of the
            flow.

    Raises:
        ValueError: ``num_probes`` is less than 0.
    """
    if num_probes < 0:
        raise ValueError(f"continuous.init: num_probes is {num_probes}, not at least 0")
    network_key, probe_key = jax.random.split(key)
    network = conditioner.draw(network_key, (dim + 1 + context_dim, *widths, dim), scale)
    keys = Frozen(jax.random.split(probe_key, num_probes)) if num_probes else None
    return Params(network, keys)


@partial(jax.jit, static_argnames=("max_steps", "adjoint"))
@checked
def forward(
    params: Params,
    x: Float[Array, " d"],
    *,
    context: Float[Array, " c"] | None = None,
    rtol: Scalar = 1e-6,
    atol: Scalar = 1e-6,
    max_steps: int = 256,
    adjoint: Adjoint = "direct",
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Costs six calls of the field a step, with d or ``num_probes`` products with its Jacobian each.

    Args:
        params: From :func:`init`.
        x: One point; ``vmap`` takes many, and steps until the slowest has arrived.
        context: What else the field depends on, of the size that ``init`` was told.
        rtol: Error a step may make, as a part of the point and of the log det; > 0. Traced.
        atol: Error it may make besides, unit of x; > 0. Traced.
        max_steps: Steps that may be tried. Static.
        adjoint: How derivatives are taken, as in ``ode.dopri5``: ``direct`` and ``backsolve`` in
            reverse mode, ``forward`` in forward mode. Static.

    Returns:
        Both, wrong by about the tolerance; NaN where ``max_steps`` did not suffice, or the field
        was not finite.

    Raises:
        ValueError: ``params`` were made for another number of coordinates, or another context.

    Example:
        >>> params = init(jax.random.key(0), dim=2, widths=(8,), scale=1.0)
        >>> y, log_det = forward(params, jnp.array([1.0, 2.0]))
        >>> inverse(params, y)[0].round(3)
        Array([1., 2.], dtype=float32)
    """
    options = {"rtol": rtol, "atol": atol, "max_steps": max_steps, "adjoint": adjoint}
    return _follow(params, x, context, (0.0, 1.0), options)


@partial(jax.jit, static_argnames=("max_steps", "adjoint"))
@checked
def inverse(
    params: Params,
    y: Float[Array, " d"],
    *,
    context: Float[Array, " c"] | None = None,
    rtol: Scalar = 1e-6,
    atol: Scalar = 1e-6,
    max_steps: int = 256,
    adjoint: Adjoint = "direct",
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats, at the cost of a forward.

    Args:
        params: As in :func:`forward`, and likewise all that follows.
        y: One point.
        context: As in :func:`forward`.
        rtol: As in :func:`forward`.
        atol: As in :func:`forward`.
        max_steps: As in :func:`forward`.
        adjoint: As in :func:`forward`.

    Returns:
        As :func:`forward`.
    """
    options = {"rtol": rtol, "atol": atol, "max_steps": max_steps, "adjoint": adjoint}
    return _follow(params, y, context, (1.0, 0.0), options)


def _follow(
    params: Params, x: Any, context: Any, times: tuple[float, float], options: Any
) -> tuple[Any, Any]:
    probes = jnp.eye(x.size, dtype=x.dtype)
    if params.probes is not None:
        draw = partial(jax.random.rademacher, shape=x.shape, dtype=x.dtype)
        probes = jax.vmap(draw)(params.probes.value) / params.probes.value.shape[0] ** 0.5
    field = Partial(_field, params.network, context, probes)
    start = jnp.append(x, jnp.zeros((), x.dtype))
    ys, _ = dopri5.solve(field, start, jnp.array(times, x.dtype), **options)
    return ys[-1, :-1], ys[-1, -1]


def _field(network: Any, context: Any, probes: Any, t: Any, state: Any) -> Any:
    """Return dx/dt, and the sum of εᵀJε: over a basis it is the trace."""
    seen = conditioner.join(t[None], context)

    def slope(x: Any) -> Any:
        return conditioner.apply("continuous", network, x, seen, x.size)

    velocity, push = jax.linearize(slope, state[:-1])
    trace = (jax.vmap(push)(probes) * probes).sum()
    return jnp.append(velocity, trace)
