"""Bayesian quadrature: an integral of a function that has a Gaussian process as its prior.

    Z = ∫ f dμ,     f ~ GP(m, k),     z_i = ∫ k(x, x_i) dμ(x),     zz = ∬ k dμ dμ

    E Z   = m μ(1) + zᵀ K⁻¹ (y − m)
    var Z = zz − zᵀ K⁻¹ z
    gain(x) = (z(x) − zᵀ K⁻¹ k(X, x))² / (var f(x) + noise)     what a value at x takes off var Z

var Z is the variance of the integral itself, not the mean of var f. z and zz are the closed forms
of ``gaussian_process.embedding``. The variance is as right as the kernel: if f is not like a draw
from the prior, the stated interval does not cover as often as it says.

Source: O'Hagan (1991), J. Stat. Plan. Inference 29, section 2; Rasmussen & Ghahramani (2003),
*Bayesian Monte Carlo*, eq. 8-10; Gessner, Gonzalez & Mahsereci (2020), *Active Multi-Information
Source Bayesian Quadrature*, section 3.1 (where to look next).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import multistart, report
from mastery_jax.probability.gaussian_process import embedding, gp_regression, kernels

__all__ = ["State", "ask", "fit", "gain", "integrate"]


class State(NamedTuple):
    """What is believed of an integral."""

    posterior: gp_regression.State  # of the integrand
    measure: embedding.Measure
    means: Float[Array, " n"]  # z
    weights: Float[Array, " n"]  # K⁻¹ z: of the values, in the estimate
    prior_variance: Float[Array, ""]  # zz
    noise: Float[Array, ""]  # of one more value, squared unit of y


@jax.jit
@checked
def fit(
    kernel: kernels.Kernel,
    measure: embedding.Measure,
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    noise: Scalar = 0.0,
    mean: Scalar = 0.0,
) -> State:
    """Condition the integral on values of the integrand. O(n³/3).

    Args:
        kernel: Covariance of the integrand, with its hyperparameters; see
            ``marginal_likelihood.maximize``. Not White: give ``noise``.
        measure: What is integrated over.
        X: Where the integrand was evaluated, one point a row.
        y: Its values.
        noise: Variance of each value; also a jitter, which smooth kernels need on close points.
        mean: m, what the integrand is drawn around.

    Returns:
        The belief; NaN where the covariance of the values is not positive definite.

    Raises:
        ValueError: the kernel has no mean in closed form under this measure.

    Example:
        >>> X = jnp.linspace(0.0, 1.0, 5)[:, None]
        >>> box = embedding.Box(lower=jnp.zeros(1), upper=jnp.ones(1))
        >>> state = fit(kernels.RBF(lengthscale=0.5), box, X, jnp.exp(X[:, 0]), noise=1e-6)
        >>> estimate, variance = integrate(state)
        >>> round(float(estimate), 2), bool(variance < 1e-4)
        (1.72, True)
    """
    posterior = gp_regression.fit(kernel, X, y, noise=noise, mean=mean)
    means = embedding.mean(kernel, measure, X)
    return State(
        posterior=posterior,
        measure=measure,
        means=means,
        weights=cho_solve((posterior.factor, True), means),
        prior_variance=embedding.energy(kernel, measure),
        noise=jnp.asarray(noise, X.dtype),
    )


@jax.jit
@checked
def integrate(state: State) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return mean and variance of the integral. O(n).

    Rounding can leave the variance below 0, by some eps of the prior's times the condition of K.
    """
    posterior = state.posterior
    level = posterior.mean * embedding.total(state.measure)
    variance = state.prior_variance - (state.means * state.weights).sum()
    return level + (state.means * posterior.weights).sum(), variance


@jax.jit
@checked
def gain(state: State, X: Float[Array, "m d"]) -> Float[Array, " m"]:
    """Return by how much one more value, at each row, would lower the variance. O(n² m).

    Where the integrand is known without noise it is 0/0 up to rounding, and so NaN or small.
    """
    posterior = state.posterior
    with jax.default_matmul_precision("highest"):
        across = kernels.cross(posterior.kernel, X, posterior.X)
        shared = embedding.mean(posterior.kernel, state.measure, X) - across @ state.weights
    _, variance = gp_regression.predict(posterior, X)
    return shared**2 / (variance + state.noise)


@partial(jax.jit, static_argnames=("num_candidates", "num_searches"))
@checked
def ask(
    key: Key[Array, ""], state: State, *, num_candidates: int = 256, num_searches: int = 4
) -> tuple[Float[Array, " d"], report.Info]:
    """Return where one more value lowers the variance of the integral most. O(n² num_candidates).

    Args:
        key: Consumed: candidates are drawn from the measure.
        state: The belief so far.
        num_candidates: Where the gain is computed first. Static.
        num_searches: Candidates that L-BFGS goes on from. Static.

    Returns:
        The point, and how it was found; minus ``value`` is the gain.
    """
    shape = (num_candidates, state.posterior.X.shape[1])
    match state.measure:
        case embedding.Box(lower, upper):
            unit = jax.random.uniform(key, shape, lower.dtype)
            points = lower[None, :] + (upper - lower)[None, :] * unit
            bounds = {"lower": lower, "upper": upper}
        case embedding.Normal(mean, scale):
            points = mean[None, :] + scale[None, :] * jax.random.normal(key, shape, mean.dtype)
            bounds = {}
    return multistart.minimize(Partial(_loss, state), points, num_searches=num_searches, **bounds)


def _loss(state: State, x: Array) -> Array:
    return -gain(state, x[None, :])[0]
