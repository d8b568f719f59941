"""Densities, distribution functions, quantiles, samples and moments of the common families.

    log p(x | params)      F(x) = P(X ≤ x)      Q(q) = min {x: F(x) ≥ q}      H = −E log p
                           S(x) = P(X > x)

``params`` is a dict by NumPyro's names: ``{"loc": 0.0, "scale": 1.0}`` for ``family="normal"``.
The families are normal, laplace, logistic, cauchy, gumbel, log_normal, student_t, half_normal,
exponential, gamma, weibull, beta, uniform, multivariate_normal, dirichlet, bernoulli, binomial,
beta_binomial, poisson, gamma_poisson and categorical. Each function is for one point of one
member; ``vmap`` gives many. A parameter out of its range (a negative scale, probabilities that do
not sum to 1) makes the answer NaN, where NumPyro would compute with it.

Sizes are free: with a rate of 1e9 the lesser of F and S still has the digits of its dtype. Floats
of 16 bits are computed with in the default width, and the answer rounded.

Source: Johnson, Kotz & Balakrishnan (1994, 1995), *Continuous Univariate Distributions*, vol. 1-2;
Johnson, Kemp & Kotz (2005), *Univariate Discrete Distributions*; densities: NumPyro.
"""

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.families import FAMILIES, Family
from mastery_jax.probability.incomplete import Tails

__all__ = ["cdf", "entropy", "log_prob", "mean", "quantile", "sample", "survival", "variance"]

Params = dict[str, Any]


class _Member(NamedTuple):
    family: Family
    params: dict[str, Array]
    is_valid: Array
    dtype: Any  # of the answer
    width: Any  # the dtype of the computation
    engine: Any  # NumPyro's object


_MOST = 2**31 - 1  # where NumPyro's and jax's draws saturate


@partial(jax.jit, static_argnames=("family", "shape"))
@checked
def sample(
    key: Key[Array, ""], params: Params, *, family: str, shape: tuple[int, ...] = ()
) -> Float[Array, "..."] | Int[Array, "..."]:
    """Draw independent points. O(product of ``shape``).

    Args:
        key: Consumed.
        params: By NumPyro's names; every one traced.
        family: One of the names above. Static.
        shape: Of the sample, before the shape of one point. Static.

    Returns:
        Points; of a discrete family, int32. Where a parameter is out of its range, NaN; of a
        discrete family −1, which also stands for a count of 2³¹ − 1 or more.

    Raises:
        ValueError: an unknown family or parameter, or a parameter of the wrong shape.

    Example:
        >>> params = {"rate": jnp.array(2.0)}
        >>> sample(jax.random.key(0), params, family="exponential", shape=(4, 3)).shape
        (4, 3)
    """
    member = _member("sample", params, family)
    own = member.family.sample
    draws = own(key, member.params, shape) if own else member.engine.sample(key, shape)
    if member.family.is_discrete:
        is_counted = member.is_valid & (draws < _MOST)
        return jnp.where(is_counted, draws.astype(jnp.int32), -1)
    return jnp.where(member.is_valid, draws.astype(member.dtype), jnp.nan)


@partial(jax.jit, static_argnames=("family",))
@checked
def log_prob(params: Params, x: Array | float, *, family: str) -> Float[Array, ""]:
    """Return the log density at one point, or the log probability of one count. O(size of x).

    Args:
        params: By NumPyro's names.
        x: One point; of a discrete family, a whole number.
        family: One of the names above. Static.

    Returns:
        Nats, per unit of ``x`` where the family is continuous; −∞ off its support, whose bounds
        count as off where the density may be infinite there (gamma, weibull, beta, dirichlet).

    Raises:
        ValueError: an unknown family or parameter, or one of the wrong shape.

    Example:
        >>> round(float(log_prob({"loc": 0.0, "scale": 1.0}, 0.0, family="normal")), 4)
        -0.9189
        >>> log_prob({"rate": 3.0}, -1.0, family="exponential")
        Array(-inf, dtype=float32)
    """
    member = _member("log_prob", params, family, x)
    x = _point("log_prob", member, x)
    kind, p = member.family, member.params
    as_given = x.astype(member.dtype) if kind.event else x  # a simplex is judged by its dtype
    is_inside = kind.support.contains(p, as_given).all()
    safe = jnp.where(is_inside, x, kind.support.inside(p, x))
    value = kind.log_prob(p, safe) if kind.log_prob else member.engine.log_prob(safe)
    value = jnp.where(is_inside, value, jnp.where(jnp.isnan(x).any(), jnp.nan, -jnp.inf))
    return _judged(value, member)


