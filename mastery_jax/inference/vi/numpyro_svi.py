"""NumPyro's stochastic variational inference, as one pure function: a model and an automatic guide.

    maximize E_q [log p(x, y) − log q(x)] over the guide's parameters

NumPyro's guides learn the model's shape when they are first called; here both are built anew inside
the program, so that all there is to know stands in the arguments, and other data of the same shapes
compiles nothing.

Source: Wingate & Weber (2013), arXiv:1301.1299; Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import (
    AutoDiagonalNormal,
    AutoGuide,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
)
from numpyro.optim import optax_to_numpyro

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import unconstrained

__all__ = ["Family", "Info", "fit", "sample"]

Family = Literal["mean_field", "full_rank", "low_rank", "laplace"]

_GUIDES = {
    "mean_field": AutoDiagonalNormal,
    "full_rank": AutoMultivariateNormal,
    "low_rank": AutoLowRankMultivariateNormal,
    "laplace": AutoLaplaceApproximation,
}


class Info(NamedTuple):
    """How the climb went."""

    elbo: Float[Array, " steps"]  # estimate at each step, nats
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@partial(jax.jit, static_argnames=("family", "num_steps", "num_draws"))
@checked
def fit(
    key: Key[Array, ""],
    *,
    model: Partial,
    rule: Partial,
    family: Family = "mean_field",
    num_steps: int = 2000,
    num_draws: int = 8,
) -> tuple[dict[str, Array], Info]:
    """Fit a guide to a NumPyro model. O(num_steps num_draws) gradients.

    Args:
        key: Consumed.
        model: ``Partial(fn, *data)``, where ``fn(*data)`` makes NumPyro's ``sample`` calls.
        rule: Called without arguments it returns an optax ``GradientTransformation``.
        family: Of the guide, over the unbounded values. Static.
        num_steps: At least 8. Static.
        num_draws: Draws of a step, at least 1. Static.

    Returns:
        The guide's parameters by name, and Info: CONVERGED where the mean bound of the last quarter
        is no longer above that of the quarter before, by two standard errors; OUT_OF_STEPS where it
        still climbs; NOT_FINITE.

    Raises:
        ValueError: a family that is unknown, or a count that is too small.
    """
    for name, value, least in (("num_steps", num_steps, 8), ("num_draws", num_draws, 1)):
        if value < least:
            raise ValueError(f"numpyro_svi.fit: {name} is {value}, not at least {least}")
    with unconstrained.precision(model):
        engine = SVI(
            model,
            _guide("numpyro_svi.fit", model, family),
            optax_to_numpyro(rule()),
            Trace_ELBO(num_particles=num_draws),
        )

        def move(state: Any) -> tuple[Any, Array]:
            return engine.update(state)

        state, losses = loop.scan(move, engine.init(key), num_steps=num_steps)
        quarter = num_steps // 4
        last, before = -losses[-quarter:], -losses[-2 * quarter : -quarter]
        gain = last.mean() - before.mean()
        error = jnp.sqrt((last.var(ddof=1) + before.var(ddof=1)) / quarter)
        status = jnp.where(gain > 2 * error, Status.OUT_OF_STEPS, Status.CONVERGED)
        status = jnp.where(jnp.isfinite(gain), status, Status.NOT_FINITE).astype(jnp.int32)
        info = Info(-losses, status, status == Status.CONVERGED)
        return engine.get_params(state), info


@partial(jax.jit, static_argnames=("family", "num_samples"))
@checked
def sample(
    key: Key[Array, ""],
    params: dict[str, Array],
    *,
    model: Partial,
    family: Family = "mean_field",
    num_samples: int,
) -> dict[str, Array]:
    """Draw the model's values, in their supports, from a fitted guide. O(num_samples).

    Args:
        key: Consumed.
        params: As ``fit`` returned them.
        model: As in ``fit``, of the same data.
        family: As in ``fit``. Static.
        num_samples: The leading axis of what is returned. Static.

    Raises:
        ValueError: the family is unknown.
    """
    setup_key, draw_key = jax.random.split(key)
    with unconstrained.precision(model):
        guide = _guide("numpyro_svi.sample", model, family)
        SVI(model, guide, optax_to_numpyro(optax.identity()), Trace_ELBO()).init(setup_key)
        return guide.sample_posterior(draw_key, params, sample_shape=(num_samples,))


def _guide(where: str, model: Partial, family: str) -> AutoGuide:
    if family not in _GUIDES:
        raise ValueError(f"{where}: family is {family!r}, not one of {', '.join(_GUIDES)}")
    return _GUIDES[family](model)
