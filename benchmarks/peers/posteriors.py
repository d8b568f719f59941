"""The posteriors of ``benchmarks.posterior``, each as NumPyro's and as PyMC's model."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """A posterior, and data sets of one shape."""

    name: str
    model: Callable[..., None]  # NumPyro model of the data
    data: Callable[[int], tuple[Any, ...]]  # round -> arrays, in single precision
    latents: tuple[str, ...]
    in_pymc: Callable[[dict[str, Any]], Any]  # PyMC model of the data by name
    named: Callable[[int], dict[str, Any]]  # round -> the same data for it


def problems() -> list[Problem]:
    return [eight_schools(), logistic()]


def eight_schools() -> Problem:
    import numpy as np
    import pymc

    from experiments import posterior

    def data(round: int) -> tuple[Any, ...]:
        effect = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32)
        error = np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)
        noise = np.random.default_rng(round).normal(size=8).astype(np.float32)
        return effect + noise, error, np.float32(5), np.float32(5)

    def named(round: int) -> dict[str, Any]:
        effect, error, *_ = data(round)
        return {"effect": effect.astype(np.float64), "error": error.astype(np.float64)}

    def in_pymc(values: dict[str, Any]) -> Any:
        with pymc.Model() as model:
            effect = pymc.Data("effect", values["effect"])
            error = pymc.Data("error", values["error"])
            mu, tau = pymc.Normal("mu", 0, 5), pymc.HalfCauchy("tau", 5)
            z = pymc.Normal("z", 0, 1, shape=8)
            pymc.Normal("y", mu + tau * z, error, observed=effect)
        return model

    return Problem("eight schools", posterior.groups, data, ("mu", "tau", "z"), in_pymc, named)


def logistic() -> Problem:
    import numpy as np
    import numpyro
    import pymc
    from numpyro import distributions as dist

    def model(X: Any, y: Any) -> None:
        weights = numpyro.sample("weights", dist.Normal(0, 5).expand([X.shape[1]]).to_event(1))
        numpyro.sample("y", dist.Bernoulli(logits=X @ weights), obs=y)

    def data(round: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(round)
        X, weights = rng.normal(size=(1000, 10)), rng.normal(size=10)
        y = rng.random(1000) < 1 / (1 + np.exp(-X @ weights))
        return X.astype(np.float32), y.astype(np.float32)

    def named(round: int) -> dict[str, Any]:
        X, y = data(round)
        return {"X": X.astype(np.float64), "y": y.astype(np.int64)}

    def in_pymc(values: dict[str, Any]) -> Any:
        with pymc.Model() as made:
            X, y = pymc.Data("X", values["X"]), pymc.Data("y", values["y"])
            weights = pymc.Normal("weights", 0, 5, shape=10)
            pymc.Bernoulli("outcome", logit_p=X @ weights, observed=y)
        return made

    return Problem("logistic 1000 x 10", model, data, ("weights",), in_pymc, named)
