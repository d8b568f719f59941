"""Bring a guide nearer to a posterior: climb the evidence lower bound, a few draws at a time.

    φ ← φ + rule(∂/∂φ  1/K Σ_k [log p(x_k) − log q(x_k)]),   x_k = x(ε_k, φ)

and return the mean of φ over the last quarter of the steps, which noise moves less than φ itself.
With rows in batches, log p(x) = log prior(x) + n/b Σ_{i in batch} log p(y_i | x): unbiased.

Source: Kingma & Welling (2014), *Auto-encoding variational Bayes*, ICLR, section 2.4; Hoffman,
Blei, Wang & Paisley (2013), *Stochastic variational inference*, JMLR 14, section 2.3; Polyak &
Juditsky (1992), *SIAM J. Control Optim.* 30(4), 838 (the mean).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference.vi import elbo, flow_guide

__all__ = ["Info", "Rows", "State", "Step", "fit", "init", "step"]


class Rows(NamedTuple):
    """Observations, of which each step sees a batch."""

    log_likelihood: Partial  # (position, row) -> nats
    data: Any  # a tree of arrays with a leading axis of rows


class State(NamedTuple):
    """Where the climb stands."""

    params: Any  # of the guide
    mean: Any  # of the params over the steps that count
    opt_state: Any
    num_steps: Int[Array, ""]
    num_counted: Int[Array, ""]  # steps that count


class Step(NamedTuple):
    """What one step tells about itself."""

    elbo: Float[Array, ""]  # the bound as estimated before it, nats
    is_lost: Bool[Array, ""]  # its gradient was not finite: it was not taken


class Info(NamedTuple):
    """How the climb went."""

    steps: Step  # of all, along a leading axis
    gain: Float[Array, ""]  # of the last quarter's mean bound over the quarter before it, nats
    gain_error: Float[Array, ""]  # its standard error
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@jax.jit
@checked
def init(params: Any, *, rule: Partial) -> State:
    """Return the start of a climb. O(1).

    Args:
        params: Of the guide.
        rule: Called without arguments it returns an optax ``GradientTransformation``; from
            ``optimizers.make``, or ``Partial(optax.adam, learning_rate=0.01)``. Traced numbers.
    """
    nought = jnp.zeros((), jnp.int32)
    return State(params, params, rule().init(params), nought, nought)


@partial(jax.jit, static_argnames=("guide", "num_draws", "batch_size", "is_stuck"))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    guide: elbo.Guide,
    log_density: Partial,
    rule: Partial,
    rows: Rows | None = None,
    is_counted: Bool[Array, ""] | bool = True,
    num_draws: int = 8,
    batch_size: int = 0,
    is_stuck: bool | None = None,
) -> tuple[State, Step]:
    """Take one step; arguments as of ``fit``. O(num_draws) gradients.

    Args:
        key: Consumed.
        state: Where the climb stands.
        guide: The family. Static.
        log_density: As ``fit``.
        rule: As ``fit``.
        rows: As ``fit``.
        is_counted: Whether the new params come into the mean.
        num_draws: As ``fit``. Static.
        batch_size: As ``fit``. Static.
        is_stuck: As ``fit``. Static.

    Returns:
        The new state, and what the step tells about itself.

    Raises:
        ValueError: a batch without rows, or rows without a batch or of no number.
    """
    _insist_on_a_batch("fit.step", rows, batch_size)
    if is_stuck is None:
        is_stuck = not isinstance(guide, flow_guide.Guide)
    draw_key, batch_key = jax.random.split(key)
    density = log_density
    if rows is not None:
        density = Partial(_batched, log_density, *_batch(batch_key, rows, batch_size))

    def loss(params: Any) -> Array:
        options = {"log_density": density, "num_draws": num_draws, "is_stuck": is_stuck}
        return -elbo.gains(draw_key, params, guide=guide, **options)[1].mean()

    value, grads = jax.value_and_grad(loss)(state.params)
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((value, grads))]
    is_lost = ~jnp.stack(finite).all()
    engine = optax.with_extra_args_support(rule())
    updates, opt_state = engine.update(
        grads, state.opt_state, state.params, value=value, grad=grads, value_fn=loss
    )
    params = optax.apply_updates(state.params, updates)
    params, opt_state = jax.tree.map(
        partial(jnp.where, is_lost), (state.params, state.opt_state), (params, opt_state)
    )
    count = state.num_counted + jnp.asarray(is_counted, jnp.int32)

    def averaged(mean: Array, new: Array) -> Array:
        share = 1 / jnp.maximum(count, 1).astype(new.dtype)
        return jnp.where(is_counted, mean + share * (new - mean), mean)

    mean = jax.tree.map(averaged, state.mean, params)
    return State(params, mean, opt_state, state.num_steps + 1, count), Step(-value, is_lost)


@partial(jax.jit, static_argnames=("guide", "num_steps", "num_draws", "batch_size", "is_stuck"))
@checked
def fit(
    key: Key[Array, ""],
    params: Any,
    *,
    guide: elbo.Guide,
    log_density: Partial,
    rule: Partial,
    rows: Rows | None = None,
    num_steps: int = 2000,
    num_draws: int = 8,
    batch_size: int = 0,
    is_stuck: bool | None = None,
) -> tuple[Any, Info]:
    """Climb ``num_steps`` steps. O(num_steps num_draws) gradients of the density.

    Other data of the same shapes compiles nothing. The answer has no derivative of its own worth
    having: differentiate the bound instead.

    Args:
        key: Consumed.
        params: Of the guide, to start from: ``guide.init``.
        guide: The family: a module such as ``mean_field``, or ``flow_guide.Guide``. Static.
        log_density: ``position -> nats``, up to a constant; with ``rows``, what does not come
            from them: the prior.
        rule: As ``init``. Rates that fall towards the end settle better.
        rows: Observations that each step sees a batch of, drawn with replacement.
        num_steps: Steps, at least 8. Static.
        num_draws: Draws of a step, at least 1. Static.
        batch_size: Rows of a batch, at least 1 where there are rows. Static.
        is_stuck: As ``elbo.gains``; where None, for all guides but flows: in single precision the
            inverse of a steep one is so far off that its slope leads astray. Static.

    Returns:
        The mean of the params over the last quarter, and Info. CONVERGED where the mean bound of
        the last quarter is no longer above that of the quarter before, by two standard errors;
        OUT_OF_STEPS where it still climbs; DIVERGED where it is below that of any quarter by ten
        standard errors; NOT_FINITE where a step of the last quarter was lost. Whether the guide is
        near enough to be trusted is another question: ``trust.assess``.

    Raises:
        ValueError: a count that is too small, a batch without rows, or rows without a batch or of
            no number.

    Example:
        >>> import optax
        >>> from mastery_jax.inference.vi import mean_field
        >>> bell = Partial(lambda x: -((x - 3) ** 2).sum() / 2)
        >>> start, rule = mean_field.init(jnp.zeros(2)), Partial(optax.sgd, learning_rate=0.1)
        >>> key = jax.random.key(0)
        >>> params, _ = fit(key, start, guide=mean_field, log_density=bell, rule=rule)
        >>> params.mean.round(2)
        Array([3., 3.], dtype=float32)
    """
    for name, value, least in (("num_steps", num_steps, 8), ("num_draws", num_draws, 1)):
        if value < least:
            raise ValueError(f"fit.fit: {name} is {value}, not at least {least}")
    _insist_on_a_batch("fit.fit", rows, batch_size)
    first_counted = num_steps - num_steps // 4

    def move(key: Array, state: State) -> tuple[State, Step]:
        return step(
            key,
            state,
            guide=guide,
            log_density=log_density,
            rule=rule,
            rows=rows,
            is_counted=state.num_steps >= first_counted,
            num_draws=num_draws,
            batch_size=batch_size,
            is_stuck=is_stuck,
        )

    state, steps = loop.scan(move, init(params, rule=rule), key=key, num_steps=num_steps)
    return state.mean, _judge(steps)


def _insist_on_a_batch(where: str, rows: Rows | None, batch_size: int) -> None:
    if (rows is None) != (batch_size == 0) or batch_size < 0:
        wanted = "0 without rows" if rows is None else "at least 1"
        raise ValueError(f"{where}: batch_size is {batch_size}, not {wanted}")
    if rows is not None and not all(map(len, jax.tree.leaves(rows.data))):
        raise ValueError(f"{where}: rows have data of no rows, not at least one")


def _judge(steps: Step) -> Info:
    """Return how the climb went, from the bounds along the way."""
    values = steps.elbo
    quarter = len(values) // 4
    last, before = values[-quarter:], values[-2 * quarter : -quarter]
    gain = last.mean() - before.mean()
    fallen = values[-4 * quarter :].reshape(4, quarter).mean(axis=1).max() - last.mean()
    error = jnp.sqrt((last.var(ddof=1) + before.var(ddof=1)) / quarter)
    rounding = 100 * jnp.finfo(values.dtype).eps * jnp.maximum(jnp.abs(last.mean()), 1)
    status = jnp.asarray(Status.CONVERGED, jnp.int32)
    for condition, verdict in (
        (gain > 2 * error + rounding, Status.OUT_OF_STEPS),
        (fallen > 10 * error + rounding, Status.DIVERGED),
        (steps.is_lost[-quarter:].any() | ~jnp.isfinite(gain), Status.NOT_FINITE),
    ):
        status = jnp.where(condition, verdict, status)
    return Info(steps, gain, error, status, status == Status.CONVERGED)


def _batch(key: Array, rows: Rows, batch_size: int) -> tuple[Partial, Any, Array]:
    """Return the likelihood, a batch of rows, and how many rows each of them stands for."""
    count = len(jax.tree.leaves(rows.data)[0])
    picked = jax.random.randint(key, (batch_size,), 0, count)
    batch = jax.tree.map(lambda leaf: leaf[picked], rows.data)
    return rows.log_likelihood, batch, jnp.asarray(count / batch_size)


def _batched(
    log_prior: Partial, log_likelihood: Partial, batch: Any, weight: Array, position: Any
) -> Array:
    each = jax.vmap(lambda row: log_likelihood(position, row))(batch)
    prior = jnp.asarray(log_prior(position))
    return prior + weight.astype(each.dtype) * each.sum()
