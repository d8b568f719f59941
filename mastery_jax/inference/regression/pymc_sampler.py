"""The same regression in PyMC, as an engine, where that package is installed.

    variance ~ InverseGamma(a, b),   z ~ N(0, I),   w = m + σ L z,   y ~ N(X w, σ²)
    or, without the variance,                       w = m + L z,     y ~ Bernoulli(logit X w)

PyMC is no dependency of this package: ``make`` says so where it is missing. The engine is a
function of the host, and cannot be compiled or mapped.

Source: Abril-Pla et al. (2023), *PyMC: a modern, and comprehensive probabilistic programming
framework in Python*, PeerJ Computer Science 9, e1516.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import health
from mastery_jax.inference.regression import prior as priors
from mastery_jax.inference.regression.model import Draws, Info, refuse_counts
from mastery_jax.inference.regression.prior import Family, Prior

__all__ = ["make"]


def make(
    *, num_warmup: int = 500, target_accept: float = 0.8, num_cores: int = 1
) -> Callable[..., tuple[Draws, Info]]:
    """Return an engine that runs PyMC's own NUTS. O(2^depth n p) a transition.

    Args:
        num_warmup: Transitions that tune.
        target_accept: Mean acceptance to aim at, in (0, 1).
        num_cores: Processes that share the chains.

    Returns:
        A function of ``(key, X, y, *, prior, family, num_draws, num_chains)``, as every engine;
        its key makes PyMC's seed.

    Raises:
        ModuleNotFoundError: PyMC is not installed.
    """
    try:
        pymc = importlib.import_module("pymc")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pymc_sampler.make: the package pymc is not installed; install it to compare with it"
        ) from error
    options = {"tune": num_warmup, "target_accept": target_accept, "cores": num_cores}
    return partial(_run, pymc, options)


def _run(
    pymc: Any,
    options: dict[str, Any],
    key: Array,
    X: Array,
    y: Array,
    *,
    prior: Prior,
    family: Family = "normal",
    num_draws: int = 1000,
    num_chains: int = 4,
) -> tuple[Draws, Info]:
    priors.refuse_family("pymc_sampler", family)
    refuse_counts("pymc_sampler", num_draws=num_draws, num_chains=num_chains)
    if not priors.is_usable(prior, X, y, family=family):
        lost = jnp.full((num_chains, num_draws, X.shape[1]), jnp.nan, X.dtype)
        noise = lost[..., 0] if family == "normal" else None
        return Draws(lost, noise), Info(jnp.int32(Status.BAD_INPUT))
    with _stated(pymc, np.asarray(X), np.asarray(y), jax.tree.map(np.asarray, prior), family):
        found = pymc.sample(
            draws=num_draws,
            chains=num_chains,
            random_seed=int(jax.random.bits(key, dtype="uint32")),
            progressbar=False,
            **options,
        )
    weights = jnp.asarray(found.posterior["weights"].values, X.dtype)
    noise = None
    if family == "normal":
        noise = jnp.asarray(found.posterior["noise"].values, X.dtype)
    divergent = np.asarray(found.sample_stats["diverging"].values).sum(axis=1)
    # Judged by z, in which a weight that the prior has fixed does not look like a stuck chain.
    position = jnp.asarray(found.posterior["z"].values, X.dtype)
    judged = (position,) if noise is None else (position, noise)
    verdict = health.judge(judged, num_divergent=jnp.asarray(divergent, jnp.int32))
    return Draws(weights, noise), Info(verdict.status, verdict=verdict)


def _stated(pymc: Any, X: Any, y: Any, prior: Prior, family: Family) -> Any:
    """Return PyMC's model of the rows."""
    with pymc.Model() as stated:
        scale = 1.0
        if family == "normal":
            variance = pymc.InverseGamma("variance", alpha=prior.shape, beta=prior.rate)
            scale = pymc.Deterministic("noise", variance**0.5)
        z = pymc.Normal("z", mu=0.0, sigma=1.0, shape=len(prior.mean))
        # PyMC's product of matrix and vector: NumPy's would try to convert its symbols.
        away = pymc.math.dot(prior.root, z)
        weights = pymc.Deterministic("weights", prior.mean + scale * away)
        level = pymc.math.dot(X, weights)
        if family == "normal":
            pymc.Normal("y", mu=level, sigma=scale, observed=y)
        else:
            # The gradient of PyMC's Bernoulli is NaN at logits of some hundred.
            pymc.Potential("y", -pymc.math.log1pexp((1 - 2 * y) * level).sum())
    return stated
