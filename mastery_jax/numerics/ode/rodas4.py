"""RODAS4, a Rosenbrock method of orders 4 and 3, for equations that are stiff.

    (I/(γ h) − ∂f/∂y) u_i = f(t + c_i h, y + Σ_j<i a_ij u_j) + Σ_j<i C_ij u_j / h + d_i h ∂f/∂t
    y' = y + Σ_j<5 a_5j u_j + u_5 + u_6,    error = u_6

It is L-stable: what decays faster than the step is damped at once. A step costs the Jacobian, by
forward mode, and one LU factorization; no iteration has to converge. Between, the state is a
polynomial of degree 3, wrong by O(h^4).

Source: Hairer & Wanner (1996), *Solving Ordinary Differential Equations II*, section IV.7 and its
code RODAS, method 1.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.ode import adaptive, trajectory

__all__ = ["METHOD", "solve"]

_GAMMA = 0.25
_NODES = (0.0, 0.386, 0.21, 0.63, 1.0, 1.0)
_SLANTS = (0.25, -0.1043, 0.1035, -0.03620000000000023, 0.0, 0.0)  # d, of ∂f/∂t
_STAGES = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.687886036105895),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.687886036105895, 1.0),
)
_COUPLINGS = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.7089089320616),
    (
        8.083246795921522,
        -7.981132988064893,
        -31.52159432874371,
        16.31930543123136,
        -6.058818238834054,
    ),
)
_BETWEEN = (
    (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823,
     1.025137723295662, 0.0),
    (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386,
     -6.594389125716872, 0.0),
)  # fmt: skip


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
    """Follow a stiff field through given times. O(steps n³), six calls and n tangents of it each.

    Args:
        field: f(t, y), of the shape of y, twice differentiable; its data goes into the ``Partial``.
        y: The state at the first time, of any shape; n numbers in all.
        times: Rising, or falling: then time runs back.
        rtol: Error a step may make, as a part of |y|; > 0. Traced.
        atol: Error it may make besides, unit of y; one number, or one for each of y; > 0. Traced.
        max_step_size: What no step may be longer than, unit of time: a pulse that is shorter than a
            step may be passed unseen. > 0. Traced.
        max_steps: Steps that may be tried, in all. Static.
        adjoint: As of ``dopri5``. ``backsolve`` is of little use here: what decays forwards grows
            backwards. Static.

    Returns:
        The state at every time, and ``Info``, as of ``dopri5``; ``num_evals`` leaves the tangents
        of the Jacobian out.

    Raises:
        ValueError: there is no time, times are not of the dtype of y, y has 16 bits, max_steps is
            below 1, the adjoint is unknown, or the field returns what is not like y.

    Example:
        >>> relax = Partial(lambda rate, t, y: -rate * (y - jnp.cos(t)), 1000.0)
        >>> ys, info = solve(relax, jnp.array([0.0]), jnp.array([0.0, 1.0]))
        >>> ys[1].round(3), bool(info.num_steps < 50)
        (Array([0.541], dtype=float32), True)
    """
    options = trajectory.Options("rodas4.solve", METHOD, max_steps, adjoint)
    tolerance = adaptive.tolerance(y, rtol, atol, max_step_size)
    return trajectory.follow(options, field, y, times, tolerance)


def _step(field: Any, t: Any, y: Any, slope: Any, step_size: Any) -> adaptive.Trial:
    shape = y.shape

    def flat(t: Any, x: Any) -> Any:
        return field(t, x.reshape(shape)).reshape(-1)

    x = y.reshape(-1)
    jacobian = jax.jacfwd(flat, argnums=1)(t, x)
    _, drift = jax.jvp(lambda t: flat(t, x), (t,), (jnp.ones_like(t),))
    # At h = 0 nothing moves; the matrix is then that of h = 1, and the parts are set to zero.
    is_still = step_size == 0
    h = jnp.where(is_still, 1, step_size)
    matrix = jnp.eye(len(x), dtype=x.dtype) / (_GAMMA * h) - jacobian
    factors = jax.scipy.linalg.lu_factor(matrix)
    parts: list[Any] = []
    for row, couplings, node, slant in zip(_STAGES, _COUPLINGS, _NODES, _SLANTS, strict=True):
        value = flat(t + node * h, x + _mix(row, parts)) if parts else slope.reshape(-1)
        rhs = value + _mix(couplings, parts) / h + slant * h * drift
        parts.append(jnp.where(is_still, 0, jax.scipy.linalg.lu_solve(factors, rhs)))
    # Of a step that is still, too, the end moves with its length.
    after = x + jnp.where(is_still, step_size * slope.reshape(-1), _mix((*_STAGES[-1], 1.0), parts))
    bend, twist = (_mix(weights, parts) for weights in _BETWEEN)
    coefs = (x, after - x + bend, twist - bend, -twist)
    end = t + step_size
    return adaptive.Trial(
        y=after.reshape(shape),
        error=parts[-1].reshape(shape),
        slope=flat(end, after).reshape(shape),
        coefs=tuple(coef.reshape(shape) for coef in coefs),
    )


def _mix(weights: Sequence[float], parts: Sequence[Any]) -> Any:
    return sum(w * u for w, u in zip(weights, parts, strict=True) if w)


METHOD = adaptive.Method(step=_step, order=4, num_evals=6, takes_half=False)
