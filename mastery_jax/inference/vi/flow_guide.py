"""A chain of bijections as a guide: what a normal cannot bend to, they can.

    x = m + exp(s) ∘ f(z),   z ~ N(0, I)
    log q(x) = log N(z; 0, I) − log |det ∂f/∂z| − Σ s_i

Source: Rezende & Mohamed (2015), *Variational inference with normalizing flows*, eq. 15.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector
from mastery_jax.probability.flows import chain

__all__ = ["Guide", "Params", "init"]


class Params(NamedTuple):
    """A density."""

    mean: Any  # a position: where the flow's origin is
    log_scale: Float[Array, " d"]  # of the flow's unit
    flow: tuple[Any, ...]  # as ``chain`` takes them


class Guide(NamedTuple):
    """Which bijections: the static part, as ``fit`` and ``elbo`` take it."""

    layers: tuple[chain.Bijection, ...]

    def sample(self, key: Key[Array, ""], params: Params) -> tuple[Any, Float[Array, ""]]:
        """Draw a position, and return the log density there, in nats. One pass through the flow."""
        z = jax.random.normal(key, params.log_scale.shape, params.log_scale.dtype)
        y, log_det = chain.forward(params.flow, z, layers=self.layers)
        mean, back = vector.flat("flow_guide.sample", params.mean)
        u = mean + jnp.exp(params.log_scale) * y
        normal = -((z * z + jnp.log(2 * jnp.pi).astype(z.dtype)) / 2).sum()
        return back(u), normal - log_det - params.log_scale.sum()

    def log_prob(self, params: Params, position: Any) -> Float[Array, ""]:
        """Return the log density of a position, in nats. One inverse pass."""
        mean, _ = vector.flat("flow_guide.log_prob", params.mean)
        away = vector.flat("flow_guide.log_prob", position)[0] - mean
        y = away * jnp.exp(-params.log_scale)
        return chain.log_prob(params.flow, y, layers=self.layers) - params.log_scale.sum()


@jax.jit
@checked
def init(position: Any, flow: Any, *, scale: Scalar = 0.1) -> Params:
    """Return a flow around a position. O(d).

    Args:
        position: Any tree of floats of one dtype.
        flow: Parameters for as many coordinates as the position has numbers, of ``chain``'s form.
        scale: Of the flow's unit, > 0, in the unit of the position.

    Raises:
        ValueError: leaves that are not floats of one dtype.
    """
    u, _ = vector.flat("flow_guide.init", position)
    return Params(position, jnp.full_like(u, jnp.log(jnp.asarray(scale, u.dtype))), flow)
