"""Dormand and Prince's pair of orders 5 and 4, for equations that are not stiff.

    k_i = f(t + c_i h, y + h Σ_j<i a_ij k_j),  i = 1 … 7
    y' = y + h Σ b_i k_i,    error = h Σ (b_i − b̂_i) k_i

The last slope is the first one of the next step. Between, the state is a polynomial of degree 4,
wrong by O(h^5) as the states themselves are.

Source: Dormand & Prince (1980), *Journal of Computational and Applied Mathematics* 6; the
polynomial: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, II.6.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.ode import adaptive, trajectory

__all__ = ["METHOD", "solve"]

_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_WEIGHTS = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_ERRORS = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_BETWEEN = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


@partial(jax.jit, static_argnames=("max_steps", "adjoint"))
@checked
def solve(
    field: Partial,
    y: Float[Array, "*state"],
    times: Float[Array, " time"],
    *,
    rtol: Scalar = 1e-4,
    atol: Scalar | Float[Array, "*state"] = 1e-6,
    max_step_size: Scalar = math.inf,
    max_steps: int = 4096,
    adjoint: Literal["direct", "backsolve", "forward"] = "direct",
) -> tuple[Float[Array, "time *state"], adaptive.Info]:
    """Follow a field through given times, in steps that suit it. O(steps), six calls of it each.

    Args:
        field: f(t, y), of the shape of y; its data goes into the ``Partial``.
        y: The state at the first time, of any shape.
        times: Rising, or falling: then time runs back.
        rtol: Error a step may make, as a part of |y|; > 0. Traced.
        atol: Error it may make besides, unit of y; one number, or one for each of y; > 0. Traced.
        max_step_size: What no step may be longer than, unit of time: a pulse that is shorter than a
            step may be passed unseen. > 0. Traced.
        max_steps: Steps that may be tried, in all. Reverse mode by ``direct`` reserves memory for
            as many states. Static.
        adjoint: What a derivative is. ``direct``: reverse mode through the steps that were taken,
            their lengths held. ``backsolve``: reverse mode by the continuous adjoint, solved back
            to the same tolerance (the least of ``atol`` for what is not y), in memory that steps
            do not fill. ``forward``: forward mode
            (``jax.jvp``, ``jax.jacfwd``), which the others have not. Static.

    Returns:
        The state at every time, the first being ``y``; and ``Info``. Unless its status is
        CONVERGED, times that were not reached have NaN, and so has every slope: OUT_OF_STEPS;
        STALLED, where the step falls below what time can resolve, as before a pole; NOT_FINITE;
        BAD_INPUT, where times turn, or something given is not finite, or not positive.

    Raises:
        ValueError: there is no time, times are not of the dtype of y, max_steps is below 1, the
            adjoint is unknown, or the field returns what is not like y.

    Example:
        >>> import jax.numpy as jnp
        >>> decay = Partial(lambda rate, t, y: -rate * y, 2.0)
        >>> ys, info = solve(decay, jnp.array([1.0]), jnp.array([0.0, 0.5, 1.0]))
        >>> round(float(ys[2, 0]), 3), int(info.num_steps)
        (0.135, 6)
    """
    options = trajectory.Options("dopri5.solve", METHOD, max_steps, adjoint)
    tolerance = adaptive.tolerance(y, rtol, atol, max_step_size)
    return trajectory.follow(options, field, y, times, tolerance)


def _step(field: Any, t: Any, y: Any, slope: Any, step_size: Any) -> adaptive.Trial:
    slopes = [slope]
    for node, row in zip(_NODES, _STAGES, strict=True):
        slopes.append(field(t + node * step_size, y + step_size * _mix(row, slopes)))
    move = step_size * _mix(_WEIGHTS, slopes)
    after = y + move
    slopes.append(field(t + step_size, after))
    error = step_size * _mix(_ERRORS, slopes)
    # Hairer's r3, r4 and r5, and then the powers of s.
    bend = step_size * slope - move
    twist = move - step_size * slopes[-1] - bend
    last = step_size * _mix(_BETWEEN, slopes)
    coefs = (y, move + bend, twist + last - bend, -twist - 2 * last, last)
    return adaptive.Trial(y=after, error=error, slope=slopes[-1], coefs=coefs)


def _mix(weights: Sequence[float], slopes: Sequence[Any]) -> Any:
    return sum(w * k for w, k in zip(weights, slopes, strict=True) if w)


METHOD = adaptive.Method(step=_step, order=5, num_evals=6, takes_half=True)
