"""How much is unknown, and how far one distribution is from another; all in nats.

    H(p) = −Σ p log p                    H(p, q) = −Σ p log q              0 log 0 = 0
    KL(p‖q) = Σ p log(p/q)               JS(p, q) = (KL(p‖m) + KL(q‖m)) / 2,   m = (p + q) / 2
    I(X; Y) = KL(p(x, y) ‖ p(x) p(y))

    KL(N(μ, Σ) ‖ N(ν, Λ)) = (tr Λ⁻¹Σ + (ν − μ)ᵀ Λ⁻¹ (ν − μ) − d + log|Λ|/|Σ|) / 2

A table whose entries are negative, or whose sum is off 1 by more than a thousandth (of bfloat16 by
more than its ε, 1/128), is no distribution: the answer is NaN. Derivatives at an entry of 0 are
taken as 0, so that all are finite; the true one-sided slope of −p log p there is infinite.

Source: Cover & Thomas (2006), *Elements of Information Theory*, eq. 2.1, 2.26, 2.28; Lin (1991),
IEEE Trans. Inf. Theory 37(1), eq. 4.1; Kullback (1959), *Information Theory and Statistics*, ch.
9, eq. 1.4; Kingma & Welling (2014), *Auto-Encoding Variational Bayes*, appendix B.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import checked

__all__ = [
    "cross_entropy",
    "entropy",
    "is_distribution",
    "js_divergence",
    "kl_divergence",
    "kl_normal",
    "kl_normal_diagonal",
    "kl_vae",
    "mutual_information",
]

_SLACK = 1e-3  # what rounding may leave of a sum over many entries


@jax.jit
@checked
def is_distribution(probs: Float[Array, " n"]) -> Bool[Array, ""]:
    """Say whether all entries are ≥ 0 and sum to 1 within a thousandth, or the dtype's ε. O(n)."""
    info = jnp.finfo(probs.dtype)
    wide = probs if info.bits > 16 else probs.astype(jnp.result_type(float))
    slack = max(_SLACK, float(info.eps))  # of bfloat16 0.008: a softmax divides by a rounded sum
    return (probs >= 0).all() & (jnp.abs(wide.sum() - 1) <= slack)


@jax.jit
@checked
def entropy(probs: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the Shannon entropy, between 0 and log n nats. O(n).

    Args:
        probs: A distribution over n outcomes.

    Returns:
        NaN where the entries are no distribution.

    Example:
        >>> entropy(jnp.array([0.5, 0.5, 0.0])).round(4)
        Array(0.6931, dtype=float32)
    """
    return cross_entropy(probs, probs)


@jax.jit
@checked
def cross_entropy(p: Float[Array, " n"], q: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the nats per outcome of p under the code that is best for q. O(n).

    Args:
        p: What the outcomes follow.
        q: What they are thought to follow.

    Returns:
        H(p) + KL(p‖q); infinite where q is 0 and p is not; NaN where either is no distribution.
    """
    return _judged(-_expected_log(p, q).sum(), p, q)


@jax.jit
@checked
def kl_divergence(p: Float[Array, " n"], q: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the nats lost by taking q for p; 0 for p = q, and not symmetric. O(n).

    Args:
        p: What the outcomes follow.
        q: What they are thought to follow.

    Returns:
        Infinite where q is 0 and p is not; NaN where either is no distribution.

    Example:
        >>> kl_divergence(jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0]))
        Array(inf, dtype=float32)
    """
    return _judged(_divergence(p, q), p, q)


@jax.jit
@checked
def js_divergence(p: Float[Array, " n"], q: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the Jensen-Shannon divergence: symmetric, between 0 and log 2 nats. O(n).

    Returns:
        NaN where either is no distribution. Its square root is a metric.
    """
    middle = (p + q) / 2
    apart = (_divergence(p, middle) + _divergence(q, middle)) / 2
    return _judged(jnp.maximum(apart, 0), p, q)  # of nearly equal ones, rounding has a sign


