"""Training by stochastic gradients: one optimizer step, as a pure function, on optax.

    grads = ∂ loss(params) / ∂ params,    params ← params + optimizer(grads)

The optimizer is a ``Partial`` of any optax constructor: its code is static and its learning rate
traced, so that one compiled step serves every learning rate, and ``vmap`` runs many at once.

Source: Kingma & Ba (2015), *Adam*, algorithm 1; Loshchilov & Hutter (2019), *Decoupled Weight
Decay Regularization*, algorithm 2 (adamw).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked

__all__ = ["Info", "Kind", "State", "init", "minibatch", "optimizer", "step"]

Kind = Literal["adam", "adamw", "sgd"]


class State(NamedTuple):
    """A network in training; nested dicts and tuples of arrays."""

    params: Any  # what is trained
    statistics: Any  # what the network keeps besides (BatchNorm's means); often empty
    opt_state: Any  # moments of the gradients, by optax


class Info(NamedTuple):
    """What one step tells about itself."""

    loss: Float[Array, ""]  # on this batch, before the step; unit of the loss
    grad_norm: Float[Array, ""]  # Euclidean, over all params


@jax.jit
@checked
def init(params: Any, statistics: Any, *, optimizer: Partial) -> State:
    """Return the state before the first step.

    Args:
        params: Nested dict of arrays, of one dtype.
        statistics: Second result of the network's ``init``.
        optimizer: As in :func:`step`.
    """
    opt_state = _cast(optimizer, params)().init(params)
    return State(params=params, statistics=statistics, opt_state=opt_state)


@jax.jit
@checked
def step(
    key: Key[Array, ""], state: State, batch: Any, *, loss: Partial, optimizer: Partial
) -> tuple[State, Info]:
    """Move the parameters once, against the gradient of the loss on one batch.

    Args:
        key: Given to ``loss`` (dropout).
        state: From :func:`init` or the step before, with the same optimizer.
        batch: Given to ``loss``.
        loss: ``loss(key, params, statistics, batch) -> (loss, statistics)``.
        optimizer: Called without arguments it returns an optax ``GradientTransformation``; from
            :func:`optimizer`, or ``Partial(optax.lion, learning_rate=1e-4)``.

    Returns:
        The next state. Where the loss is not finite neither are its params: test
        ``jnp.isfinite(info.loss)``.
    """
    value_and_grad = jax.value_and_grad(
        lambda params: loss(key, params, state.statistics, batch), has_aux=True
    )
    (value, statistics), grads = value_and_grad(state.params)
    rule = _cast(optimizer, state.params)()
    updates, opt_state = rule.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    info = Info(loss=value, grad_norm=optax.tree.norm(grads))
    return State(params=params, statistics=statistics, opt_state=opt_state), info


@partial(jax.jit, static_argnames=("size",))
@checked
def minibatch(key: Key[Array, ""], data: Any, *, size: int) -> Any:
    """Draw ``size`` rows with replacement, the same rows of every leaf.

    Args:
        key: Consumed.
        data: A pytree of arrays with a common leading axis, one row per sample.
        size: Number of rows to draw.
    """
    num_rows = jax.tree.leaves(data)[0].shape[0]
    rows = jax.random.randint(key, (size,), 0, num_rows)
    return jax.tree.map(lambda leaf: leaf[rows], data)


def optimizer(kind: Kind, *, learning_rate: Scalar, weight_decay: Scalar = 0.0) -> Partial:
    """Return an optimizer for :func:`init` and :func:`step`, by name.

    Args:
        kind: ``adamw`` takes ``weight_decay`` from the weights themselves, ``adam`` and ``sgd``
            add it to the gradient (a penalty weight_decay/2 |params|² in the loss).
        learning_rate: Size of a step, > 0. Traced.
        weight_decay: At least 0. Traced.

    Raises:
        ValueError: ``kind`` is not one of those.
    """
    if kind not in _RULES:
        raise ValueError(f"training.optimizer: kind is {kind!r}, not one of {sorted(_RULES)}")
    return Partial(_RULES[kind], learning_rate=learning_rate, weight_decay=weight_decay)


def _adam(*, learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate))


def _adamw(*, learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
    return optax.adamw(learning_rate, weight_decay=weight_decay)


def _sgd(*, learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate))


_RULES = {"adam": _adam, "adamw": _adamw, "sgd": _sgd}


def _cast(optimizer: Partial, params: Any) -> Partial:
    """Give the numbers of an optimizer the dtype of what they move."""
    dtype = jnp.result_type(*jax.tree.leaves(params))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), optimizer)
