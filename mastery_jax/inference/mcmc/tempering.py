"""Sequential Monte Carlo from a prior to a posterior, through temperatures, with the evidence.

    p_β(x) ∝ p(x) ℓ(x)^β,   0 = β_0 < β_1 < … < β_T = 1
    log Z = Σ_t log mean_i w_i,     w_i = ℓ(x_i)^(β_t − β_{t−1})

At each temperature the particles are drawn anew with weights w, then moved by a kernel that leaves
p_β as it is. β_t is as far as the effective size (Σ w)² / Σ w² keeps a wanted part of the N
particles, found by bisection. With E_i the first particle from which the i-th descends, the
relative variance of Z is estimated from one run:

    V = 1 − (N / (N − 1))^T (1 − Σ_k (#{i: E_i = k} / N)²)

Source: Del Moral, Doucet & Jasra (2006), *J. R. Stat. Soc. B* 68, 411; temperatures: Jasra,
Stephens, Doucet & Tsagaris (2011), *Scand. J. Stat.* 38, 1, section 3.3; V: Lee & Whiteley (2018),
*Biometrika* 105, 609, equation 9.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target, weights
from mastery_jax.inference.mcmc.kernel import Kernel, is_scaled

__all__ = ["Info", "State", "init", "sample", "step"]

Adapt = Literal["dense", "diagonal", "none"]


class State(NamedTuple):
    """The particles at one temperature."""

    particles: Any  # a pytree whose leaves have a leading axis of particles
    log_likelihood: Float[Array, " particle"]  # nats
    temperature: Float[Array, ""]  # β, in [0, 1]
    log_evidence: Float[Array, ""]  # of p(x) ℓ(x)^β, nats
    eve: Int[Array, " particle"]  # the first particle from which each descends
    num_temperatures: Int[Array, ""]  # so far


class Info(NamedTuple):
    """What happened on the way to a temperature."""

    ess: Float[Array, ""]  # of the weights, before they were drawn from, in [1, N]
    accept_prob: Float[Array, ""]  # mean over all moves of the kernel
    num_moved: Int[Array, ""]  # particles that the kernel moved
    num_lost: Int[Array, ""]  # particles whose likelihood is not a number below infinity
    log_evidence_error: Float[Array, ""]  # standard error of log_evidence, nats
    is_done: Bool[Array, ""]
    status: Int[Array, ""]


@jax.jit
@checked
def init(particles: Any, *, log_likelihood: Partial) -> State:
    """Return particles at temperature 0. N likelihoods.

    Args:
        particles: Independent draws from the prior: a pytree whose leaves, floats of one dtype,
            have a leading axis of at least 2 particles.
        log_likelihood: ``position -> log ℓ`` of one particle, in nats; −inf where it is
            impossible. Data in the ``Partial`` is traced.

    Raises:
        ValueError: there are too few particles, or the likelihood is no scalar.

    Example:
        >>> init(jnp.ones((3, 2)), log_likelihood=Partial(lambda x: -x @ x)).log_likelihood
        Array([-2., -2., -2.], dtype=float32)
    """
    return _begun("tempering.init", particles, log_likelihood)


@partial(jax.jit, static_argnames=("num_moves", "adapt"))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    log_prior: Partial,
    log_likelihood: Partial,
    kernel: Kernel,
    num_moves: int,
    min_ess: Scalar = 0.5,
    adapt: Adapt = "dense",
) -> tuple[State, Info]:
    """Go to the next temperature. N · num_moves moves of the kernel; O(N d²) to adapt.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: From ``init`` or ``step``.
        log_prior: ``position -> log density`` of the prior in nats. A constant does not matter.
        log_likelihood: As in ``init``.
        kernel: From ``kernel.bind``.
        num_moves: Of every particle, at least 1. Static.
        min_ess: Part of the particles that the weights must be worth, in (0, 1). Traced.
        adapt: The ``factor`` of its steps that a kernel which takes one, and a ``step_size``, is
            given: a root of the covariance of the particles, of their variances, or the kernel's
            own. The factor of ``elliptical_slice`` is its prior's, and stays. Static.

    Returns:
        The new state and what happened: RUNNING; CONVERGED at temperature 1; NOT_FINITE, and a
        state that stays, where no particle has a likelihood above 0; STALLED where no temperature
        above the present one keeps min_ess, as where too few particles are possible, or the kernel
        moved no particle; the state stays there, too.

    Raises:
        ValueError: num_moves is below 1, or adapt is unknown.

    Example:
        >>> from mastery_jax.inference.mcmc import kernel, metropolis
        >>> f = Partial(lambda x: -x @ x / 2)
        >>> start = init(jax.random.normal(jax.random.key(0), (100, 1)), log_likelihood=f)
        >>> walk = kernel.bind(metropolis, step_size=1.0)
        >>> state, info = step(
        ...     jax.random.key(1),
        ...     start,
        ...     log_prior=f,
        ...     log_likelihood=f,
        ...     kernel=walk,
        ...     num_moves=5,
        ... )
        >>> float(state.temperature), int(info.status)
        (1.0, 1)
    """
    if num_moves < 1:
        raise ValueError(f"tempering.step: num_moves is {num_moves}, not at least 1")
    if adapt not in ("dense", "diagonal", "none"):
        raise ValueError(
            f"tempering.step: adapt is {adapt!r}, not one of ['dense', 'diagonal', 'none']"
        )
    heads = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(state.particles)}
    if heads != {state.log_likelihood.shape}:
        raise ValueError(
            f"tempering.step: particles have leading axes {sorted(heads)}, not one of "
            f"{state.log_likelihood.size}"
        )
    draw_key, move_key = jax.random.split(key)
    is_lost = ~(state.log_likelihood < jnp.inf)
    log_lik = jnp.where(is_lost, -jnp.inf, state.log_likelihood)
    rise = weights.rise(log_lik, 1 - state.temperature, min_ess=min_ess)
    is_last = rise >= 1 - state.temperature
    temperature = jnp.where(is_last, 1, state.temperature + rise)
    # The rise as it is once the temperature is rounded.
    log_weights = weights.raised(log_lik, temperature - state.temperature)
    which = weights.draw(draw_key, log_weights)
    drawn = jax.tree.map(lambda x: x[which], state.particles)
    density = Partial(_tempered, log_prior, log_likelihood, temperature)
    walk = partial(_moved, kernel, density, num_moves, _learned(kernel, drawn, adapt))
    particles, accept_prob = jax.vmap(walk)(jax.random.split(move_key, which.size), drawn)
    value = partial(vector.value_at, "tempering.step", log_likelihood)
    n = jnp.asarray(which.size, log_weights.dtype)
    after = State(
        particles=particles,
        log_likelihood=jax.vmap(value)(particles),
        temperature=temperature,
        log_evidence=state.log_evidence + jax.nn.logsumexp(log_weights) - jnp.log(n),
        eve=state.eve[which],
        num_temperatures=state.num_temperatures + 1,
    )
    is_dead = ~(log_lik > -jnp.inf).any()
    num_moved = weights.num_changed(drawn, particles)
    is_stalled = (temperature <= state.temperature) | (num_moved == 0)
    after = target.choose(is_dead | is_stalled, state, after)
    ends = [is_dead, is_stalled, is_last]
    names = [Status.NOT_FINITE, Status.STALLED, Status.CONVERGED]
    return after, Info(
        ess=weights.size(log_weights),
        accept_prob=accept_prob.mean(),
        num_moved=num_moved,
        num_lost=is_lost.sum(dtype=jnp.int32),
        log_evidence_error=weights.error(after.eve, after.num_temperatures.astype(n.dtype)),
        is_done=is_dead | is_stalled | is_last,
        status=jnp.select(ends, [jnp.int32(s) for s in names], Status.RUNNING),
    )


@partial(jax.jit, static_argnames=("num_moves", "max_temperatures", "adapt"))
@checked
def sample(
    key: Key[Array, ""],
    particles: Any,
    *,
    log_prior: Partial,
    log_likelihood: Partial,
    kernel: Kernel,
    num_moves: int,
    min_ess: Scalar = 0.5,
    max_temperatures: int = 100,
    adapt: Adapt = "dense",
) -> tuple[State, Info]:
    """Go from the prior to the posterior. O(temperatures · N · num_moves) moves of the kernel.

    Args:
        key: Consumed.
        particles: As in ``init``.
        log_prior: As in ``step``.
        log_likelihood: As in ``init``; with all its constants, or the evidence lacks them.
        kernel: As in ``step``.
        num_moves: As in ``step``. Static.
        min_ess: As in ``step``. Traced.
        max_temperatures: Static.
        adapt: As in ``step``. Static.

    Returns:
        The state at the last temperature, and what happened on the way to it: a status as of
        ``step``, OUT_OF_STEPS where max_temperatures did not reach 1. ``accept_prob`` and
        ``num_moved`` are the least of all temperatures: of few moves the particles are few.

    Raises:
        ValueError: as ``init`` and ``step`` do; or max_temperatures is below 1.

    Example:
        >>> from mastery_jax.inference.mcmc import kernel, mala
        >>> log_prior = Partial(lambda x: -x @ x / 2)
        >>> log_pdf = jax.scipy.stats.norm.logpdf
        >>> seen = Partial(lambda y, x: log_pdf(y, x[0], 0.1), jnp.array(2.0))
        >>> state, info = sample(
        ...     jax.random.key(0),
        ...     jax.random.normal(jax.random.key(1), (1000, 1)),
        ...     log_prior=log_prior,
        ...     log_likelihood=seen,
        ...     kernel=kernel.bind(mala, step_size=0.8),
        ...     num_moves=5,
        ... )
        >>> exact = log_pdf(2.0, 0, 1.01**0.5)
        >>> bool(abs(state.log_evidence - exact) < 4 * info.log_evidence_error)
        True
    """
    if max_temperatures < 1:
        raise ValueError(
            f"tempering.sample: max_temperatures is {max_temperatures}, not at least 1"
        )
    start = _begun("tempering.sample", particles, log_likelihood)
    options = {"num_moves": num_moves, "min_ess": min_ess, "adapt": adapt, "kernel": kernel}
    densities = {"log_prior": log_prior, "log_likelihood": log_likelihood}

    def warmer(carried: tuple[State, Array, Array]) -> tuple[Any, Info]:
        state, accept_prob, num_moved = carried
        now = jax.random.fold_in(key, state.num_temperatures)
        state, info = step(now, state, **densities, **options)
        accept_prob = jnp.minimum(accept_prob, info.accept_prob)
        num_moved = jnp.minimum(num_moved, info.num_moved)
        info = info._replace(accept_prob=accept_prob, num_moved=num_moved)
        return (state, accept_prob, num_moved), info

    begun = (start, jnp.ones_like(start.temperature), jnp.int32(start.eve.size))
    (state, *_), info, _ = loop.until(warmer, begun, max_steps=max_temperatures)
    return state, info._replace(
        status=jnp.where(info.is_done, info.status, Status.OUT_OF_STEPS).astype(jnp.int32)
    )


def _begun(where: str, particles: Any, log_likelihood: Partial) -> State:
    x, _ = vector.flat(where, particles)
    heads = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(particles)}
    num = min(heads)
    if len(heads) != 1 or num < (2,):
        raise ValueError(
            f"{where}: particles have leading axes {sorted(heads)}, not one of at least 2"
        )
    return State(
        particles=particles,
        log_likelihood=jax.vmap(partial(vector.value_at, where, log_likelihood))(particles),
        temperature=jnp.zeros((), x.dtype),
        log_evidence=jnp.zeros((), x.dtype),
        eve=jnp.arange(num[0], dtype=jnp.int32),
        num_temperatures=jnp.int32(0),
    )


def _tempered(log_prior: Partial, log_likelihood: Partial, temperature: Array, x: Any) -> Array:
    return log_prior(x) + temperature * log_likelihood(x)


def _learned(kernel: Kernel, particles: Any, adapt: Adapt) -> dict[str, Any]:
    """Return what a kernel is told besides its density: no warm-up, and its factor."""
    if adapt == "none" or not is_scaled(kernel):
        return {"num_warmup": 0}
    return {"num_warmup": 0, "factor": weights.spread(particles, is_dense=adapt == "dense")}


def _moved(
    kernel: Kernel, density: Partial, num_moves: int, given: Any, key: Array, particle: Any
) -> tuple[Any, Array]:
    def move(key: Array, state: Any) -> tuple[Any, Array]:
        state, info = kernel.step(key, state, log_density=density, **given)
        return state, getattr(info, "accept_prob", jnp.ones_like(state.log_density))

    start = kernel.init(particle, log_density=density)
    state, accept_prob = loop.scan(move, start, key=key, num_steps=num_moves)
    return state.position, accept_prob.mean()