@partial(jax.jit, static_argnames=("family",))
@checked
def cdf(params: Params, x: Scalar | Int[Array, ""], *, family: str) -> Float[Array, ""]:
    """Return P(X ≤ x). O(1), O(classes) for categorical.

    Args:
        params: By NumPyro's names.
        x: One number, anywhere.
        family: One of the names above, of scalars. Static.

    Raises:
        ValueError: as ``log_prob``, and a family that has none in closed form.

    Example:
        >>> round(float(cdf({"rate": 2.0}, 1, family="poisson")), 4)
        0.406
    """
    return _tails("cdf", params, x, family).lower


@partial(jax.jit, static_argnames=("family",))
@checked
def survival(params: Params, x: Scalar | Int[Array, ""], *, family: str) -> Float[Array, ""]:
    """Return P(X > x), with its digits where ``cdf`` rounds to 1. O(1), O(classes) for categorical.

    Args:
        params: By NumPyro's names.
        x: One number, anywhere.
        family: As for ``cdf``. Static.

    Raises:
        ValueError: as ``cdf``.

    Example:
        >>> print(f"{survival({'loc': 0.0, 'scale': 1.0}, 9.0, family='normal'):.2e}")
        1.13e-19
    """
    return _tails("survival", params, x, family).upper


@partial(jax.jit, static_argnames=("family",))
@checked
def quantile(params: Params, q: Scalar, *, family: str) -> Float[Array, ""]:
    """Return the least x with P(X ≤ x) ≥ q. O(1); by bisection for beta, gamma, student_t.

    Args:
        params: By NumPyro's names.
        q: In [0, 1].
        family: One of the names above, of scalars. Static.

    Returns:
        A float, also of a discrete family; NaN for q off [0, 1].

    Raises:
        ValueError: as ``log_prob``, and a family that has none in closed form.

    Example:
        >>> round(float(quantile({"loc": 0.0, "scale": 1.0}, 0.975, family="normal")), 4)
        1.96
    """
    member = _member("quantile", params, family, q)
    q = _point("quantile", member, q)
    is_probability = (q >= 0) & (q <= 1)
    safe = jnp.where(is_probability, q, 0.5)
    own = member.family.quantile
    value = own(member.params, safe) if own else _ask("quantile", family, member.engine.icdf, safe)
    return _judged(jnp.where(is_probability, value, jnp.nan), member)


@partial(jax.jit, static_argnames=("family",))
@checked
def mean(params: Params, *, family: str) -> Float[Array, "..."]:
    """Return E X, shaped like one point; NaN where there is none (cauchy, categorical). O(size)."""
    member = _member("mean", params, family)
    own = member.family.mean
    return _judged(own(member.params) if own else member.engine.mean, member)


@partial(jax.jit, static_argnames=("family",))
@checked
def variance(params: Params, *, family: str) -> Float[Array, "..."]:
    """Return E (X − E X)² of every coordinate; infinite or NaN where there is none. O(size)."""
    member = _member("variance", params, family)
    return _judged(member.engine.variance, member)


@partial(jax.jit, static_argnames=("family",))
@checked
def entropy(params: Params, *, family: str) -> Float[Array, ""]:
    """Return −E log p in nats; of a continuous family it may be negative. O(size).

    Raises:
        ValueError: as ``log_prob``, and a family that has none in closed form.
    """
    member = _member("entropy", params, family)
    own = member.family.entropy
    value = own(member.params) if own else _ask("entropy", family, member.engine.entropy)
    return _judged(value, member)


