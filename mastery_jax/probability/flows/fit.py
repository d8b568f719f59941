"""Parameters of a flow: of maximum likelihood for rows, or closest to a density that is known.

    maximum_likelihood   min over θ of −1/n Σ_i log q_θ(x_i)
    reverse_kl           min over θ of E_q (log q_θ(x) − log f(x)) = KL(q ‖ f/Z) − log Z

Rows come in minibatches, each epoch in another order; the parameters that were best on validation
rows are kept, and the search ends when they have been the best for a while. The reverse divergence
needs no rows, but f at the flow's own samples x = T_θ(z). Its ``path`` gradient lets θ move the
samples alone, and not log q at a sample (sticking the landing): its variance is 0 where q = f/Z.

Source: Papamakarios et al. (2021), JMLR 22(57), section 2.3; Prechelt (1998), *Early Stopping -
but when?*; Roeder, Wu & Duvenaud (2017), *Sticking the Landing*, eq. 7; weights: Kong (1992).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.probability.flows import chain, frozen, training

__all__ = ["History", "Match", "State", "maximum_likelihood", "reverse_kl"]


class State(NamedTuple):
    """A flow."""

    params: Any  # of the chain
    base: Any  # of ``base``; None is a standard normal


class History(NamedTuple):
    """How a fit to rows went; what comes after its end is NaN."""

    train_losses: Float[Array, " epochs"]  # −log q, mean over an epoch's batches, nats per row
    valid_losses: Float[Array, " marks"]  # after 0, 1, 2 … epochs, nats per row
    best_epoch: Int[Array, ""]  # whose parameters are kept; 0 is the start
    num_epochs: Int[Array, ""]  # taken
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


class Match(NamedTuple):
    """How close a flow came to a density; all but the losses from fresh samples at the end."""

    losses: Float[Array, " steps"]  # mean of log q − log f in each step, nats; NaN after the end
    elbo: Float[Array, ""]  # mean of log f − log q, nats; at most log Z
    log_evidence: Float[Array, ""]  # log Z, by importance sampling, nats
    effective_share: Float[Array, ""]  # effective sample size of those weights, in (0, 1]
    num_steps: Int[Array, ""]
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@partial(jax.jit, static_argnames=("layers", "num_epochs", "batch_size", "patience"))
@checked
def maximum_likelihood(
    key: Key[Array, ""],
    params: Any,
    X: Float[Array, "n d"],
    X_valid: Float[Array, "v d"],
    *,
    layers: tuple[chain.Bijection, ...],
    rule: Partial,
    num_epochs: int,
    batch_size: int,
    patience: int = 10,
    base: Any = None,
    context: Float[Array, "n c"] | None = None,
    context_valid: Float[Array, "v c"] | None = None,
) -> tuple[State, History]:
    """Fit a chain to rows. O(n + v) densities an epoch, with the gradients of n.

    Every float of ``params`` and ``base`` is trained that is not in a ``frozen.Frozen``.

    Args:
        key: Consumed: orders of rows, and probes of traces.
        params: The start, as in ``chain.forward``.
        X: Rows to fit. What of them fills no batch is left out of an epoch, other rows each time.
        X_valid: Rows that decide which parameters are kept, and when to stop.
        layers: As in ``chain.forward``. Static.
        rule: Called without arguments it returns an optax ``GradientTransformation``; from
            ``optimizers.make``. Traced numbers: sweep them with ``vmap``.
        num_epochs: At most, at least 1. Static.
        batch_size: Rows of a step, from 1 to n. Static.
        patience: Epochs without a better loss on ``X_valid`` that end the search, at least 1.
            Static.
        base: Start of the base, as in ``chain.log_prob``.
        context: One row for each of ``X``, where the layers take it.
        context_valid: One for each of ``X_valid``.

    Returns:
        The best flow that was met, the start included, and its ``History``. CONVERGED by
        ``patience``; OUT_OF_STEPS; NOT_FINITE where a loss was not finite, which ends the search.

    Raises:
        ValueError: a count is out of its range, there is no row to validate or no float to train,
            or one context is given and the other is not.

    Example:
        >>> from mastery_jax.numerics.optimize import optimizers
        >>> from mastery_jax.probability.flows import linear
        >>> rows = 3.0 * jax.random.normal(jax.random.key(0), (600, 2))
        >>> start = jax.tree.map(lambda leaf: leaf[None], linear.init(jax.random.key(2), dim=2))
        >>> rule = optimizers.make("gradient_descent", {"learning_rate": 0.05})
        >>> options = {"layers": (linear,), "rule": rule, "num_epochs": 30, "batch_size": 50}
        >>> state, history = maximum_likelihood(
        ...     jax.random.key(1), (start,), rows[:500], rows[500:], **options
        ... )
        >>> round(float(state.params[0].log_scale.sum()), 1)  # log 9
        2.2
    """
    _insist_on_rows(X, len(X_valid), num_epochs, batch_size, patience, context, context_valid)
    trained, join = _trained("maximum_likelihood", params, base)
    rule = training.cast(rule, X.dtype)
    run, status = training.epochs(
        key,
        partial(_loss, join=join, layers=layers),
        rule,
        trained,
        (X, context),
        (X_valid, context_valid),
        training.Plan(num_epochs, batch_size, patience),
    )
    return State(*join(run.best)), History(
        train_losses=run.train_losses,
        valid_losses=run.valid_losses,
        best_epoch=run.best_epoch,
        num_epochs=run.num_epochs,
        status=status,
        is_done=status == Status.CONVERGED,
    )


@partial(
    jax.jit, static_argnames=("layers", "dim", "num_steps", "num_samples", "num_draws", "gradient")
)
@checked
def reverse_kl(
    key: Key[Array, ""],
    params: Any,
    log_density: Partial,
    *,
    layers: tuple[chain.Bijection, ...],
    dim: int,
    rule: Partial,
    num_steps: int,
    num_samples: int = 64,
    num_draws: int = 1000,
    spread: Scalar = 1e-2,
    gradient: Literal["path", "total"] = "path",
    base: Any = None,
    context: Float[Array, " c"] | None = None,
) -> tuple[State, Match]:
    """Fit a chain to a density. O(num_samples) passes a step, one way and, by ``path``, back.

    Every float of ``params`` and ``base`` is trained that is not in a ``frozen.Frozen``. A flow may
    settle on one of several modes: the effective share sees only the modes that samples meet.

    Args:
        key: Consumed.
        params: The start, as in ``chain.forward``.
        log_density: log f(x) of one point, up to a constant, in nats; finite and smooth wherever
            the flow may put a point.
        layers: As in ``chain.forward``. Static.
        dim: Number of coordinates of a point. Static.
        rule: As in :func:`maximum_likelihood`.
        num_steps: At most, at least 1. Static.
        num_samples: Of the flow in a step, at least 2. Static.
        num_draws: Fresh samples that judge the end, at least 2. Static.
        spread: Converged when the standard deviation of log q − log f over a step's samples is
            no larger, in nats; it is 0 where q = f/Z.
        gradient: ``path``, or ``total``, which also differentiates log q at each sample: no
            inverse is needed, and the variance does not vanish. Static.
        base: Start of the base, as in ``chain.log_prob``.
        context: Handed to every layer.

    Returns:
        The last flow, and its ``Match``. CONVERGED by ``spread``; OUT_OF_STEPS; NOT_FINITE where a
        loss was not finite: then the flow is the one before.

    Raises:
        ValueError: a count is out of its range, ``gradient`` is unknown, or there is no float to
            train.

    Example:
        >>> from mastery_jax.numerics.optimize import optimizers
        >>> from mastery_jax.probability.flows import linear
        >>> start = jax.tree.map(lambda leaf: leaf[None], linear.init(jax.random.key(2), dim=2))
        >>> wide = Partial(lambda x: -(x**2).sum() / 18)  # Z = 18 pi
        >>> rule = optimizers.make("gradient_descent", {"learning_rate": 0.05})
        >>> state, match = reverse_kl(
        ...     jax.random.key(1), (start,), wide, layers=(linear,), dim=2, rule=rule, num_steps=500
        ... )
        >>> bool(match.is_done), round(float(match.log_evidence), 2)
        (True, 4.04)
    """
    _insist_on_counts(num_steps, num_samples, num_draws, gradient)
    trained, join = _trained("reverse_kl", params, base)
    walk_key, end_key = jax.random.split(key)
    dtype = jnp.result_type(*trained)
    draw = partial(chain.sample_and_log_prob, layers=layers, dim=dim, context=context)

    def gaps(key: Any, trained: Any) -> Any:
        """Return log q − log f at the flow's own samples."""
        params, base = join(trained)
        params = frozen.renew(key, params)
        x, log_probs = draw(key, params, base=base, shape=(num_samples,))
        if gradient == "path":
            params, base = jax.lax.stop_gradient((params, base))
            density = partial(chain.log_prob, layers=layers, base=base, context=context)
            log_probs = jax.vmap(lambda x: density(params, x))(x)
        return log_probs - jax.vmap(log_density)(x)

    rule, spread = training.cast((rule, spread), dtype)
    walk, status = training.steps(walk_key, gaps, rule, trained, spread, num_steps)
    state = State(*join(walk.trained))
    x, log_probs = draw(end_key, state.params, base=state.base, shape=(num_draws,))
    log_weights = jax.vmap(log_density)(x) - log_probs
    log_sum = logsumexp(log_weights)
    return state, Match(
        losses=walk.losses,
        elbo=log_weights.mean(),
        log_evidence=log_sum - jnp.log(jnp.asarray(num_draws, dtype)),
        effective_share=jnp.exp(2 * log_sum - logsumexp(2 * log_weights)) / num_draws,
        num_steps=walk.num_steps,
        status=status,
        is_done=status == Status.CONVERGED,
    )


