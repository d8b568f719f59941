"""Gaussian processes against scikit-learn, and Bayesian optimization against BoTorch.

Hyperparameters: constant × RBF (one lengthscale a coordinate) + white noise, 4 coordinates, 32
starts drawn evenly between the logarithms of the bounds, in double precision. Every likelihood is
computed anew by SciPy at the hyperparameters found, and ours may be lower by 1e-3 nats at most.

Optimization: Branin and Hartmann3, 40 evaluations, the same first points (a Latin hypercube of
2 (d + 1)) for either, 10 seeds. BoTorch runs as its documentation recommends: SingleTaskGP with its
priors, inputs normalized and outputs standardized, LogExpectedImprovement, and ``optimize_acqf``
with 10 restarts of 512 raw samples. One thread for both. Ours is ``one_point.ask`` as it comes.
"""

import os
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "bayesopt"
SIZES, DIM, STARTS = (100, 300), 4, 32
NUM_EVALS, SEEDS = 40, 10
BOUNDS = (1e-5, 1e5)  # scikit-learn's

Search = Callable[[int], Any]


def data(size: int) -> tuple[Any, Any]:
    """Return noisy values of a smooth function of four coordinates."""
    import numpy as np

    rng = np.random.default_rng(size)
    X = rng.uniform(-2, 2, (size, DIM))
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] / 2 + 0.1 * rng.normal(size=size)
    return X, (y - y.mean()) / y.std()


def likelihood(X: Any, y: Any, variance: float, lengthscale: Any, noise: float) -> float:
    """Return the log marginal likelihood, by SciPy."""
    import numpy as np
    from scipy.spatial.distance import cdist
    from scipy.stats import multivariate_normal

    covariance = variance * np.exp(-cdist(X / lengthscale, X / lengthscale, "sqeuclidean") / 2)
    return float(
        multivariate_normal(np.zeros(len(y)), covariance + noise * np.eye(len(y))).logpdf(y)
    )


def fits(X: Any, y: Any) -> dict[str, Callable[[], tuple[float, Any, float]]]:
    """Return what finds hyperparameters: variance, lengthscales, noise."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    from mastery_jax.probability.gaussian_process import kernels, marginal_likelihood

    smooth = kernels.Product((kernels.Constant(1.0), kernels.RBF(jnp.ones(DIM))))
    start = kernels.Sum((smooth, kernels.White(1.0)))
    traced, values = jnp.asarray(X), jnp.asarray(y)

    def ours() -> tuple[float, Any, float]:
        found, _ = marginal_likelihood.maximize(
            jax.random.key(0),
            start,
            traced,
            values,
            lower=BOUNDS[0],
            upper=BOUNDS[1],
            num_starts=STARTS,
        )
        (scale, rbf), white = found.parts[0].parts, found.parts[1]
        return float(scale.variance), np.asarray(rbf.lengthscale), float(white.variance)

    def sklearn() -> tuple[float, Any, float]:
        kernel = ConstantKernel() * RBF(np.ones(DIM)) + WhiteKernel()
        model = GaussianProcessRegressor(
            kernel, alpha=0.0, n_restarts_optimizer=STARTS - 1, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model.fit(X, y).kernel_
        return found.k1.k1.constant_value, found.k1.k2.length_scale, found.k2.noise_level

    return {"ours": ours, "scikit-learn": sklearn}


def searches(name: str) -> dict[str, Search]:
    """Return what searches, by seed, and gives the regret: ours and BoTorch's."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    from mastery_jax.inference.bayesopt import latin_hypercube, one_point, surrogate
    from mastery_jax.numerics.optimize import landscapes

    fn, problem = getattr(landscapes, name), landscapes.PROBLEMS[name]
    lower, upper = jnp.array(problem.lower), jnp.array(problem.upper)
    num_first = 2 * (len(lower) + 1)

    def first(seed: int) -> tuple[Any, Any]:
        design_key, search_key = jax.random.split(jax.random.key(seed))
        return latin_hypercube.sample(design_key, lower, upper, num_points=num_first), search_key

    def ours(seed: int) -> float:
        design, search_key = first(seed)
        state = surrogate.init(lower, upper, capacity=NUM_EVALS)
        for x in design:
            state = surrogate.tell(state, x, fn(x))
        for key in jax.random.split(search_key, NUM_EVALS - num_first):
            x, _ = one_point.ask(key, state)
            state = surrogate.tell(state, x, fn(x))
        return float(surrogate.best(state)[1]) - problem.minimum

    def botorch(seed: int) -> float:
        torch.manual_seed(seed)
        bounds = torch.tensor(np.array([problem.lower, problem.upper]))
        inputs = Normalize(len(lower), bounds=bounds)
        X = torch.tensor(np.array(first(seed)[0]))
        y = torch.tensor([[-float(fn(jnp.asarray(x.numpy())))] for x in X], dtype=X.dtype)
        for _ in range(NUM_EVALS - num_first):
            scaled = {"input_transform": inputs, "outcome_transform": Standardize(1)}
            model = SingleTaskGP(X, y, **scaled)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            worth = LogExpectedImprovement(model, best_f=y.max())
            x, _ = optimize_acqf(worth, bounds, q=1, num_restarts=10, raw_samples=512)
            value = -float(fn(jnp.asarray(x[0].numpy())))
            X, y = torch.cat([X, x]), torch.cat([y, torch.tensor([[value]], dtype=y.dtype)])
        return -float(y.max()) - problem.minimum

    return {"ours": ours, "BoTorch": botorch}


