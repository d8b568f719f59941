"""Gaussian processes and Bayesian optimization: ours against scikit-learn and BoTorch, float64.

The hyperparameters of 100 and 300 points in four dimensions, from 32 starts; then searches for the
least value of Branin's and Hartmann's functions in 40 evaluations over ten seeds, each contestant
from a design of its own of 2 d + 2 points. BoTorch runs as its tutorial has it: SingleTaskGP with
its default priors, LogEI, 10 restarts of 512 raw samples; and once more told that values are
exact, which is a choice its user has. Ours has one setting for all.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "bayesopt"
STARTS, SEEDS, EVALUATIONS = 32, 10, 40


class Problem(NamedTuple):
    """A function to minimize, in NumPy."""

    fn: Callable[[Any], float]
    lower: list[float]
    upper: list[float]
    least: float


class Run(NamedTuple):
    """One search."""

    regret: float
    cpu: float  # seconds, compilation included


def branin(x: Any) -> float:
    import numpy as np

    bend = x[1] - 5.1 / (4 * np.pi**2) * x[0] ** 2 + 5 / np.pi * x[0] - 6
    return float(bend**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x[0]) + 10)


def hartmann3(x: Any) -> float:
    import numpy as np

    A = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    P = [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
    far = (A * (x - np.array(P) / 1e4) ** 2).sum(axis=1)
    return float(-(np.array([1, 1.2, 3, 3.2]) * np.exp(-far)).sum())


PROBLEMS = {
    "Branin": Problem(branin, [-5.0, 0.0], [10.0, 15.0], 0.39788735772973816),
    "Hartmann3": Problem(hartmann3, [0.0] * 3, [1.0] * 3, -3.8627821478207558),
}


def rows_of_four(n: int) -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n, 4))
    y = np.sin(6 * X[:, 0]) + X[:, 1] ** 2 + np.cos(4 * X[:, 2] * X[:, 0]) / 2
    y = y + 0.1 * rng.normal(size=n)
    return X, (y - y.mean()) / y.std()


def fit_ours(X: Any, y: Any) -> Callable[[], float]:
    import jax
    import jax.numpy as jnp

    from mastery_jax.probability.gaussian_process import kernels, marginal_likelihood

    def kernel(variance: Any, lengthscale: Any, noise: Any) -> Any:
        smooth = kernels.Product((kernels.Constant(variance), kernels.RBF(lengthscale)))
        return kernels.Sum((smooth, kernels.White(noise)))

    X, y = jnp.asarray(X), jnp.asarray(y)
    given = kernel(1.0, jnp.ones(4), 0.1), kernel(1e-3, 1e-2, 1e-4), kernel(1e3, 1e2, 1e1)
    start, lower, upper = given

    def fit() -> float:
        _, info = marginal_likelihood.maximize(
            jax.random.key(0), start, X, y, lower=lower, upper=upper, num_starts=STARTS
        )
        return float(info.log_prob)

    return fit


def fit_sklearn(X: Any, y: Any) -> Callable[[], float]:
    import numpy as np
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    smooth = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(np.ones(4), (1e-2, 1e2))
    kernel = smooth + WhiteKernel(0.1, (1e-4, 1e1))

    def fit() -> float:
        peer = GaussianProcessRegressor(
            kernel, alpha=0.0, n_restarts_optimizer=STARTS - 1, random_state=0
        )
        return float(peer.fit(X, y).log_marginal_likelihood_value_)

    return fit


def fits(n: int, rounds: int) -> tuple[Row, str]:
    """Time one size; insist that ours is as likely."""
    X, y = rows_of_four(n)
    found: dict[str, float] = {}

    def keep(name: str, fit: Callable[[], float]) -> Callable[[], Any]:
        return lambda: found.update({name: fit()})

    calls = {"ours": keep("ours", fit_ours(X, y)), "peer": keep("peer", fit_sklearn(X, y))}
    first, again = in_turn(calls, rounds=rounds)
    if found["ours"] < found["peer"] - 1e-4:
        raise RuntimeError(f"ours is less likely than scikit-learn's: {found}")
    what = f"hyperparameters of {n} points in 4 dimensions, {STARTS} starts"
    said = (
        f"{n} points: log likelihood {found['ours']:.6f}, scikit-learn's {found['peer']:.6f}; "
        f"our first call, compilation included, {first['ours'].cpu:.2g} CPU-s."
    )
    cost = again["ours"].cpu, again["peer"].cpu
    return Row(what, "scikit-learn", *cost, "CPU-s", 10), said


def search_ours(problem: Problem, seed: int) -> float:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mastery_jax.inference.bayesopt import latin_hypercube, one_point, surrogate

    design_key, key = jax.random.split(jax.random.key(seed))
    lower, upper = jnp.array(problem.lower), jnp.array(problem.upper)
    state = surrogate.init(lower, upper, capacity=EVALUATIONS)
    num_points = 2 * len(lower) + 2
    for x in latin_hypercube.sample(design_key, lower, upper, num_points=num_points):
        state = surrogate.tell(state, x, jnp.array(problem.fn(np.asarray(x))))
    for i in range(num_points, EVALUATIONS):
        x, _ = one_point.ask(jax.random.fold_in(key, i), state)
        state = surrogate.tell(state, x, jnp.array(problem.fn(np.asarray(x))))
    return float(surrogate.best(state)[1]) - problem.least


def search_botorch(problem: Problem, seed: int, *, is_exact: bool = False) -> float:
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.manual_seed(seed)
    bounds = torch.tensor([problem.lower, problem.upper], dtype=torch.float64)
    dim = bounds.shape[1]
    draw = torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed).draw
    X = bounds[0] + (bounds[1] - bounds[0]) * draw(2 * dim + 2, dtype=torch.float64)
    Y = -torch.tensor([[problem.fn(x.numpy())] for x in X], dtype=torch.float64)
    while len(X) < EVALUATIONS:
        model = SingleTaskGP(
            X,
            Y,
            train_Yvar=torch.full_like(Y, 1e-6 * float(Y.var())) if is_exact else None,
            input_transform=Normalize(dim, bounds=bounds),
            outcome_transform=Standardize(1),
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        worth = LogExpectedImprovement(model, best_f=Y.max())
        x, _ = optimize_acqf(worth, bounds=bounds, q=1, num_restarts=10, raw_samples=512)
        X, Y = torch.cat([X, x]), torch.cat([Y, -Y.new_tensor([[problem.fn(x[0].numpy())]])])
    return -float(Y.max()) - problem.least


def searched(problem: Problem, search: Callable[[Problem, int], float], seed: int) -> Run:
    begun = time.process_time()
    regret = search(problem, seed)
    return Run(regret, time.process_time() - begun)


def searches(name: str) -> tuple[list[Row], str]:
    """Search one function in turn over all seeds."""
    problem = PROBLEMS[name]
    contestants: dict[str, Callable[[Problem, int], float]] = {
        "ours": search_ours,
        "BoTorch": search_botorch,
        "BoTorch, told that values are exact": lambda p, s: search_botorch(p, s, is_exact=True),
    }
    runs: dict[str, list[Run]] = {contestant: [] for contestant in contestants}
    for seed in range(SEEDS):
        for contestant, search in contestants.items():
            runs[contestant].append(searched(problem, search, seed))
    regret = {who: statistics.median(run.regret for run in runs[who]) for who in runs}
    mean = {who: statistics.fmean(run.regret for run in runs[who]) for who in runs}
    cpu = {who: statistics.median(run.cpu for run in runs[who]) for who in runs}
    rows = []
    for peer in list(contestants)[1:]:
        over = f"{name}, {EVALUATIONS} evaluations"
        rows += [
            Row(f"{over}: a search", peer, cpu["ours"], cpu[peer], "CPU-s", 3),
            Row(f"{over}: median regret", peer, regret["ours"], regret[peer], "", 1),
        ]
    means = ", ".join(f"{who} {value:.2g}" for who, value in mean.items())
    all_in = {who: sum(run.cpu for run in runs[who]) for who in runs}
    return rows, (
        f"{name}: mean regrets {means}; our first search, compilation included, "
        f"{runs['ours'][0].cpu:.2g} CPU-s; all {SEEDS} searches {all_in['ours']:.3g} CPU-s, "
        f"BoTorch's {all_in['BoTorch']:.3g}."
    )


def main() -> None:
    """Fit, search, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    warnings.simplefilter("ignore")  # scikit-learn and BoTorch warn of bounds that are reached
    import torch

    torch.set_num_threads(1)
    rows, notes = [], []
    for n, rounds in ((100, 5), (300, 3)):
        row, note = fits(n, rounds)
        rows.append(row)
        notes.append(note)
    for name in PROBLEMS:
        more, note = searches(name)
        rows += more
        notes.append(note)
    notes.append(
        "Regret is the least value found less the least there is, the median of ten seeds; imports "
        "are not counted. One thread each."
    )
    save(FAMILY, "Gaussian processes and Bayesian optimization", rows, notes=notes)


if __name__ == "__main__":
    main()
