"""A NumPyro model as a density of positions that are all allowed, for samplers that know no bounds.

Every latent value x of support 𝒳 is written x = t(u), t the bijection from the reals to 𝒳 that
belongs to it; then log p(u) = log p(x) + log |det ∂t/∂u|.

Source: Carpenter et al. (2017), *J. Stat. Softw.* 76(1), section 2.7; bijections: NumPyro's
``biject_to``.
"""

import contextlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Key
from numpyro import handlers
from numpyro.infer import init_to_uniform
from numpyro.infer.util import constrain_fn, initialize_model, potential_energy

from mastery_jax.core.check import checked

__all__ = ["Model", "from_numpyro", "precision", "start"]


class Model(NamedTuple):
    """Both directions of a model; positions are dicts of its latent values, unbounded."""

    log_density: Partial  # position -> nats, up to a constant
    constrain: Partial  # position -> values in their supports, and the deterministic ones


def from_numpyro(model: Partial) -> Model:
    """Return the density of a NumPyro model, and the way back to its own values.

    Args:
        model: ``Partial(fn, *data)``, where ``fn(*data)`` makes NumPyro's ``sample`` calls. Its
            data is traced: other data of the same shapes compiles nothing.
    """
    return Model(log_density=Partial(_log_density, model), constrain=Partial(_constrain, model))


@partial(jax.jit, static_argnames=("num_chains",))
@checked
def start(key: Key[Array, ""], *, model: Partial, num_chains: int) -> dict[str, Array]:
    """Draw a position for each chain, uniform in [−2, 2]. At most 100 densities a chain.

    Args:
        key: Consumed.
        model: As in ``from_numpyro``.
        num_chains: The leading axis of what is returned.

    Returns:
        Positions by name. Where 100 tries find no finite density the last one stands: a chain
        that starts there reports divergences only.

    Raises:
        ValueError: The model has a discrete latent value.
    """
    with precision(model):
        trace_key, *keys = jax.random.split(key, num_chains + 1)
        anywhere = handlers.substitute(
            handlers.seed(model, trace_key), substitute_fn=init_to_uniform
        )
        for name, site in handlers.trace(anywhere).get_trace().items():
            is_latent = site["type"] == "sample" and not site["is_observed"]
            if is_latent and site["fn"].support.is_discrete:
                raise ValueError(
                    f"unconstrained.start: {name} is discrete; sum it out of the model"
                )
        return initialize_model(jnp.stack(keys), model).param_info.z


def precision(model: Partial) -> contextlib.AbstractContextManager[Any]:
    """Make NumPyro work in the width of a model's data: it takes its own from jax's default.

    Args:
        model: As in ``from_numpyro``.
    """
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(model)]
    floats = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
    return jax.enable_x64(jnp.result_type(float, *floats).itemsize == 8)


def _log_density(model: Partial, position: Any) -> Array:
    return -jnp.asarray(potential_energy(model, (), {}, position))


def _constrain(model: Partial, position: Any) -> dict[str, Array]:
    return constrain_fn(model, (), {}, position, return_deterministic=True)
