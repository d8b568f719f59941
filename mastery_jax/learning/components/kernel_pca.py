"""Principal components of features that are known only through their products, a kernel.

    K_ij = k(x_i, x_j),   C K C = V diag(λ) Vᵀ,   C = I − 1 1ᵀ/n
    coordinate of x along component j:  Σ_i V_ij k̃(x, x_i) / √λ_j

k̃ is the kernel of the centered features. Of the fitted rows the coordinates are √λ_j V_ij.

    linear  x·y        poly  (gamma x·y + offset)^degree        rbf  exp(−gamma |x − y|²)

The entry of largest size of every column of V is positive.

Source: Schölkopf, Smola & Müller (1998), *Neural Computation* 10(5), eq. 2.9-2.12 and appendix A.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.components.affinities import between
from mastery_jax.learning.components.singular import orient

__all__ = ["Kernel", "State", "fit", "transform"]

Kernel = Literal["rbf", "linear", "poly"]


class State(NamedTuple):
    """Fitted components."""

    rows: Float[Array, "n d"]  # that were fitted, unit of the features
    vectors: Float[Array, "n k"]  # V / √λ; 0 where λ is
    eigenvalues: Float[Array, " k"]  # λ, unit of the kernel
    means: Float[Array, " n"]  # of the columns of K; if linear, of rows less their mean
    gamma: Float[Array, ""]
    degree: Float[Array, ""]
    offset: Float[Array, ""]


@partial(jax.jit, static_argnames=("num_components", "kernel"))
@checked
def fit(
    X: Float[Array, "n d"],
    *,
    num_components: int,
    kernel: Kernel = "rbf",
    gamma: Scalar | None = None,
    degree: Scalar = 3.0,
    offset: Scalar = 1.0,
) -> State:
    """Find the leading components. O(n² d + n³).

    scikit-learn's ``coef0`` is ``offset``.

    Args:
        X: One row per sample.
        num_components: k, at least 1 and at most n. Static.
        kernel: Static; give the same to ``transform``.
        gamma: > 0, per squared unit of the features; 1/d where None; not read if linear. Traced.
        degree: Of the polynomial, ≥ 0. Traced.
        offset: Of the polynomial, ≥ 0. Traced.

    Returns:
        The components; NaN for NaN in the data, and for parameters of the kernel out of range. A
        component whose eigenvalue is 0 in the precision of ``X`` gives coordinates 0.

    Raises:
        ValueError: ``num_components`` is out of range.

    Example:
        >>> X = jnp.array([[-2.0], [-1.0], [0.5], [2.5]])
        >>> state = fit(X, num_components=1, kernel="linear")
        >>> transform(state, X, kernel="linear")[:, 0].round(3)
        Array([-2. , -1. ,  0.5,  2.5], dtype=float32)
    """
    n, d = X.shape
    if not 1 <= num_components <= n:
        raise ValueError(
            f"kernel_pca.fit: num_components is {num_components}, not from 1 to the {n} rows of X"
        )
    hyper = [jnp.asarray(a, X.dtype) for a in (1 / d if gamma is None else gamma, degree, offset)]
    K = jnp.where(_is_sound(kernel, hyper), _kernel(X, X, kernel, hyper), jnp.nan)
    means = K.mean(axis=0)
    centered = K - means[None, :] - means[:, None] + means.mean()
    eigenvalues, V = jnp.linalg.eigh(centered)
    eigenvalues, V = eigenvalues[::-1][:num_components], V[:, ::-1][:, :num_components]
    is_large = eigenvalues > n * jnp.finfo(X.dtype).eps * eigenvalues[0]
    roots = jnp.sqrt(jnp.where(is_large, eigenvalues, 1))
    vectors = jnp.where(is_large[None, :], orient(V.T).T / roots[None, :], 0)
    is_known = jnp.isfinite(eigenvalues[0])
    vectors = jnp.where(is_known, vectors, jnp.nan)
    kept = jnp.where(is_large | ~is_known, eigenvalues, 0)
    return State(X, vectors, kept, means, *hyper)


@partial(jax.jit, static_argnames=("kernel",))
@checked
def transform(state: State, X: Float[Array, "m d"], *, kernel: Kernel) -> Float[Array, "m k"]:
    """Return the coordinates of every row along the components. O(n m (d + k)).

    Args:
        state: Fitted with the same kernel.
        X: One row per sample.
        kernel: The one of ``fit``. Static.
    """
    K = _kernel(X, state.rows, kernel, [state.gamma, state.degree, state.offset])
    centered = K - state.means[None, :] - K.mean(axis=1)[:, None] + state.means.mean()
    with jax.default_matmul_precision("highest"):
        return centered @ state.vectors


def _is_sound(kernel: Kernel, hyper: list[Array]) -> Array:
    gamma, degree, offset = hyper
    if kernel == "linear":
        return jnp.asarray(True)
    return (gamma > 0) & ((kernel == "rbf") | ((degree >= 0) & (offset >= 0)))


def _kernel(X: Array, Y: Array, kernel: Kernel, hyper: list[Array]) -> Array:
    gamma, degree, offset = hyper
    if kernel == "rbf":
        return jnp.exp(-gamma * between(X, Y))
    with jax.default_matmul_precision("highest"):
        if kernel == "poly":
            return (gamma * (X @ Y.T) + offset) ** degree
        center = Y.mean(axis=0)  # a shift changes no component, but far away digits
        center = (center + (Y - center[None, :]).mean(axis=0))[None, :]
        return (X - center) @ (Y - center).T
