"""Dropout: each number is kept with probability 1 − rate, and scaled so that its mean stays.

The rate is traced, so that it can be swept; ``flax.nnx.Dropout`` asks in Python whether it is 0.

Source: Srivastava et al. (2014), *Dropout*, JMLR 15, section 4; scaled while training, section 10.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked

__all__ = ["dropout"]


@jax.jit
@checked
def dropout(key: Key[Array, ""], x: Float[Array, "..."], *, rate: Scalar) -> Float[Array, "..."]:
    """Set each number to zero with probability ``rate``. O(size of x).

    Args:
        key: Consumed.
        x: Of any shape; every number is dropped or kept for itself.
        rate: In [0, 1).
    """
    keep = 1 - jnp.asarray(rate, x.dtype)
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)
