"""What is believed of a regression before its rows are seen, in the units of the data.

    normal       y_i ~ N(x_i·w, σ²),   w = m + σ L z,   z ~ N(0, I),   1/σ² ~ Gamma(a, rate b)
    bernoulli    P(y_i = 1) = 1 / (1 + exp(−x_i·w)),   w = m + L z

With a diagonal L, weight j has the standard deviation L_jj: of the noise's, if there is noise, and
of log odds if not. An intercept is a column of ones. ``weakly_informative`` believes of it at the
mean of the other columns, where it is known best: w_1 = α − Σ_j x̄_j w_j fills its row of L.

Source: Gelman et al. (2013), *Bayesian Data Analysis*, sections 14.2 and 14.8 (the pair of priors);
Gelman, Jakulin, Pittau & Su (2008), *Annals of Applied Statistics* 2, 1360 (the scale of 2.5).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import Scalar, checked

__all__ = ["Family", "Prior", "is_usable", "refuse_family", "weakly_informative"]

Family = Literal["normal", "bernoulli"]

SPREAD = {"normal": 10.0, "bernoulli": 2.5}


class Prior(NamedTuple):
    """A belief about weights, and about the noise where there is any."""

    mean: Float[Array, " p"]  # m, unit of y (of log odds) per unit of the column
    root: Float[Array, "p p"]  # L, 1 / unit of the column if normal, else as the mean
    shape: Float[Array, ""]  # a > 0, half the rows that the belief about σ is worth; normal only
    rate: Float[Array, ""]  # b > 0, squared unit of y; normal only


@partial(jax.jit, static_argnames=("family",))
@checked
def weakly_informative(
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    family: Family = "normal",
    spread: Scalar | None = None,
) -> Prior:
    """Return a prior that knows the units of the rows, and little else. O(n p + p²).

    With units s_j = √(mean of (x_j − x̄_j)²), weight j has the standard deviation ``spread`` / s_j,
    and so has the intercept, at the mean of the columns, with a unit of 1 and the mean of y
    (log odds: 0). The noise has a = 1 and b = 0.01 times the variance of y: a median of 0.12
    standard deviations of y, and no mean. Without a column that is constant, all means are 0.

    Args:
        X: One row per observation; its first constant column is the intercept.
        y: What was seen.
        family: Static.
        spread: > 0, in noise standard deviations (log odds) per unit s_j; by default 10 (2.5).
            Traced.

    Returns:
        The prior. Where y is constant its rate is 0, which every engine refuses as BAD_INPUT.

    Raises:
        ValueError: shapes disagree, there is no row, or the family is unknown.

    Example:
        >>> X = jnp.array([[1.0, 10.0], [1.0, 20.0], [1.0, 30.0], [1.0, 40.0]])
        >>> prior = weakly_informative(X, jnp.array([1.0, 2.0, 4.0, 5.0]))
        >>> prior.mean, [f"{x:.2f}" for x in prior.root[:, 1]]
        (Array([3., 0.], dtype=float32), ['-22.36', '0.89'])
    """
    refuse_family("prior.weakly_informative", family)
    if not len(X):
        raise ValueError("prior.weakly_informative: X has no rows, not at least one")
    reach = jnp.asarray(SPREAD[family] if spread is None else spread, X.dtype)
    is_constant = (X.max(axis=0) == X.min(axis=0)) & (X[0] != 0)
    has_intercept, place = is_constant.any(), jnp.argmax(is_constant)
    height = jnp.where(has_intercept, X[0, place], 1)
    center = jnp.where(has_intercept, X.mean(axis=0), 0)
    unit = jnp.sqrt(((X - center[None, :]) ** 2).mean(axis=0))
    unit = jnp.where(is_constant, jnp.abs(X[0]), unit)
    scale = reach / jnp.where(unit > 0, unit, 1)
    is_place = has_intercept & (jnp.arange(X.shape[1]) == place)
    row = jnp.where(is_place, 0, -center * scale / height)
    root = jnp.diag(scale) + jnp.where(is_place[:, None], row[None, :], 0)
    level = jnp.where(has_intercept, y.mean(), 0)
    is_shifted = is_place & (family == "normal")
    mean = jnp.where(is_shifted, level / height, 0)
    return Prior(
        mean=mean,
        root=root,
        shape=jnp.ones_like(level),
        rate=0.01 * ((y - level) ** 2).mean(),
    )


def refuse_family(where: str, family: str) -> None:
    """Raise where a family is unknown. O(1).

    Raises:
        ValueError: the family is not one of those above.

    Example:
        >>> refuse_family("here", "normal")
    """
    if family not in SPREAD:
        raise ValueError(f"{where}: family is {family!r}, not one of {', '.join(SPREAD)}")


def is_usable(prior: Prior, X: Array, y: Array, *, family: Family) -> Bool[Array, ""]:
    """Say whether a prior and rows are of the family, and finite. O(n p + p²).

    Example:
        >>> one = jnp.ones(())
        >>> belief = Prior(jnp.zeros(1), jnp.eye(1), one, -one)
        >>> bool(is_usable(belief, jnp.ones((3, 1)), jnp.zeros(3), family="normal"))
        False
    """
    is_finite = jnp.stack([jnp.isfinite(each).all() for each in (X, prior.mean, prior.root)]).all()
    if family == "bernoulli":
        return is_finite & ((y == 0) | (y == 1)).all()
    is_belief = jnp.isfinite(prior.shape) & jnp.isfinite(prior.rate)
    return is_finite & is_belief & (prior.shape > 0) & (prior.rate > 0) & jnp.isfinite(y).all()