def race(name: str) -> tuple[list[Row], str]:
    """Search from every seed in turn, and compare regrets and cost."""
    import numpy as np

    every, regrets = searches(name), {}

    def each(who: str, search: Search) -> Callable[[], float]:
        seeds = iter([0, 0, *range(SEEDS)])  # two calls are not timed

        def call() -> float:
            seed = next(seeds)
            regrets[who, seed] = regret = search(seed)
            return regret

        return call

    first, again = in_turn({who: each(who, f) for who, f in every.items()}, rounds=SEEDS)
    logs = {
        who: np.log10([max(regrets[who, seed], 1e-12) for seed in range(SEEDS)]) for who in every
    }
    cpu = {who: again[who].cpu for who in every}
    what = f"{name.capitalize()}, {NUM_EVALS} evaluations"
    rows = [
        Row(f"{what}: a whole search", "BoTorch", cpu["ours"], cpu["BoTorch"], "CPU-s", 3),
        *(
            Row(
                f"{what}: {word} regret over {SEEDS} seeds",
                "BoTorch",
                float(10 ** mean(logs["ours"])),
                float(10 ** mean(logs["BoTorch"])),
                "unit of y",
                1,
            )
            for word, mean in (("geometric mean", np.mean), ("median", np.median))
        ),
    ]
    spread = ", ".join(f"{who} {x.min():.1f} to {x.max():.1f}" for who, x in logs.items())
    compiled = first["ours"].cpu - cpu["ours"]
    return rows, f"{what}: log10 regret {spread}; ours compiles {compiled:.2g} CPU-s, once."


def main() -> None:
    """Check the likelihoods, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    import torch

    torch.set_num_threads(1)
    rows, notes = [], []
    for size in SIZES:
        X, y = data(size)
        every = fits(X, y)
        found = {who: likelihood(X, y, *call()) for who, call in every.items()}
        if not found["ours"] >= found["scikit-learn"] - 1e-3:
            raise RuntimeError(f"n = {size}: log likelihoods are {found}")
        _, again = in_turn(every, rounds=3)
        what = f"GP hyperparameters, n = {size}, d = {DIM}, {STARTS} starts"
        ours, theirs = again["ours"].cpu, again["scikit-learn"].cpu
        rows.append(Row(what, "scikit-learn", ours, theirs, "CPU-s", 10))
        said = ", ".join(f"{who} {value:.4f}" for who, value in found.items())
        notes.append(f"{what}: log likelihood {said} nats.")
    for name in ("branin", "hartmann3"):
        more, note = race(name)
        rows, notes = rows + more, [*notes, note]
    save(FAMILY, "Gaussian processes and Bayesian optimization", rows, notes=notes)


if __name__ == "__main__":
    main()
