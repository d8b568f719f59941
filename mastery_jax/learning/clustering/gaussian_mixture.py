"""A mixture of normal densities, fitted by expectation and maximization (EM).

    p(x) = Σ_j π_j N(x; μ_j, Σ_j)

    E:  r_ij = π_j N(x_i; μ_j, Σ_j) / p(x_i)
    M:  N_j = Σ_i w_i r_ij,   π_j = N_j / Σ_i w_i,   μ_j = Σ_i w_i r_ij x_i / N_j
        Σ_j = Σ_i w_i r_ij (x_i − μ_j)(x_i − μ_j)ᵀ / N_j + reg_covar I          full
        Σ   = Σ_j N_j Σ_j / Σ_j N_j, one for all                                tied
        Σ_j = its diagonal                                                      diag
        Σ_j = the mean of its diagonal, times I                                 spherical

Every step raises Σ_i w_i log p(x_i), but for what ``reg_covar`` adds. With ``reg_covar`` at 0 the
likelihood has no upper bound: a component can collapse onto one row.

Source: Dempster, Laird & Rubin (1977), *Journal of the Royal Statistical Society B* 39(1), example
4.3; Bishop (2006), *Pattern Recognition and Machine Learning*, section 9.2.2; the criteria: Schwarz
(1978), *Annals of Statistics* 6(2), and Akaike (1974), *IEEE Transactions on Automatic Control*
19(6).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.clustering import kmeans
from mastery_jax.learning.clustering.centering import center
from mastery_jax.learning.clustering.normal_components import (
    Covariance,
    State,
    log_densities,
    maximize,
    num_parameters,
)
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = [
    "Covariance",
    "Info",
    "State",
    "aic",
    "bic",
    "fit",
    "log_prob",
    "predict",
    "predict_proba",
    "sample",
]

Start = Literal["kmeans", "rows"]


class Info(NamedTuple):
    """How the fit ended; of the restart that is returned, but for ``log_likelihoods``."""

    log_likelihood: Float[Array, ""]  # mean log p(x_i), nats per row
    log_likelihoods: Float[Array, " restarts"]  # of every restart
    change: Float[Array, ""]  # of the mean in the last step
    is_collapsed: Bool[Array, " k"]  # the density is made by reg_covar: see fit
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # |change| ≤ atol
    status: Int[Array, ""]  # core.status.Status


class _Carry(NamedTuple):
    state: State
    log_likelihood: Float[Array, ""]  # of the model before it


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    change: Float[Array, ""]


@partial(
    jax.jit, static_argnames=("num_clusters", "covariance", "start", "num_restarts", "max_steps")
)
@checked
def fit(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    *,
    num_clusters: int,
    covariance: Covariance = "full",
    weights: Float[Array, " n"] | None = None,
    start: Start = "kmeans",
    num_restarts: int = 1,
    reg_covar: Scalar = 1e-6,
    atol: Scalar = 1e-6,
    max_steps: int = 1000,
) -> tuple[State, Info]:
    """Fit by EM from several starts, return the likeliest end. O(n d² k + d³ k) a step and start.

    diag and spherical cost O(n d k) a step. scikit-learn's ``n_components``, ``covariance_type``,
    ``n_init``, ``tol`` are ``num_clusters``, ``covariance``, ``num_restarts``, ``atol``.

    Args:
        key: Draws the starts.
        X: One row per sample.
        num_clusters: k components, at least 1 and at most n. Static.
        covariance: What the covariances may be. Static.
        weights: ≥ 0, one where None; a row of weight 0 is not read.
        start: One run of k-means, or k rows drawn as means under the covariance of all. Static.
        num_restarts: Starts, at least 1. Static.
        reg_covar: ≥ 0, added to every variance, in squared units of the features. Traced.
        atol: Stop when a step changes the mean log-likelihood by at most this many nats. Float32
            resolves some 1e-6.
        max_steps: Steps at most, in each restart. Static.

    Returns:
        The model, and Info: CONVERGED, OUT_OF_STEPS; BAD_INPUT, with NaN, for weights that are
        negative or all 0 and a negative ``reg_covar``; SINGULAR where a covariance is not positive
        definite (``reg_covar`` too small); NOT_FINITE for NaN in the data. ``is_collapsed`` marks
        the components of less weight than a row of theirs has on average, and those whose variance
        in some direction, given the features before it, is at most twice ``reg_covar``: a constant
        feature marks them all. A restart that ends so is returned only if all do, since its
        likelihood can be as high as one likes.

    Raises:
        ValueError: more components than rows, fewer than one component or restart, or shapes that
            disagree.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [2.0], [9.0], [10.0], [11.0]])
        >>> state, info = fit(jax.random.key(0), X, num_clusters=2)
        >>> jnp.sort(state.means[:, 0]).round(2), bool(info.is_done)
        (Array([ 1., 10.], dtype=float32), True)
    """
    if not 1 <= num_clusters <= len(X):
        raise ValueError(
            f"gaussian_mixture.fit: num_clusters is {num_clusters}, not from 1 to the {len(X)} "
            "rows of X"
        )
    if num_restarts < 1:
        raise ValueError(f"gaussian_mixture.fit: num_restarts is {num_restarts}, not at least 1")
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    reg_covar = jnp.asarray(reg_covar, X.dtype)
    is_bad = (weights < 0).any() | ~(weights.sum() > 0) | ~(reg_covar >= 0)
    share = jnp.where(is_bad, jnp.nan, weights) / weights.sum()
    with jax.default_matmul_precision("highest"):
        Z, origin, unit = center(X, share)
        unit = power_of_two(jnp.maximum(unit, jnp.sqrt(reg_covar)))
        update = partial(maximize, covariance=covariance, reg_covar=reg_covar, unit=unit)
        begin = partial(_begin, Z=Z, share=share, k=num_clusters, start=start, update=update)

        def restart(key: Array) -> tuple[State, Array, Array, _Verdict, Array]:
            carry = _Carry(begin(key), jnp.full((), -jnp.inf, X.dtype))
            carry, verdict, num_steps = loop.until(
                _step, carry, max_steps=max_steps, Z=Z, share=share, update=update, atol=atol
            )
            mean, is_light = _judge(carry.state, Z, share)
            is_collapsed = is_light | _is_flat(carry.state, reg_covar)
            return carry.state, mean, is_collapsed, verdict, jnp.asarray(num_steps, jnp.int32)

        ends = jax.lax.map(restart, jax.random.split(key, num_restarts))
    means = ends[1]
    best = _best(means, ends[2].any(axis=1))
    state, mean, is_collapsed, verdict, num_steps = jax.tree.map(lambda leaf: leaf[best], ends)
    is_finite = jnp.isfinite(mean) & ~is_bad
    is_done = verdict.is_done & is_finite
    lost = jnp.where(jnp.isfinite(Z).all(), Status.SINGULAR, Status.NOT_FINITE)
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_finite, status, lost)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    state = state._replace(means=state.means + origin[None, :])
    state = jax.tree.map(lambda leaf: jnp.where(is_finite, leaf, jnp.nan), state)
    info = Info(mean, means, verdict.change, is_collapsed, num_steps, is_done, status)
    return state, info


@jax.jit
@checked
def log_prob(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the log density of every row, in nats. O(n d² k)."""
    return jax.nn.logsumexp(log_densities(state, X), axis=0)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Return every component's share in the density of every row. O(n d² k)."""
    return jax.nn.softmax(log_densities(state, X), axis=0).T


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the likeliest component of every row, −1 where no density is above 0. O(n d² k).

    That is so for a row that is not finite, or too far off, and for all if the state is NaN.
    """
    parts = log_densities(state, X)
    is_known = jnp.isfinite(parts.max(axis=0))
    return jnp.where(is_known, parts.argmax(axis=0), -1).astype(jnp.int32)


@partial(jax.jit, static_argnames=("shape",))
@checked
def sample(
    key: Key[Array, ""], state: State, *, shape: tuple[int, ...] = ()
) -> Float[Array, "*shape d"]:
    """Draw rows from the mixture. O(d² k) a row.

    Args:
        key: Draws the components and the rows.
        state: A fitted mixture.
        shape: How many, along the axes before the features. Static.

    Returns:
        The rows, in the unit of the features.
    """
    component_key, normal_key = jax.random.split(key)
    k, d = state.means.shape
    labels = jax.random.categorical(component_key, jnp.log(state.weights), shape=shape)
    noise = jax.random.normal(normal_key, (*shape, d), state.means.dtype)
    factors = jnp.broadcast_to(state.factors, (k, *state.factors.shape[1:]))[labels]
    if factors.shape[-2] == 1:
        return state.means[labels] + factors[..., 0, :] * noise
    return state.means[labels] + (factors * noise[..., None, :]).sum(axis=-1)


@jax.jit
@checked
def bic(
    state: State, X: Float[Array, "n d"], *, weights: Float[Array, " n"] | None = None
) -> Float[Array, ""]:
    """Return Schwarz's criterion, p log n − 2 log L, in nats; less is better. O(n d² k)."""
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    return num_parameters(state) * jnp.log(weights.sum()) - 2 * _total(state, X, weights)


