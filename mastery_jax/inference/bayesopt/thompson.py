"""Thompson sampling: each point to measure is where one function drawn from the posterior is least.

    f_s ~ posterior, jointly at many candidates,      x_s = argmin of f_s over them

With constraints, theirs are drawn too, and the argmin is over candidates where all drawn values
are at most 0; where there is none, it is the one that breaks them least.

Source: Thompson (1933), Biometrika 25; Kandasamy et al. (2018), *Parallelised Bayesian
Optimisation via Thompson Sampling*, algorithm 1; Eriksson & Poloczek (2021), *Scalable Constrained
Bayesian Optimization*, section 3 (constraints).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.bayesopt import one_point, surrogate
from mastery_jax.probability.gaussian_process import gp_regression

__all__ = ["ask"]


@partial(jax.jit, static_argnames=("num_points", "num_candidates", "num_starts"))
@checked
def ask(
    key: Key[Array, ""],
    state: surrogate.State,
    *,
    num_points: int = 1,
    jitter: Scalar | None = None,
    num_candidates: int = 512,
    num_starts: int = 4,
) -> tuple[Float[Array, "num_points d"], surrogate.Model]:
    """Return points to measure next, drawn at random. O(capacity³ + num_candidates³).

    Args:
        key: Consumed.
        state: What was told.
        num_points: Functions drawn, and points returned. Static.
        jitter: Variance added to each value drawn, of outputs at variance 1; ``None``: 10 times
            the root of eps, which the covariance of many close candidates needs.
        num_candidates: Where the functions are drawn. Static.
        num_starts: Searches for hyperparameters. Static.

    Returns:
        One point a row, unit of x, and the model; where its status is NOT_FINITE or BAD_INPUT the
        points are candidates of no worth.
    """
    fit_key, candidate_key, sample_key = jax.random.split(key, 3)
    model = surrogate.fit(fit_key, state, num_starts=num_starts)
    X = one_point.candidates(candidate_key, state, model.best_at, num_points=num_candidates)
    if jitter is None:
        jitter = 10 * jnp.sqrt(jnp.finfo(X.dtype).eps)
    keys = jax.random.split(sample_key, 1 + state.constraints.shape[1])
    draw = partial(gp_regression.sample, X=X, num_samples=num_points, jitter=jitter)
    values = draw(keys[0], model.objective)
    excess = jax.vmap(draw)(keys[1:], model.constraints) - model.limits[:, None, None]
    broken = jnp.maximum(excess, 0).sum(axis=0)
    is_least = broken <= broken.min(axis=1)[:, None]
    rows = jnp.argmin(jnp.where(is_least, values, jnp.inf), axis=1)
    return surrogate.to_box(state, X[rows]), model
