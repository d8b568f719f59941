"""Particle filter: the posterior of any state-space model by weighted draws.

    x_t^i ~ q(x_t | x_{t-1}^i, y_t)                    q = p(x_t | x_{t-1}): the bootstrap filter
    w_t^i ∝ w_{t-1}^i p(y_t | x_t^i) p(x_t^i | x_{t-1}^i) / q(x_t^i | x_{t-1}^i, y_t)
    p(y_t | y_1 … y_{t-1}) ≈ Σ w_{t-1}^i (that factor of x_t^i),  with w_{t-1} summing to 1

Before a step, where 1 / Σ w² has fallen below a fraction of the number of particles, these are
drawn anew by their weights, which are then equal. Otherwise the weights are carried on: they hold
what earlier observations said. The product of the estimates is an unbiased one of the likelihood of
the series, for any number of particles; its log, which is returned, is on average below the true.

Derivatives follow the particles and weights of the draw that was made, and stop where particles are
drawn anew: how a parameter changes who lives on is not in them, and the slope of a log-likelihood
is biased by that.

Source: Gordon, Salmond & Smith (1993), *IEE Proceedings F* 140(2), 107; Doucet, Godsill & Andrieu
(2000), *Statistics and Computing* 10, 197; Del Moral (2004), *Feynman-Kac Formulae*, proposition
7.4.1 (unbiased).
"""

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.filtering import resampling

__all__ = ["Beliefs", "Info", "Model", "Proposal", "Scheme", "State", "filter", "init", "step"]

Scheme = Literal["systematic", "stratified", "residual", "multinomial"]

_SCHEMES = {
    "systematic": resampling.systematic,
    "stratified": resampling.stratified,
    "residual": resampling.residual,
    "multinomial": resampling.multinomial,
}


class Model(NamedTuple):
    """What moves, and what is seen, of one particle; data goes into each ``Partial``.

    Where a mask of what is observed is given to the filter, ``log_emission`` gets it as a third
    argument; missing components of y are then 0, and a step of which nothing is seen weighs all
    alike. Densities are those of y and x_t: constants matter to the likelihood.
    """

    sample_transition: Partial  # (key, x) -> x one step later
    log_emission: Partial  # (x, y) -> log p(y | x), nats; −inf where y cannot be
    log_transition: Partial | None = None  # (later x, x) -> nats; for a proposal, and smoothing


class Proposal(NamedTuple):
    """Where to look for x_t knowing y_t; with a mask, both get it as their last argument.

    It must reach wherever p(x_t | x_{t-1}) p(y_t | x_t) is above zero.
    """

    sample: Partial  # (key, x, y) -> x one step later
    log_density: Partial  # (later x, x, y) -> nats


class State(NamedTuple):
    """Particles of x_t with their weights."""

    particles: Float[Array, "particles state"]  # u
    log_weights: Float[Array, " particles"]  # nats; the weights add up to 1


class Beliefs(NamedTuple):
    """Beliefs about x_1 … x_T: two moments, and the particles where they are kept."""

    mean: Float[Array, "time state"]  # u
    cov: Float[Array, "time state state"]  # u²
    particles: Float[Array, "time particles state"] | None  # u
    log_weights: Float[Array, "time particles"] | None  # nats


class Info(NamedTuple):
    """What one step tells about itself; nothing here is needed by the next step."""

    log_likelihood: Float[Array, ""]  # of y_t given y_1 … y_{t-1}, nats, estimated
    effective_size: Float[Array, ""]  # 1 / Σ w², once y_t is seen
    is_resampled: Bool[Array, ""]  # the particles were drawn anew before this step


@jax.jit
@checked
def init(particles: Float[Array, "particles state"]) -> State:
    """Return draws of the belief held before any observation, with equal weights. O(particles).

    Args:
        particles: Independent draws of x_0.

    Example:
        >>> init(jnp.zeros((4, 1))).log_weights
        Array([-1.3862944, -1.3862944, -1.3862944, -1.3862944], dtype=float32)
    """
    num = len(particles)
    return State(particles, jnp.full(num, -math.log(num), particles.dtype))


@partial(jax.jit, static_argnames=("scheme",))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    proposal: Proposal | None = None,
    is_observed: Bool[Array, " obs"] | None = None,
    ess_fraction: Scalar = 0.5,
    scheme: Scheme = "systematic",
) -> tuple[State, Info]:
    """Draw anew if need be, move, and weigh by ``y``. O(particles log(particles)).

    Args:
        key: Consumed.
        state: Particles of x before this step.
        y: Observation. Finite where it is observed.
        model: What moves, and what is seen.
        proposal: Where to look, with the model's ``log_transition``; ``None`` for the model's own
            transition.
        is_observed: False for each component that is missing; ``None`` if none is.
        ess_fraction: Particles are drawn anew where the effective size is below this part of their
            number: 0 never does it, and above 1 always. Traced.
        scheme: How they are drawn, a function of ``resampling``. Static.

    Returns:
        Particles of x, and the step's info. Where every particle has become impossible the
        log-likelihood is −inf, weights are NaN, and so is all from there on: test
        ``jnp.isfinite(info.log_likelihood)``.

    Raises:
        ValueError: shapes disagree, a proposal without ``log_transition``, or an unknown scheme
            (at trace time).

    Example:
        >>> walk = Partial(lambda key, x: x + jax.random.normal(key, x.shape))
        >>> seen = Partial(lambda x, y: jax.scipy.stats.norm.logpdf(y[0], x[0]))
        >>> state, info = step(
        ...     jax.random.key(0), init(jnp.zeros((1000, 1))), jnp.ones(1), model=Model(walk, seen)
        ... )
        >>> exact = jax.scipy.stats.norm.logpdf(1.0, 0.0, jnp.sqrt(2.0))
        >>> bool(abs(info.log_likelihood - exact) < 0.1)
        True
    """
    _check("step", model, proposal, scheme)
    return _step(key, state, (y, is_observed), model, proposal, ess_fraction, scheme)


