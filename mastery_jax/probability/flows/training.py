"""The two searches of ``fit``: through rows in epochs, and along samples in steps.

Both follow any optax rule, end early, and never move on from what is not finite.

Source: Goodfellow, Bengio & Courville (2016), *Deep Learning*, sections 8.1.3 (minibatches) and 7.8
(early stopping).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mastery_jax.core import loop
from mastery_jax.core.status import Status

__all__ = ["Plan", "Run", "Walk", "cast", "epochs", "steps"]


class Plan(NamedTuple):
    """The sizes of a search through rows."""

    num_epochs: int
    batch_size: int
    patience: int


class Run(NamedTuple):
    """A search through rows."""

    trained: Any
    opt_state: Any
    best: Any
    best_loss: Any
    best_epoch: Any
    num_epochs: Any
    train_losses: Any
    valid_losses: Any


class Walk(NamedTuple):
    """A search along samples."""

    trained: Any
    opt_state: Any
    num_steps: Any
    losses: Any


class _End(NamedTuple):
    status: Any
    is_done: Any  # the loop ends


def cast(numbers: Any, dtype: Any) -> Any:
    """Return the numbers of a rule in the dtype of what it moves."""
    return jax.tree.map(lambda number: jnp.asarray(number, dtype), numbers)


def epochs(
    key: Any, loss: Callable[..., Any], rule: Any, start: Any, rows: Any, valid: Any, plan: Plan
) -> tuple[Run, Any]:
    """Lower ``loss(trained, key, *rows)``; return the search and its status.

    Args:
        key: Consumed.
        loss: The mean over rows.
        rule: As in ``fit``.
        start: What is trained.
        rows: A tree of arrays with one leading axis.
        valid: Likewise; its loss decides.
        plan: How many.
    """
    begin = loss(start, key, *valid)
    nought = jnp.zeros((), jnp.int32)
    blank = jnp.full(plan.num_epochs, jnp.nan, begin.dtype)
    run = Run(
        trained=start,
        opt_state=rule().init(start),
        best=start,
        best_loss=jnp.where(jnp.isfinite(begin), begin, jnp.inf),
        best_epoch=nought,
        num_epochs=nought,
        train_losses=blank,
        valid_losses=jnp.append(begin, blank),
    )
    step = partial(_epoch, key=key, loss=loss, rule=rule, rows=rows, valid=valid, plan=plan)
    run, end, _ = loop.until(step, run, max_steps=plan.num_epochs)
    return run, _status(end)


def _epoch(
    run: Run, *, key: Any, loss: Callable[..., Any], rule: Any, rows: Any, valid: Any, plan: Plan
) -> tuple[Run, _End]:
    """Go once through the rows, and judge what came of it."""
    order_key, noise_key = jax.random.split(jax.random.fold_in(key, run.num_epochs))
    num_rows = jax.tree.leaves(rows)[0].shape[0]
    num_batches = num_rows // plan.batch_size
    order = jax.random.permutation(order_key, num_rows)[: num_batches * plan.batch_size]

    def step(key, reached, index):
        trained, opt_state = reached
        batch = jax.tree.map(lambda leaf: leaf[index], rows)
        objective = partial(loss, key=key, X=batch[0], context=batch[1])
        value, grads = jax.value_and_grad(objective)(trained)
        return _move(rule, objective, value, grads, trained, opt_state), value

    (trained, opt_state), values = loop.scan(
        step, (run.trained, run.opt_state), order.reshape(num_batches, -1), key=noise_key
    )
    valid_loss, train_loss = loss(trained, noise_key, *valid), values.mean()
    count, is_better = run.num_epochs + 1, valid_loss < run.best_loss
    run = Run(
        trained=trained,
        opt_state=opt_state,
        best=jax.tree.map(partial(jnp.where, is_better), trained, run.best),
        best_loss=jnp.where(is_better, valid_loss, run.best_loss),
        best_epoch=jnp.where(is_better, count, run.best_epoch),
        num_epochs=count,
        train_losses=run.train_losses.at[count - 1].set(train_loss),
        valid_losses=run.valid_losses.at[count].set(valid_loss),
    )
    is_lost, is_late = (
        ~jnp.isfinite(train_loss + valid_loss),
        count - run.best_epoch >= plan.patience,
    )
    return run, _end(is_lost, is_late)


def steps(
    key: Any, gaps: Callable[..., Any], rule: Any, start: Any, spread: Any, num_steps: int
) -> tuple[Walk, Any]:
    """Lower the mean of ``gaps(key, trained)`` until they are alike; return the search and status.

    Args:
        key: Consumed.
        gaps: Numbers, one for each sample; all equal at the optimum.
        rule: As in ``fit``.
        start: What is trained.
        spread: The standard deviation of the gaps that ends the search.
        num_steps: At most.
    """
    blank = jnp.full(num_steps, jnp.nan, spread.dtype)
    walk = Walk(start, rule().init(start), jnp.zeros((), jnp.int32), blank)
    step = partial(_step, key=key, gaps=gaps, rule=rule, spread=spread)
    walk, end, _ = loop.until(step, walk, max_steps=num_steps)
    return walk, _status(end)


def _step(
    walk: Walk, *, key: Any, gaps: Callable[..., Any], rule: Any, spread: Any
) -> tuple[Walk, _End]:
    """Take one step, unless what it starts from is good enough, or lost."""
    own_key = jax.random.fold_in(key, walk.num_steps)

    def measure(trained):
        found = gaps(own_key, trained)
        return found.mean(), found.std()

    (value, width), grads = jax.value_and_grad(measure, has_aux=True)(walk.trained)
    are_finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((value, grads))]
    is_lost = ~jnp.stack(are_finite).all()
    end = _end(is_lost, width <= spread)
    moved = _move(rule, lambda x: measure(x)[0], value, grads, walk.trained, walk.opt_state)
    trained, opt_state = jax.tree.map(
        partial(jnp.where, end.is_done), (walk.trained, walk.opt_state), moved
    )
    losses = walk.losses.at[walk.num_steps].set(value)
    return Walk(trained, opt_state, walk.num_steps + 1, losses), end


def _move(
    rule: Any, objective: Callable[..., Any], value: Any, grads: Any, trained: Any, opt_state: Any
) -> tuple[Any, Any]:
    engine = optax.with_extra_args_support(rule())
    updates, opt_state = engine.update(
        grads, opt_state, trained, value=value, grad=grads, value_fn=objective
    )
    return optax.apply_updates(trained, updates), opt_state


def _end(is_lost: Any, is_good: Any) -> _End:
    status = jnp.where(is_lost, Status.NOT_FINITE, Status.CONVERGED)
    return _End(status.astype(jnp.int32), is_lost | is_good)


def _status(end: _End) -> Any:
    return jnp.where(end.is_done, end.status, Status.OUT_OF_STEPS).astype(jnp.int32)
