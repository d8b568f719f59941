"""Patients whose treatment effects are known: the sicker are treated more often.

    age ~ N(60, 12²) years,  severity ~ Beta(2, 2),  comorbidities ~ Poisson(1.5),  female ~ B(1/2)
    logit e = c (0.04 (age − 60) + 2 (severity − 1/2) + 0.3 (comorbidities − 1.5)) − 0.2
    y(0) = 150 + 0.3 (age − 60) + 20 (severity − 1/2) + 3 comorbidities + N(0, 8²)     mmHg
    y(1) − y(0) = −10                                                   constant
                  −10 − 12 (severity − 1/2) − 0.2 (age − 60)           heterogeneous

y is the systolic blood pressure after a year. The sicker have more of it and are treated more, so
that the treatment looks worse than it is, by some 5 mmHg at c = 1. The average effect of the
population is −10 in both.

Source: Hernán & Robins (2020), *Causal Inference: What If*, section 7.1 (confounding by
indication).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.causal import effect
from mastery_jax.numerics.activations import sigmoid

__all__ = ["FEATURES", "Data", "Kind", "sample"]

Kind = Literal["constant", "heterogeneous"]

FEATURES = ("age", "severity", "comorbidities", "female")
"""The columns of X."""


class Data(NamedTuple):
    """Patients, and what nobody would know of them."""

    X: Float[Array, "n 4"]
    treatment: Int[Array, " n"]
    y: Float[Array, " n"]  # mmHg
    scores: Float[Array, " n"]  # true probability of treatment
    effects: Float[Array, " n"]  # true effect on each, mmHg


@partial(jax.jit, static_argnames=("num_units", "kind"))
@checked
def sample(
    key: Key[Array, ""],
    confounding: Float[Array, ""] | float,
    *,
    num_units: int,
    kind: Kind = "constant",
    noise: Scalar = 8.0,
) -> Data:
    """Draw patients. O(n).

    Args:
        key: Consumed.
        confounding: c: 0 is an experiment, 1 is moderate; from 3 on, overlap is poor.
        num_units: Patients. Static.
        kind: Of the effects. Static.
        noise: Standard deviation of y about its mean, mmHg.

    Raises:
        ValueError: ``kind`` is none of those.

    Example:
        >>> data = sample(jax.random.key(0), 1.0, num_units=1000)
        >>> data.X.shape, float(data.effects.mean())
        ((1000, 4), -10.0)
    """
    effect.insist("synthetic.sample", "kind", kind, Kind)
    keys = jax.random.split(key, 6)
    dtype = jnp.result_type(confounding)
    age = 60 + 12 * jax.random.normal(keys[0], (num_units,), dtype)
    severity = jax.random.beta(keys[1], 2.0, 2.0, (num_units,), dtype)
    sick = jax.random.poisson(keys[2], 1.5, (num_units,)).astype(dtype)
    female = jax.random.bernoulli(keys[3], 0.5, (num_units,)).astype(dtype)
    indication = 0.04 * (age - 60) + 2 * (severity - 0.5) + 0.3 * (sick - 1.5)
    scores = sigmoid(jnp.asarray(confounding, dtype) * indication - 0.2)
    treatment = jax.random.bernoulli(keys[4], scores).astype(jnp.int32)
    effects = jnp.full((num_units,), -10, dtype)
    if kind == "heterogeneous":
        effects = effects - 12 * (severity - 0.5) - 0.2 * (age - 60)
    baseline = 150 + 0.3 * (age - 60) + 20 * (severity - 0.5) + 3 * sick
    error = jnp.asarray(noise, dtype) * jax.random.normal(keys[5], (num_units,), dtype)
    y = baseline + treatment.astype(dtype) * effects + error
    return Data(jnp.stack([age, severity, sick, female], axis=1), treatment, y, scores, effects)
