"""What Gaussian filters of nonlinear models share: all but the way a function is made linear.

    g(x) ≈ ĝ + A (x − m) + e,  e ~ (0, Ω)        seen from the belief x ~ N(m, P)
    r = y − ĥ,   S = A P Aᵀ + Ω + R,   K = P Aᵀ S⁻¹
    m ← m + K r,   P ← (I − K A) P (I − K A)ᵀ + K (Ω + R) Kᵀ        given y
    m ← f̂,        P ← A P Aᵀ + Ω + Q                               one step ahead

with the linearization of h in the first pair, and that of f in the last line. This form of P stays
positive semi-definite when rounded. The smoother is that of Rauch, Tung and Striebel with the same
linearization of f.

Source: Särkkä (2013), *Bayesian Filtering and Smoothing*, chapters 5, 6 and 9; Arasaratnam & Haykin
(2009), *IEEE Transactions on Automatic Control* 54(6), 1254.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop
from mastery_jax.inference.filtering import linear_gaussian, matrix, observation
from mastery_jax.inference.filtering.kalman import Beliefs, Info
from mastery_jax.inference.filtering.linear_gaussian import State
from mastery_jax.inference.filtering.nonlinear import (
    Model,
    emission_of,
    over_time,
    transition_of,
)

__all__ = [
    "Linearization",
    "Method",
    "Observed",
    "ahead",
    "along",
    "back",
    "conditioned",
    "given",
    "symmetric",
    "tangent",
    "what_is_seen",
]

Function = Callable[[Array], Array]


class Linearization(NamedTuple):
    """Joint moments of x ~ N(m, P) and g(x), exact or not. It lives while a program is traced."""

    mean: Array  # ĝ
    cov: Array  # A P Aᵀ + Ω
    cross: Array  # A P, the covariance of g(x) with x
    left: Callable[[Array], Array]  # K -> (I − K A) P (I − K A)ᵀ + K Ω Kᵀ


class Method(NamedTuple):
    """A way to make a function linear, and whose errors these are."""

    name: str
    linearize: Callable[[Function, State], Linearization]


class Observed(NamedTuple):
    """An observation in which what is missing is 0 and sees nothing but noise of variance 1."""

    emission: Function
    y: Array
    emission_cov: Array


def tangent(fn: Function, state: State, at: Array) -> Linearization:
    """Return the linearization of ``fn`` by its Jacobian at ``at``. O(state fn + state³)."""
    jacobian, value = jax.jacfwd(lambda x: (fn(x),) * 2, has_aux=True)(at)
    cross = matrix.product(jacobian, state.cov)
    identity = jnp.eye(len(at), dtype=at.dtype)

    def left(gain: Array) -> Array:
        return matrix.congruence(identity - matrix.product(gain, jacobian), state.cov)

    return Linearization(
        mean=value + matrix.product(jacobian, state.mean - at),
        cov=matrix.product(cross, jacobian.T),
        cross=cross,
        left=left,
    )


def ahead(method: Method, state: State, *, model: Model, inputs: Any) -> State:
    """Return the belief one step ahead."""
    linear_gaussian.at_one_time(method.name, model)
    with jax.default_matmul_precision("highest"):
        return symmetric(_ahead(method, linear_gaussian.trusted(state, model), model, inputs))


def given(
    method: Method, state: State, y: Array, *, model: Model, inputs: Any, is_observed: Array | None
) -> tuple[State, Info]:
    """Return the belief given an observation, and what the step tells about itself."""
    linear_gaussian.at_one_time(method.name, model)
    with jax.default_matmul_precision("highest"):
        state = linear_gaussian.trusted(state, model)
        state, info = _given(method, state, y, model, inputs, is_observed)
        return symmetric(state), info


def along(
    method: Method,
    state: State,
    ys: Array,
    *,
    model: Model,
    inputs: Any,
    is_observed: Array | None,
    update: Callable[..., tuple[State, Any]] | None = None,
) -> tuple[Beliefs, Any]:
    """Return the beliefs along a series; ``update`` stands in for what ``given`` computes."""
    update = update or partial(_given, method)
    state = linear_gaussian.trusted(state, model)
    varying, inputs = over_time(method.name, model, inputs, len(ys))

    def advance(state: State, now: tuple[Array, Array | None, Any, Any]) -> tuple[State, Any]:
        y, is_observed, inputs, covs = now
        here = model._replace(**covs)
        state = _ahead(method, state, here, inputs)
        state, info = update(state, y, here, inputs, is_observed)
        return state, (Beliefs(*state), info)

    with jax.default_matmul_precision("highest"):
        _, (beliefs, info) = loop.scan(advance, state, (ys, is_observed, inputs, varying))
        return symmetric(beliefs), info


def back(method: Method, filtered: Beliefs, *, model: Model, inputs: Any) -> Beliefs:
    """Return the beliefs given the whole series, from those given the past."""
    if not len(filtered.mean):
        return filtered
    num_moves = len(filtered.mean) - 1
    varying, inputs = over_time(method.name, model, inputs, num_moves, num_spare=1)

    def step(later: State, now: tuple[State, Any, Any]) -> tuple[State, State]:
        state, inputs, covs = now
        here = model._replace(**covs)
        seen = method.linearize(transition_of(here, inputs), state)
        gain = matrix.solve(seen.cov + here.process_cov, seen.cross).T
        mean = state.mean + matrix.product(gain, later.mean - seen.mean)
        cov = seen.left(gain) + matrix.congruence(gain, here.process_cov + later.cov)
        state = State(mean, cov)
        return state, state

    last = State(filtered.mean[-1], filtered.cov[-1])
    earlier = State(filtered.mean[:-1], filtered.cov[:-1])
    backwards = jax.tree.map(lambda rows: rows[::-1], (earlier, inputs, varying))
    with jax.default_matmul_precision("highest"):
        _, found = loop.scan(step, last, backwards)
        mean = jnp.concatenate([found.mean[::-1], last.mean[None]])
        cov = jnp.concatenate([found.cov[::-1], last.cov[None]])
        return symmetric(Beliefs(mean=mean, cov=cov))


def what_is_seen(model: Model, y: Array, inputs: Any, is_observed: Array | None) -> Observed:
    """Return an observation in which nothing is missing any more."""
    emission = emission_of(model, inputs)
    if is_observed is None:
        return Observed(emission, y, model.emission_cov)
    both = is_observed[:, None] & is_observed[None, :]
    noise = jnp.eye(len(both), dtype=model.emission_cov.dtype)
    return Observed(
        emission=lambda x: jnp.where(is_observed, emission(x), 0),
        y=jnp.where(is_observed, y, 0),
        emission_cov=jnp.where(both, model.emission_cov, noise),
    )


def conditioned(
    state: State, observed: Observed, seen: Linearization, is_observed: Array | None
) -> tuple[State, Info]:
    """Return the belief given y, where the emission has been made linear."""
    innovation = observed.y - seen.mean
    S = seen.cov + observed.emission_cov
    gain = matrix.solve(S, seen.cross).T
    mean = state.mean + matrix.product(gain, innovation)
    cov = seen.left(gain) + matrix.congruence(gain, observed.emission_cov)
    log_likelihood = observation.log_density(innovation[:, None], S, is_observed)[0]
    return State(mean, cov), Info(log_likelihood, innovation, S)


def _ahead(method: Method, state: State, model: Model, inputs: Any) -> State:
    seen = method.linearize(transition_of(model, inputs), state)
    return State(mean=seen.mean, cov=seen.cov + model.process_cov)


def _given(
    method: Method, state: State, y: Array, model: Model, inputs: Any, is_observed: Array | None
) -> tuple[State, Info]:
    observed = what_is_seen(model, y, inputs, is_observed)
    seen = method.linearize(observed.emission, state)
    return conditioned(state, observed, seen, is_observed)


def symmetric(beliefs: Any) -> Any:
    """Return beliefs whose covariances are symmetric to the last bit."""
    return beliefs._replace(cov=matrix.symmetric(beliefs.cov))