@jax.jit
@checked
def aic(
    state: State, X: Float[Array, "n d"], *, weights: Float[Array, " n"] | None = None
) -> Float[Array, ""]:
    """Return Akaike's criterion, 2 p − 2 log L, in nats; less is better. O(n d² k)."""
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    return 2 * num_parameters(state) - 2 * _total(state, X, weights)


def _total(state: State, X: Array, weights: Array) -> Array:
    return weights @ jnp.where(weights == 0, 0, log_prob(state, X))


def _begin(key: Array, *, Z: Array, share: Array, k: int, start: Start, update: partial) -> State:
    if start == "kmeans":
        centers, _ = kmeans.fit(key, Z, num_clusters=k, weights=share, num_restarts=1)
        labels = kmeans.predict(centers, Z)
        return update(jax.nn.one_hot(labels, k, dtype=Z.dtype, axis=0) * share[None, :], Z)
    order = jnp.log(share) + jax.random.gumbel(key, share.shape, share.dtype)
    state = update(jnp.broadcast_to(share / k, (k, len(share))), Z)
    return state._replace(means=Z[jax.lax.top_k(order, k)[1]])


def _step(
    carry: _Carry, *, Z: Array, share: Array, update: partial, atol: Scalar
) -> tuple[_Carry, _Verdict]:
    parts = log_densities(carry.state, Z)
    log_probs = jax.nn.logsumexp(parts, axis=0)
    mean = jnp.where(share > 0, share * log_probs, 0).sum()
    state = update(jnp.exp(parts - log_probs[None, :]) * share[None, :], Z)
    change = mean - carry.log_likelihood
    is_done = (jnp.abs(change) <= jnp.asarray(atol, mean.dtype)) | jnp.isnan(change)
    return _Carry(state, mean), _Verdict(is_done, change)


def _judge(state: State, Z: Array, share: Array) -> tuple[Array, Array]:
    """Return the mean log density, and which components weigh less than a row of theirs."""
    parts = log_densities(state, Z)
    log_probs = jax.nn.logsumexp(parts, axis=0)
    own = jnp.exp(parts - log_probs[None, :])
    weight, squares = own @ share, own @ share**2
    mean = jnp.where(share > 0, share * log_probs, 0).sum()
    return mean, (weight**2 < squares) | (weight == 0)


def _best(log_likelihoods: Array, is_collapsed: Array) -> Array:
    """Return the likeliest restart of those without a collapsed component, if there is one."""
    known = jnp.where(jnp.isnan(log_likelihoods), -jnp.inf, log_likelihoods)
    sound = jnp.where(is_collapsed, -jnp.inf, known)
    return jnp.where((sound > -jnp.inf).any(), jnp.argmax(sound), jnp.argmax(known))


def _is_flat(state: State, reg_covar: Array) -> Array:
    diagonal = state.factors
    if state.factors.shape[1] > 1:
        diagonal = jnp.diagonal(state.factors, axis1=1, axis2=2)[:, None, :]
    return (diagonal <= jnp.sqrt(2 * reg_covar)).any(axis=(1, 2))
