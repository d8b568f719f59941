"""Minimization by any optax rule: follow the gradient until it vanishes, or the budget is spent.

    x ← x + rule(∇f(x))    until max|∇f(x)| ≤ gtol

At a minimum ∇f(x*, θ) = 0 whatever the rule, so that x* moves with the data θ of f by

    ∂x*/∂θ = −(∇²f)⁻¹ ∂∇f/∂θ

and that is its derivative here, by conjugate gradients on products with the Hessian.

Source: Nocedal & Wright (2006), *Numerical Optimization*, sections 2.2 and 5.1; the derivative:
Krantz & Parks (2013), *The Implicit Function Theorem*, theorem 3.3.1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import report

__all__ = ["minimize"]


class _State(NamedTuple):
    x: Any
    opt_state: Any
    num_moves: Int[Array, ""]
    has_moved: Bool[Array, ""]
    step: Array  # largest entry of the last update


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def minimize(
    fn: Partial,
    x: Any,
    *,
    rule: Partial,
    max_steps: int,
    gtol: Scalar = 1e-6,
    xtol: Scalar = 0.0,
) -> tuple[Any, report.Info]:
    """Follow an optimizer downhill. O(1) gradients a step.

    Differentiable in both modes with respect to the data in ``fn``, at a minimum with a positive
    definite Hessian; where the status is not CONVERGED the derivative means nothing. The start, the
    rule and the tolerances have derivative 0.

    Args:
        fn: ``fn(x) -> value``, a number; smooth. Its code is static, the data in it traced.
        x: Where to start: any tree of float arrays, of one dtype.
        rule: Called without arguments it returns an optax ``GradientTransformation``; from
            ``optimizers.make``, or ``Partial(optax.adam, learning_rate=0.1)``. Traced numbers:
            sweep them with ``vmap``.
        max_steps: Steps at most, at least 1. Static.
        gtol: Stop when no entry of the gradient is larger; unit of the value per unit of x.
        xtol: Stop when no entry of x has moved by more than this share of 1 + max|x|.

    Returns:
        The last x, and ``report.Info`` there. CONVERGED by ``gtol``; STALLED by ``xtol`` before
        that, as by a rate that is too small; OUT_OF_STEPS; NOT_FINITE where the value or a gradient
        is NaN; DIVERGED where the value is infinite, or x has grown by 1/eps; BAD_INPUT where the
        first two steps have length 0 (a learning rate of 0).

    Raises:
        ValueError: ``max_steps`` is not at least 1.

    Example:
        >>> bowl = Partial(lambda center, x: ((x - center) ** 2).sum(), jnp.array([1.0, 2.0]))
        >>> rule = Partial(optax.sgd, learning_rate=0.3)
        >>> x, info = minimize(bowl, jnp.zeros(2), rule=rule, max_steps=100)
        >>> x.round(4), bool(info.is_done)
        (Array([1., 2.], dtype=float32), True)
    """
    if max_steps < 1:
        raise ValueError(f"descent.minimize: max_steps is {max_steps}, not at least 1")
    dtype = jnp.result_type(*jax.tree.leaves(x))
    rule, gtol, xtol = jax.tree.map(lambda number: jnp.asarray(number, dtype), (rule, gtol, xtol))
    hyper = {"fn": fn, "rule": rule, "max_steps": max_steps, "gtol": gtol, "xtol": xtol}
    far = (1 + _largest(x)) / jnp.finfo(dtype).eps

    def solve(_: Any, x: Any) -> tuple[Any, Any]:
        nought = jnp.zeros((), jnp.int32)
        state = _State(x, rule().init(x), nought, nought > 0, jnp.asarray(jnp.inf, dtype))
        state, verdict, num_evals = loop.until(
            partial(_step, far=far, **hyper), state, max_steps=max_steps + 1
        )
        counts = (verdict.status, state.num_moves, num_evals)
        return state.x, jax.tree.map(lambda count: count.astype(dtype), counts)  # no tangents

    x, counts = jax.lax.custom_root(jax.grad(fn), x, solve, _solve_linear, has_aux=True)
    status, num_steps, num_evals = (count.astype(jnp.int32) for count in counts)
    value, grads = jax.value_and_grad(fn)(x)
    return x, report.Info(
        value=value,
        gradient_norm=jax.lax.stop_gradient(_largest(grads)),
        num_steps=num_steps,
        num_evals=num_evals,
        status=status,
        is_done=status == Status.CONVERGED,
    )


def _step(
    state: _State,
    *,
    fn: Partial,
    rule: Partial,
    max_steps: int,
    gtol: Array,
    xtol: Array,
    far: Array,
) -> tuple[_State, _Verdict]:
    """Judge x, and move on unless that ends the search."""
    x, engine = state.x, optax.with_extra_args_support(rule())
    value, grads = jax.value_and_grad(fn)(x)
    gradient_norm, size = _largest(grads), _largest(x)
    is_small = state.has_moved & (state.step <= xtol * (1 + size))
    status = jnp.asarray(Status.RUNNING, jnp.int32)
    for is_so, meaning in (
        (state.num_moves == max_steps, Status.OUT_OF_STEPS),
        (is_small, Status.STALLED),
        ((state.num_moves == 2) & ~state.has_moved, Status.BAD_INPUT),
        (gradient_norm <= gtol, Status.CONVERGED),
        (jnp.isinf(value) | (size > far), Status.DIVERGED),
        (jnp.isnan(value + gradient_norm + size), Status.NOT_FINITE),
    ):
        status = jnp.where(is_so, meaning, status)
    is_done = status != Status.RUNNING
    updates, opt_state = engine.update(
        grads, state.opt_state, x, value=value, grad=grads, value_fn=fn
    )
    moved = _State(
        x=optax.apply_updates(x, updates),
        opt_state=opt_state,
        num_moves=state.num_moves + 1,
        has_moved=state.has_moved | (_largest(updates) > 0),
        step=_largest(updates),
    )
    return jax.tree.map(partial(jnp.where, is_done), state, moved), _Verdict(is_done, status)


def _solve_linear(hessian: Any, target: Any) -> Any:
    eps = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(target))).eps)

    def solve(product: Any, target: Any) -> Any:
        return cg(product, target, tol=eps)[0]

    # Of this solve alone the transpose is known to be itself, whatever is batched around it.
    return jax.lax.custom_linear_solve(hessian, target, solve, symmetric=True)


def _largest(tree: Any) -> Array:
    """Return the largest absolute entry; NaN where there is one."""
    return jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(tree)]).max()
