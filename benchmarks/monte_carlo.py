"""Monte Carlo integration: ours against NumPy, torchquad and the package vegas.

The smooth integrand is exp(−|x|²) over [0, 1]^6. At equal error: the root mean square error of
either over seeds, and the cost of NumPy's loop at ours by its law, n ~ 1/error², which is checked
on the way. Points per CPU-second: the average of 2²⁰ values. NumPy draws all points at once, as
the toolkit's ``monte_carlo_cpu`` does, or in pieces of 2^16, whichever is faster; torchquad runs on
NumPy and on torch, interpreted and traced, whichever is fastest, in single precision.
"""

import os
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Cost, Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "monte_carlo"
DIMS, MANY, ROUNDS, SEEDS = 6, 2**20, 5, 24
FEW = 16 * 2**11  # points of randomized quasi-Monte Carlo
WIDTH, VEGAS = 0.1, 200_000  # of the two peaks, and all evaluations

Calls = dict[str, Callable[[], Any]]


def exact() -> tuple[float, float]:
    """Return the integrals of the smooth integrand and of the two peaks in four dimensions."""
    from math import erf, pi, sqrt

    smooth = (sqrt(pi) / 2 * erf(1)) ** DIMS

    def peak(center: float) -> float:
        reach = erf((1 - center) / WIDTH) + erf(center / WIDTH)
        return (WIDTH * sqrt(pi) / 2 * reach) ** 4

    return smooth, peak(0.3) + peak(0.6)


def rms(estimates: Any, truth: float) -> float:
    """Return the root mean square of relative errors."""
    import numpy as np

    return float(np.sqrt(np.mean((np.asarray(estimates, np.float64) / truth - 1) ** 2)))


def ours(dtype: Any) -> dict[str, Callable[[int], Any]]:
    """Return what is run for a seed."""
    import jax
    import jax.numpy as jnp
    from jax.tree_util import Partial

    from mastery_jax.numerics.quadrature.monte_carlo import plain, quasi, vegas

    smooth = Partial(lambda x: jnp.exp(-(x**2).sum()))
    wave = Partial(lambda x: jnp.sin(x[0]) ** 2 + 0.3 * jnp.exp(-((x[0] - 1) ** 2)))

    def peaks(x: Any) -> Any:
        return sum(jnp.exp(-(((x - c) / WIDTH) ** 2).sum()) for c in (0.3, 0.6))

    def call(rule: Any, fn: Any, dims: int, **options: Any) -> Callable[[int], Any]:
        lower, upper = jnp.zeros(dims, dtype), jnp.ones(dims, dtype)
        return lambda seed: jax.block_until_ready(
            rule.integrate(jax.random.key(seed), fn, lower, upper, **options)[0]
        )

    return {
        "few": call(quasi, smooth, DIMS, num_samples=FEW),
        "lattice": call(quasi, smooth, DIMS, num_samples=MANY),
        "hash": call(plain, smooth, DIMS, num_samples=MANY, generator="hash"),
        "threefry": call(plain, smooth, DIMS, num_samples=MANY),
        "wave hash": call(plain, wave, 1, num_samples=MANY, generator="hash"),
        "wave threefry": call(plain, wave, 1, num_samples=MANY),
        "vegas": call(vegas, Partial(peaks), 4, num_samples=VEGAS),
    }