@partial(jax.jit, static_argnames=("scheme", "keep_particles"))
@checked
def filter(
    key: Key[Array, ""],
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    proposal: Proposal | None = None,
    is_observed: Bool[Array, "time obs"] | None = None,
    ess_fraction: Scalar = 0.5,
    scheme: Scheme = "systematic",
    keep_particles: bool = False,
) -> tuple[Beliefs, Info]:
    """Apply ``step`` along a series. O(time particles (log(particles) + state²)).

    Args:
        key: Consumed.
        state: Particles of x_0.
        ys: Observations y_1 … y_T. Finite where they are observed.
        model: What moves, and what is seen.
        proposal: As in ``step``.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.
        ess_fraction: As in ``step``. Under ``vmap`` drawing anew is computed at every step of every
            lane, whether it is used or not. Traced.
        scheme: As in ``step``. Static.
        keep_particles: Return all particles too, as ``particle_smoother`` needs them. Static.

    Returns:
        The belief at every t, and every step's info along a leading axis. From the first step at
        which every particle has become impossible means are NaN; the log-likelihood is −inf at
        this step, and NaN after it.

    Raises:
        ValueError: as in ``step``.

    Example:
        >>> walk = Partial(lambda key, x: x + jax.random.normal(key, x.shape))
        >>> seen = Partial(lambda x, y: jax.scipy.stats.norm.logpdf(y[0], x[0]))
        >>> start, ys = init(jnp.zeros((500, 1))), jnp.ones((9, 1))
        >>> beliefs, info = filter(jax.random.key(0), start, ys, model=Model(walk, seen))
        >>> beliefs.mean.shape, bool(abs(beliefs.mean[-1, 0] - 1) < 0.2)
        ((9, 1), True)
    """
    _check("filter", model, proposal, scheme)

    def advance(key: Array, state: State, now: tuple[Array, Array | None]) -> tuple[State, Any]:
        state, info = _step(key, state, now, model, proposal, ess_fraction, scheme)
        beliefs = Beliefs(*_moments(state), particles=None, log_weights=None)
        return state, (beliefs._replace(**state._asdict()) if keep_particles else beliefs, info)

    return loop.scan(advance, state, (ys, is_observed), key=key)[1]


def _step(
    key: Array,
    state: State,
    now: tuple[Array, Array | None],
    model: Model,
    proposal: Proposal | None,
    ess_fraction: Scalar,
    scheme: Scheme,
) -> tuple[State, Info]:
    draw_key, move_key = jax.random.split(key)
    num = len(state.particles)
    is_low = resampling.effective_size(state.log_weights) < ess_fraction * num

    def renewed() -> State:
        indices = _SCHEMES[scheme](draw_key, state.log_weights, num=num)
        return init(state.particles[indices])

    before = jax.lax.cond(is_low, renewed, lambda: state)
    y, is_observed = now
    given = (y,) if is_observed is None else (jnp.where(is_observed, y, 0), is_observed)
    keys = jax.random.split(move_key, num)
    particles, gain = _move(keys, before.particles, given, model, proposal)
    log_weights = before.log_weights + gain
    log_likelihood = logsumexp(log_weights)
    state = State(particles, log_weights - log_likelihood)
    size = resampling.effective_size(state.log_weights)
    return state, Info(log_likelihood, size, is_low)


def _move(
    keys: Array, particles: Array, given: tuple, model: Model, proposal: Proposal | None
) -> tuple[Array, Array]:
    """Return where the particles are next, and the logs of the factors of their weights."""

    def log_emission(x: Array) -> Array:
        log_density = model.log_emission(x, *given)
        return log_density if len(given) == 1 else jnp.where(given[1].any(), log_density, 0)

    def one(key: Array, x: Array) -> tuple[Array, Array]:
        if proposal is None or model.log_transition is None:
            later = model.sample_transition(key, x)
            return later, log_emission(later)
        later = proposal.sample(key, x, *given)
        ratio = model.log_transition(later, x) - proposal.log_density(later, x, *given)
        return later, log_emission(later) + ratio

    later, gain = jax.vmap(one)(keys, particles)
    for name, came, wanted in (
        ("a particle moves to", later, particles),
        ("log_emission gives", gain, particles[:, 0]),
    ):
        if came.shape != wanted.shape or came.dtype != wanted.dtype:
            shown, needed = (jax.typeof(x[0]).str_short() for x in (came, wanted))
            raise ValueError(f"particle.Model: {name} {shown}, not {needed}")
    return later, gain


def _moments(state: State) -> tuple[Array, Array]:
    """Return the mean and the covariance of weighted particles."""
    weights = jnp.exp(state.log_weights)
    with jax.default_matmul_precision("highest"):
        mean = weights @ state.particles
        away = state.particles - mean[None, :]
        return mean, (away * weights[:, None]).T @ away


def _check(verb: str, model: Model, proposal: Proposal | None, scheme: str) -> None:
    if scheme not in _SCHEMES:
        known = ", ".join(_SCHEMES)
        raise ValueError(f"particle.{verb}: scheme is {scheme!r}, not one of {known}")
    if proposal is not None and model.log_transition is None:
        raise ValueError(
            f"particle.{verb}: model.log_transition is None, not the density that a proposal needs"
        )