@jax.jit
@checked
def mutual_information(joint: Float[Array, "n m"]) -> Float[Array, ""]:
    """Return the nats that two discrete variables tell of each other. O(n m).

    Args:
        joint: p(x, y), rows for x and columns for y; counts divided by their sum.

    Returns:
        0 for independent variables, at most the smaller entropy; NaN where the table is no
        distribution.

    Example:
        >>> mutual_information(jnp.array([[0.5, 0.0], [0.0, 0.5]])).round(4)
        Array(0.6931, dtype=float32)
    """
    # By logarithms: a product of two small probabilities may be no number.
    of_x, of_y, both = (
        jnp.log(jnp.where(p > 0, p, 1)) for p in (joint.sum(axis=1), joint.sum(axis=0), joint)
    )
    shared = jnp.where(joint > 0, joint * (both - of_x[:, None] - of_y[None, :]), 0).sum()
    return _judged(shared, joint.ravel())


@jax.jit
@checked
def kl_normal(
    mean_p: Float[Array, " d"],
    cov_p: Float[Array, "d d"],
    mean_q: Float[Array, " d"],
    cov_q: Float[Array, "d d"],
) -> Float[Array, ""]:
    """Return KL(N(mean_p, cov_p) ‖ N(mean_q, cov_q)) by two Cholesky factors. O(d³).

    Args:
        mean_p: Unit u.
        cov_p: Symmetric positive definite, u².
        mean_q: Unit u.
        cov_q: Symmetric positive definite, u².

    Returns:
        NaN where a covariance is not positive definite in the precision of its dtype.
    """
    with jax.default_matmul_precision("highest"):
        of_p, of_q = jnp.linalg.cholesky(cov_p), jnp.linalg.cholesky(cov_q)
        whitened = solve_triangular(of_q, of_p, lower=True)
        shift = solve_triangular(of_q, mean_q - mean_p, lower=True)
    volumes = jnp.log(jnp.diagonal(of_q)) - jnp.log(jnp.diagonal(of_p))
    return ((whitened**2).sum() + (shift**2).sum() - len(mean_p)) / 2 + volumes.sum()


@jax.jit
@checked
def kl_normal_diagonal(
    mean_p: Float[Array, " d"],
    var_p: Float[Array, " d"],
    mean_q: Float[Array, " d"],
    var_q: Float[Array, " d"],
) -> Float[Array, ""]:
    """Return KL between normals of independent coordinates; with d = 1, of scalars. O(d).

    Args:
        mean_p: Unit u.
        var_p: > 0, u².
        mean_q: Unit u.
        var_q: > 0, u².

    Returns:
        NaN where a variance is negative.
    """
    ratio = var_p / var_q
    apart = jnp.log(var_p) - jnp.log(var_q)  # each must have one
    return ((mean_q - mean_p) ** 2 / var_q + ratio - 1 - apart).sum() / 2


@jax.jit
@checked
def kl_vae(mean: Float[Array, " d"], log_var: Float[Array, " d"]) -> Float[Array, ""]:
    """Return KL(N(mean, exp(log_var)) ‖ N(0, I)), the price of a code in a VAE. O(d).

    Args:
        mean: Of the code, per coordinate.
        log_var: Logarithm of its variance, as an encoder gives it.

    Example:
        >>> kl_vae(jnp.array([1.0, 0.0]), jnp.zeros(2))
        Array(0.5, dtype=float32)
    """
    return (mean**2 + jnp.expm1(log_var) - log_var).sum() / 2


def _judged(value: Array, *tables: Array) -> Array:
    valid = jnp.stack([is_distribution(table) for table in tables]).all()
    return jnp.where(valid, value, jnp.nan)


def _divergence(p: Array, q: Array) -> Array:
    return (_expected_log(p, p) - _expected_log(p, q)).sum()


def _expected_log(p: Array, q: Array) -> Array:
    """Return p log q: 0 where p is 0, minus infinity where only q is."""
    is_seen, is_known = p > 0, q > 0
    safe = jnp.log(jnp.where(is_seen & is_known, q, 1)) * jnp.where(is_seen, p, 0)
    return jnp.where(is_seen & ~is_known, -jnp.inf, safe)