def numpy_loops() -> dict[str, Callable[..., float]]:
    """Return NumPy's averages: of ``size`` points at once, repeated up to ``count``."""
    import numpy as np

    def smooth(x: Any) -> Any:
        return np.exp(-(x**2).sum(axis=1))

    def wave(x: Any) -> Any:
        return np.sin(x[:, 0]) ** 2 + 0.3 * np.exp(-((x[:, 0] - 1) ** 2))

    def average(fn: Any, dims: int, dtype: Any) -> Callable[..., float]:
        def run(count: int, size: int, seed: int = 0) -> float:
            rng = np.random.default_rng(seed)
            pieces = [fn(rng.random((size, dims), dtype)).mean() for _ in range(count // size)]
            return float(np.mean(pieces))

        return run

    return {
        "smooth": average(smooth, DIMS, np.float64),
        "wave": average(wave, 1, np.float64),
        "wave single": average(wave, 1, np.float32),
    }


def torchquad() -> Calls:
    """Return its Monte Carlo on both of its CPU backends, at their fastest."""
    import numpy as np
    import torch
    from loguru import logger
    from torchquad import MonteCarlo, set_up_backend

    logger.remove()  # it logs every call
    torch.set_num_threads(1)

    domain = [[0.0, 1.0]] * DIMS
    set_up_backend("torch", data_type="float32")
    set_up_backend("numpy", data_type="float32")

    def on_torch(x: Any) -> Any:
        return torch.exp(-(x**2).sum(dim=1))

    def on_numpy(x: Any) -> Any:
        return np.exp(-(x**2).sum(axis=1))

    box = torch.tensor(domain)
    rule = MonteCarlo()
    traced = rule.get_jit_compiled_integrate(dim=DIMS, N=MANY, backend="torch")
    return {
        "torch": lambda: rule.integrate(on_torch, DIMS, N=MANY, integration_domain=box),
        "torch traced": lambda: traced(on_torch, box),
        "numpy": lambda: rule.integrate(
            on_numpy, DIMS, N=MANY, integration_domain=domain, backend="numpy"
        ),
    }


def vegas_package(seed: int) -> float:
    """Return the package's estimate with the same evaluations, half of them to adapt."""
    import numpy as np
    import vegas

    @vegas.lbatchintegrand
    def peaks(x: Any) -> Any:
        return sum(np.exp(-(((x - c) / WIDTH) ** 2).sum(axis=1)) for c in (0.3, 0.6))

    vegas.ran_array_generator = np.random.default_rng(seed).random
    map_and_strata = vegas.Integrator([[0, 1]] * 4)
    map_and_strata(peaks, nitn=5, neval=VEGAS // 10)
    return float(map_and_strata(peaks, nitn=5, neval=VEGAS // 10).mean)


def equal_error(mine: Any, loop: Any, truth: float) -> tuple[list[Row], list[str]]:
    """Compare the cost of one error."""
    error = rms([mine(seed) for seed in range(SEEDS)], truth)
    count = 2**18
    errors = [rms([loop(n, n, seed) for seed in range(SEEDS)], truth) for n in (count // 16, count)]
    _, cost = in_turn({"ours": lambda: mine(0), "numpy": lambda: loop(count, count)}, rounds=ROUNDS)
    theirs = cost["numpy"].cpu * (errors[1] / error) ** 2
    what = f"smooth, {DIMS} dimensions, to a relative error of {error:.1g} (lattice, {FEW} points)"
    note = (
        f"NumPy's error over {SEEDS} seeds was {errors[0]:.2g} with {count // 16} points and "
        f"{errors[1]:.2g} with {count}, {errors[0] / errors[1]:.1f} times less (4 by its law); its "
        f"cost at {error:.1g} is that of {count} points, {cost['numpy'].cpu:.2g} CPU-s, times the "
        "square of the ratio of errors. Double precision."
    )
    mine_ms, theirs_ms = 1e3 * cost["ours"].cpu, 1e3 * theirs
    return [Row(what, "NumPy loop", mine_ms, theirs_ms, "ms CPU", 100)], [note]


def throughput(mine: Calls, peers: Calls) -> dict[str, float]:
    """Return points per CPU-microsecond of everyone, in one run."""
    _, again = in_turn({**mine, **peers}, rounds=ROUNDS)
    return {name: MANY / cost.cpu / 1e6 for name, cost in again.items()}


def adaptive(mine: Any, truth: float) -> list[Row]:
    """Compare VEGAS+ at equal evaluations: error, and cost."""
    mine_off, theirs_off = (
        rms([run(seed) for seed in range(SEEDS)], truth) for run in (mine, vegas_package)
    )
    costs: dict[str, Cost] = in_turn(
        {"ours": lambda: mine(0), "vegas": lambda: vegas_package(0)}, rounds=ROUNDS
    )[1]
    what = f"VEGAS+, two peaks in 4 dimensions, {VEGAS} evaluations"
    return [
        Row(f"{what}: error", "vegas", 1e4 * mine_off, 1e4 * theirs_off, "1e-4", 1),
        Row(what, "vegas", 1e3 * costs["ours"].cpu, 1e3 * costs["vegas"].cpu, "ms CPU", 1),
    ]


def main() -> None:
    """Check errors, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    import jax.numpy as jnp

    smooth, peaks = exact()
    double, single, loops = ours(jnp.float64), ours(jnp.float32), numpy_loops()
    rows, notes = equal_error(double["few"], loops["smooth"], smooth)
    mine: Calls = {
        name: (lambda run=single[name]: run(0))
        for name in ("lattice", "hash", "threefry", "wave hash", "wave threefry")
    }
    peers = torchquad()
    for name in ("smooth", "wave", "wave single"):
        peers[f"{name} whole"] = lambda run=loops[name]: run(MANY, MANY)
        peers[f"{name} pieces"] = lambda run=loops[name]: run(MANY, 2**16)
    wrong = [n for n in ("lattice", "hash", "threefry") if abs(mine[n]() / smooth - 1) > 0.002]
    wrong += [n for n in ("torch", "torch traced", "numpy") if abs(peers[n]() / smooth - 1) > 0.002]
    if wrong:
        raise RuntimeError(f"{', '.join(wrong)}: not the integral")
    rate = throughput(mine, peers)
    best = {
        "torchquad": max(rate[n] for n in ("torch", "torch traced", "numpy")),
        **{
            name: max(rate[f"{name} whole"], rate[f"{name} pieces"])
            for name in ("smooth", "wave", "wave single")
        },
    }
    unit, six, one = "M points/CPU-s", f"{DIMS} dimensions", "1 dimension"
    for what, name, peer, key, goal in (
        (f"{six}, randomized lattice", "lattice", "torchquad", "torchquad", 5),
        (f"{six}, plain, hash", "hash", "torchquad", "torchquad", 5),
        (f"{six}, plain, hash", "hash", "NumPy, double", "smooth", 1.8),
        (f"{one}, plain, hash", "wave hash", "NumPy, double", "wave", 1.8),
        (f"{one}, plain, threefry", "wave threefry", "NumPy, double", "wave", 1.8),
        (f"{six}, plain, threefry", "threefry", "NumPy, double", "smooth", 1),
        (f"{one}, plain, hash", "wave hash", "NumPy, single", "wave single", 1),
    ):
        rows.append(Row(what, peer, rate[name], best[key], unit, goal, more_is_better=True))
    notes.append("All rates: " + ", ".join(f"{n} {r:.3g}" for n, r in rate.items()) + f" {unit}.")
    notes.append(
        "Ours in single precision where points are counted, as torchquad's. threefry makes some "
        "80 million numbers per CPU-s, NumPy's PCG64 in single precision more: plain Monte Carlo "
        "does not clear that bar in one dimension. VEGAS+ is judged by error² times cost."
    )
    save(FAMILY, "Monte Carlo", rows + adaptive(double["vegas"], peaks), notes=notes)


if __name__ == "__main__":
    main()