def _member(verb: str, params: Params, family: str, *data: Any) -> _Member:
    """Return what was asked for in one dtype; raise a sentence that names what does not fit."""
    where = f"distributions.{verb}"
    kind = FAMILIES.get(family)
    if kind is None:
        raise ValueError(f"{where}: family is {family!r}, not one it knows{_nearest(family)}")
    _check(where, params, kind, family)
    given = (*params.values(), *data)
    floats = [v for v in given if jnp.issubdtype(jnp.result_type(v), jnp.floating)]
    dtype = jnp.result_type(*floats, 1.0)
    width = dtype if jnp.finfo(dtype).bits > 16 else jnp.result_type(float)
    cast = {name: jnp.asarray(params[name], width) for name in kind.params}
    # As given: a table of 16 bits sums to 1 only as far as they go.
    allowed = [may(cast[name].astype(dtype)).all() for name, (_, may) in kind.params.items()]
    allowed += [kind.agree(cast)] if kind.agree else []
    engine = kind.make(**cast, validate_args=False)
    return _Member(kind, cast, jnp.stack(allowed).all(), dtype, width, engine)


def _tails(verb: str, params: Params, x: Any, family: str) -> Tails:
    """Return both tails of one point; off the support, those of its end."""
    member = _member(verb, params, family, x)
    kind, p = member.family, member.params
    if kind.tails is None:
        raise _has_none(verb, family)
    x = _point(verb, member, x)
    at = jnp.floor(x) if kind.is_discrete else x
    is_inside, inside = kind.support.contains(p, at), kind.support.inside(p, at)
    both = kind.tails(p, jnp.where(is_inside, at, inside))
    off = ((at > inside).astype(x.dtype), (at <= inside).astype(x.dtype))
    told = [jnp.where(is_inside, one, far) for one, far in zip(both, off, strict=True)]
    return Tails(*(_judged(jnp.where(jnp.isnan(x), jnp.nan, one), member) for one in told))


def _check(where: str, params: Params, kind: Family, family: str) -> None:
    known = ", ".join(kind.params)
    for name in params:
        if name not in kind.params:
            raise ValueError(f"{where}: {name!r} is no parameter of {family}, which takes {known}")
    sizes: dict[str, int] = {}
    for name, (axes, _) in kind.params.items():
        if name not in params:
            raise ValueError(f"{where}: {name!r} is missing; {family} takes {known}")
        shape, wanted = np.shape(params[name]), axes.split()
        if len(shape) != len(wanted) or any(
            sizes.setdefault(axis, size) != size for axis, size in zip(wanted, shape, strict=True)
        ):
            sized = ", ".join(str(sizes.get(axis, axis)) for axis in wanted)
            raise ValueError(f"{where}: {name!r} of {family} has shape {shape}, not ({sized})")


def _point(verb: str, member: _Member, x: Any) -> Array:
    axes = member.family.event
    shape = np.shape(next(iter(member.params.values()))) if axes else ()
    if np.shape(x) != shape:
        raise ValueError(f"distributions.{verb}: the point has shape {np.shape(x)}, not {shape}")
    return jnp.asarray(x, member.width)


def _judged(value: Any, member: _Member) -> Array:
    return jnp.where(member.is_valid, jnp.asarray(value).astype(member.dtype), jnp.nan)


def _ask(what: str, family: str, method: Callable[..., Any], *at: Array) -> Any:
    try:
        return method(*at)
    except NotImplementedError:
        raise _has_none(what, family) from None


def _has_none(what: str, family: str) -> ValueError:
    said = f"family is {family!r}, which has no {what} in closed form"
    return ValueError(f"distributions.{what}: {said}")


def _nearest(family: str) -> str:
    near = difflib.get_close_matches(family, FAMILIES, n=1)
    return f"; did you mean {near[0]!r}?" if near else f": {', '.join(FAMILIES)}"