def _trained(verb: str, params: Any, base: Any) -> tuple[list[Any], Any]:
    trained, join = frozen.split((params, base))
    if not trained:
        raise ValueError(f"fit.{verb}: params and base have no float to train, not at least one")
    return trained, join


def _loss(trained: Any, key: Any, X: Any, context: Any, *, join: Any, layers: Any) -> Any:
    """Return the mean of −log q, nats per row."""
    params, base = join(trained)
    params = frozen.renew(key, params)

    def log_prob(x: Any, context: Any) -> Any:
        return chain.log_prob(params, x, layers=layers, base=base, context=context)

    return -jax.vmap(log_prob)(X, context).mean()


def _insist_on_rows(
    X: Any,
    num_valid: int,
    num_epochs: int,
    batch_size: int,
    patience: int,
    context: Any,
    context_valid: Any,
) -> None:
    for name, count in (("num_epochs", num_epochs), ("patience", patience)):
        if count < 1:
            raise ValueError(f"fit.maximum_likelihood: {name} is {count}, not at least 1")
    if not num_valid:
        raise ValueError("fit.maximum_likelihood: X_valid has no rows, not at least one")
    if not 1 <= batch_size <= len(X):
        raise ValueError(
            f"fit.maximum_likelihood: batch_size is {batch_size}, not from 1 to {len(X)} rows"
        )
    if (context is None) != (context_valid is None):
        given, lacking = ("context", "context_valid")[:: 1 if context_valid is None else -1]
        raise ValueError(f"fit.maximum_likelihood: {given} is given, and {lacking} is not")


def _insist_on_counts(num_steps: int, num_samples: int, num_draws: int, gradient: str) -> None:
    least = (
        ("num_steps", num_steps, 1),
        ("num_samples", num_samples, 2),
        ("num_draws", num_draws, 2),
    )
    for name, count, fewest in least:
        if count < fewest:
            raise ValueError(f"fit.reverse_kl: {name} is {count}, not at least {fewest}")
    if gradient not in ("path", "total"):
        raise ValueError(f"fit.reverse_kl: gradient is {gradient!r}, not 'path' or 'total'")
