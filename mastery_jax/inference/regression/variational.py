"""Densities of a chosen form as engines of regression: Laplace's normal, mean field, NumPyro's.

    laplace       the normal at the mode of (u, t), with the curvature there
    mean_field    independent normals, by the gradient of the evidence lower bound
    numpyro_svi   the same climb by NumPyro, from the program: mean field or a whole covariance

Draws are independent, of the guide and not of the posterior; k̂ of their importance ratios says
whether that matters. The two that climb work in ``columns`` coordinates unless told otherwise:
where columns are collinear, mean field is then too narrow, as it is for everyone who fits weights
one by one, and climbs slowly. In ``rotated`` coordinates, where the numbers are nearly independent,
it is nearly exact.

Source: Tierney & Kadane (1986), *JASA* 81, 82; Kucukelbir, Tran, Ranganath, Gelman & Blei (2017),
*JMLR* 18(14); Yao, Vehtari, Simpson & Gelman (2018), *Yes, but did it work?*, ICML (k̂).
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import unconstrained
from mastery_jax.inference.regression import model
from mastery_jax.inference.regression.model import Coordinates, Draws
from mastery_jax.inference.regression.prior import Family, Prior
from mastery_jax.inference.vi import fit as climb
from mastery_jax.inference.vi import full_rank, trust
from mastery_jax.inference.vi import laplace as at_mode
from mastery_jax.inference.vi import mean_field as independent
from mastery_jax.inference.vi import numpyro_svi as by_numpyro

__all__ = ["laplace", "mean_field", "numpyro_svi"]

NUM_RATIOS = 1000
"""Draws that k̂ is found from: to some 0.1."""

SIZES = ("family", "coordinates", "num_draws", "num_chains")


@partial(jax.jit, static_argnames=(*SIZES, "max_steps"))
@checked
def laplace(
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    coordinates: Coordinates = "rotated",
    num_draws: int = 1000,
    num_chains: int = 4,
    gtol: Scalar = 1e-2,
    max_steps: int = 200,
) -> tuple[Draws, model.Info]:
    """Find the mode, and draw from the normal there. O(max_steps n p + n p²).

    Args:
        key: Consumed.
        X: One row per observation; an intercept is a column of ones.
        y: What was seen; 0 and 1 if bernoulli.
        prior: Traced.
        family: Static.
        coordinates: Only of the search: a normal is one in both. Static.
        num_draws: Of each chain, at least 1. Static.
        num_chains: Only a shape. Static.
        gtol: The mode is found when no entry of the gradient is larger, in nats per unit of the
            free coordinates, whose standard deviations are about 1. Traced.
        max_steps: Of L-BFGS, at most. Static.

    Returns:
        Independent draws, and Info: as ``vi.laplace`` ended if it did not converge, else as
        ``vi.trust`` judges the normal (DIVERGED: k̂ > 0.7); BAD_INPUT where prior or y is not of
        the family. Its evidence is Laplace's.

    Raises:
        ValueError: a number below its least, an unknown option, or shapes disagree.

    Example:
        >>> from mastery_jax.inference.regression.prior import weakly_informative
        >>> X, y = jnp.ones((9, 1)), jnp.arange(9.0)
        >>> draws, info = laplace(jax.random.key(0), X, y, prior=weakly_informative(X, y))
        >>> bool(abs(draws.weights.mean() - 4) < 0.1), bool(info.pareto_shape < 0.7)
        (True, True)
    """
    model.refuse_counts("variational.laplace", num_draws=num_draws, num_chains=num_chains)
    target = model.pose(X, y, prior=prior, family=family, coordinates=coordinates)
    density, start = model.log_density(target, family=family), model.origin(target, family=family)
    params, found = at_mode.fit(start, log_density=density, gtol=gtol, max_steps=max_steps)
    count = (num_chains, num_draws)
    positions, report = _drawn(key, params, full_rank, density, count)
    status = model.ended(target, jnp.where(found.is_done, report.status, found.status))
    info = model.Info(status, pareto_shape=report.pareto_shape, log_evidence=found.log_evidence)
    return model.draws(target, positions["u"], positions.get("t")), info


@partial(jax.jit, static_argnames=(*SIZES, "num_steps"))
@checked
def mean_field(
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    coordinates: Coordinates = "columns",
    num_draws: int = 1000,
    num_chains: int = 4,
    learning_rate: Scalar = 0.05,
    num_steps: int = 2000,
) -> tuple[Draws, model.Info]:
    """Fit independent normals by Adam, its rate falling to 0. O(8 num_steps n p).

    Args:
        key: Consumed.
        X: As ``laplace``.
        y: As ``laplace``.
        prior: Traced.
        family: Static.
        coordinates: In which the numbers are independent. Static.
        num_draws: As ``laplace``. Static.
        num_chains: Only a shape. Static.
        learning_rate: Of the first step, in units of the free coordinates. Traced.
        num_steps: At least 8. Static.

    Returns:
        Independent draws, and Info: as ``vi.fit`` ended if the bound still climbs, else as
        ``vi.trust`` judges (DIVERGED: k̂ > 0.7). Its evidence is that of the smoothed ratios.

    Raises:
        ValueError: a number below its least, an unknown option, or shapes disagree.
    """
    model.refuse_counts("variational.mean_field", num_draws=num_draws, num_chains=num_chains)
    target = model.pose(X, y, prior=prior, family=family, coordinates=coordinates)
    density, start = model.log_density(target, family=family), model.origin(target, family=family)
    fit_key, draw_key = jax.random.split(key)
    params, found = climb.fit(
        fit_key,
        independent.init(start),
        guide=independent,
        log_density=density,
        rule=Partial(partial(_settling, num_steps), jnp.asarray(learning_rate, X.dtype)),
        num_steps=num_steps,
    )
    count = (num_chains, num_draws)
    positions, report = _drawn(draw_key, params, independent, density, count)
    info = _info(target, found, report)
    return model.draws(target, positions["u"], positions.get("t")), info


@partial(jax.jit, static_argnames=(*SIZES, "num_steps", "guide"))
@checked
def numpyro_svi(
    key: Key[Array, ""],
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    prior: Prior,
    family: Family = "normal",
    guide: Literal["mean_field", "full_rank"] = "mean_field",
    coordinates: Coordinates = "columns",
    num_draws: int = 1000,
    num_chains: int = 4,
    learning_rate: Scalar = 0.05,
    num_steps: int = 2000,
) -> tuple[Draws, model.Info]:
    """Fit a NumPyro guide to the program by Adam, its rate falling to 0. O(8 num_steps n p).

    Args:
        key: Consumed.
        X: As ``laplace``.
        y: As ``laplace``.
        prior: Traced.
        family: Static.
        guide: Independent numbers, or a whole covariance. Static.
        coordinates: In which the guide is. Static.
        num_draws: As ``laplace``. Static.
        num_chains: Only a shape. Static.
        learning_rate: As ``mean_field``. Traced.
        num_steps: At least 8. Static.

    Returns:
        As ``mean_field``.

    Raises:
        ValueError: a number below its least, an unknown option, or shapes disagree.
    """
    model.refuse_counts("variational.numpyro_svi", num_draws=num_draws, num_chains=num_chains)
    if guide not in ("mean_field", "full_rank"):
        raise ValueError(
            f"variational.numpyro_svi: guide is {guide!r}, not mean_field or full_rank"
        )
    target = model.pose(X, y, prior=prior, family=family, coordinates=coordinates)
    program = model.program(target, family=family)
    fit_key, draw_key = jax.random.split(key)
    fitted, found = by_numpyro.fit(
        fit_key,
        model=program,
        rule=Partial(partial(_settling, num_steps), jnp.asarray(learning_rate, X.dtype)),
        family=guide,
        num_steps=num_steps,
    )
    # Its numbers come in the order of the program's names, as in every tree of ours.
    like = {"u": target.center} | ({"variance": target.noise} if family == "normal" else {})
    mean = vector.flat("variational.numpyro_svi", like)[1](fitted["auto_loc"])
    if guide == "full_rank":
        family_of, params = full_rank, full_rank.from_factor(mean, fitted["auto_scale_tril"])
    else:
        family_of = independent
        params = independent.Params(mean, jnp.log(fitted["auto_scale"]))
    density = unconstrained.from_numpyro(program).log_density
    with unconstrained.precision(program):
        count = (num_chains, num_draws)
        positions, report = _drawn(draw_key, params, family_of, density, count)
    half = positions.get("variance")  # its logarithm, 2 t
    info = _info(target, found, report)
    return model.draws(target, positions["u"], None if half is None else half / 2), info


def _settling(num_steps: int, rate: Array) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(rate, num_steps))


def _info(target: model.Target, found: Any, report: trust.Report) -> model.Info:
    """Return how a climb ended, or whether its end may be trusted."""
    status = model.ended(target, jnp.where(found.is_done, report.status, found.status))
    return model.Info(status, pareto_shape=report.pareto_shape, log_evidence=report.log_evidence)


def _drawn(
    key: Array, params: Any, guide: Any, density: Partial, count: tuple[int, int]
) -> tuple[dict[str, Array], trust.Report]:
    """Draw positions (chain, draw, ...) from a guide, and judge it by others."""
    draw_key, judge_key = jax.random.split(key)
    report = trust.assess(judge_key, params, guide=guide, log_density=density, num_draws=NUM_RATIOS)
    keys = jax.random.split(draw_key, count)
    return jax.vmap(jax.vmap(lambda key: guide.sample(key, params)[0]))(keys), report
