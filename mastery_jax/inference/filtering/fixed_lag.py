"""Fixed-lag smoother: what was hidden, given what is seen up to some steps later.

    p(x_t | y_1 … y_{t+k}):   m_t^k = G_t m_{t+1}^{k-1} + a_t
                              P_t^k = G_t P_{t+1}^{k-1} G_tᵀ + C_t,      m_t^0, P_t^0 the filter's

with G, a and C of ``rts.conditional``. After the last observation nothing more is waited for: with
the length of the series as lag, the result is that of ``rts.smooth``.

Source: Moore (1973), *Automatica* 9(2), 163; Särkkä (2013), *Bayesian Filtering and Smoothing*,
section 8.3.
"""

from functools import partial

import jax
import jax.numpy as jnp

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix, rts
from mastery_jax.inference.filtering.kalman import Beliefs
from mastery_jax.inference.filtering.linear_gaussian import Model, over_time

__all__ = ["smooth"]


@partial(jax.jit, static_argnames=("lag",))
@checked
def smooth(filtered: Beliefs, *, model: Model, lag: int) -> Beliefs:
    """Return the belief at every t given all observations up to t + lag. O(lag time state³).

    Args:
        filtered: What ``kalman.filter`` returned. Missing observations make no difference here.
        model: The model that the filter had.
        lag: How many steps later, at least 0. Static.

    Returns:
        Beliefs; for a lag of 0 those of the filter. NaN where ``rts.smooth`` is, from at most
        ``lag`` steps before.

    Raises:
        ValueError: shapes disagree, a field has another number of steps, or ``lag`` is negative
            (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=one, emission=one, emission_cov=one)
        >>> rise = Beliefs(mean=jnp.array([[0.0], [2.0], [6.0]]), cov=jnp.ones((3, 1, 1)))
        >>> smooth(rise, model=model, lag=1).mean[:, 0]
        Array([1., 4., 6.], dtype=float32)
    """
    if lag < 0:
        raise ValueError(f"fixed_lag.smooth: lag is {lag}, not at least 0")
    over_time("fixed_lag.smooth", model, len(filtered.mean) - 1, num_spare=1)
    backwards = rts.conditional(filtered, model=model)

    def wait(beliefs: Beliefs) -> tuple[Beliefs, None]:
        """Let every t see one step more."""
        mean = jax.vmap(matrix.product)(backwards.gain, beliefs.mean[1:]) + backwards.offset
        cov = jax.vmap(matrix.congruence)(backwards.gain, beliefs.cov[1:]) + backwards.cov
        pairs = ((mean, beliefs.mean), (cov, beliefs.cov))
        mean, cov = (jnp.concatenate([moved, held[-1:]]) for moved, held in pairs)
        return Beliefs(mean=mean, cov=cov), None

    with jax.default_matmul_precision("highest"):
        most = len(filtered.mean) - 1
        beliefs, _ = loop.scan(wait, filtered, num_steps=min(lag, most))
    return beliefs._replace(cov=matrix.symmetric(beliefs.cov))
