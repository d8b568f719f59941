"""Kalman filters: ours against filterpy and dynamax, in double precision.

A constant-velocity model of four states and two observations, 1000 steps: one series, then 64 that
share the model. Everybody returns filtered means and covariances, ours and dynamax also the
log-likelihood; of 64 series that share them the covariances are returned once. Answers must be
equal before anything is timed. dynamax runs in our process, and so under our launch setting, which
it does not set itself.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.harness import Cost, Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "filtering"
STEPS, STATE, OBS, SERIES = 1000, 4, 2, 64
ROUNDS = 9


class Problem(NamedTuple):
    """A model, a belief about x_0 and series of it, in NumPy."""

    F: Any
    Q: Any
    H: Any
    R: Any
    mean: Any
    cov: Any
    yss: Any  # (series, time, obs)


def problem() -> Problem:
    import numpy as np

    pair, step = np.eye(OBS), 0.1
    F = np.block([[pair, step * pair], [0 * pair, pair]])
    Q = np.block([[step**3 / 3 * pair, step**2 / 2 * pair], [step**2 / 2 * pair, step * pair]])
    H = np.block([pair, 0 * pair])
    R = np.array([[0.5, 0.1], [0.1, 0.3]])
    rng = np.random.default_rng(0)
    x, ys = rng.normal(size=(SERIES, STATE)), []
    for _ in range(STEPS):
        x = x @ F.T + rng.normal(size=x.shape) @ np.linalg.cholesky(Q).T
        ys.append(x @ H.T + rng.normal(size=(SERIES, OBS)) @ np.linalg.cholesky(R).T)
    return Problem(F, Q, H, R, np.zeros(STATE), np.eye(STATE), np.stack(ys, axis=1))


def ours(given: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one series, and many."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.inference.filtering import kalman

    model = kalman.Model(*map(jnp.asarray, given[:4]))
    state = kalman.State(jnp.asarray(given.mean), jnp.asarray(given.cov))
    yss = jnp.asarray(given.yss)

    @jax.jit
    def one(state: Any, ys: Any, model: Any) -> Any:
        beliefs, info = kalman.filter(state, ys, model=model)
        return beliefs.mean, beliefs.cov, info.log_likelihood.sum()

    @jax.jit
    def many(state: Any, yss: Any, model: Any) -> Any:
        beliefs, info = kalman.filter_many(state, yss, model=model)
        return beliefs.mean, beliefs.cov, info.log_likelihood.sum(axis=1)

    first = yss[0]
    return (
        lambda: jax.block_until_ready(one(state, first, model)),
        lambda: jax.block_until_ready(many(state, yss, model)),
    )


def dynamax(given: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one series, and many; its first belief is about x_1."""
    import jax
    import jax.numpy as jnp
    from dynamax.linear_gaussian_ssm import lgssm_filter
    from dynamax.linear_gaussian_ssm.inference import make_lgssm_params

    F, Q, H, R, mean, cov, yss = map(jnp.asarray, given)
    params = make_lgssm_params(F @ mean, F @ cov @ F.T + Q, F, Q, H, R)

    @jax.jit
    def one(params: Any, ys: Any) -> Any:
        found = lgssm_filter(params, ys)
        return found.filtered_means, found.filtered_covariances, found.marginal_loglik

    @jax.jit
    def many(params: Any, yss: Any) -> Any:
        found = jax.vmap(lgssm_filter, in_axes=(None, 0))(params, yss)
        return found.filtered_means, found.filtered_covariances[0], found.marginal_loglik

    first = yss[0]
    return (
        lambda: jax.block_until_ready(one(params, first)),
        lambda: jax.block_until_ready(many(params, yss)),
    )


def filterpy(given: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one series, and many; NumPy, a loop in Python."""
    import numpy as np
    from filterpy.kalman import KalmanFilter

    def filtered(ys: Any) -> tuple[Any, Any]:
        peer = KalmanFilter(dim_x=STATE, dim_z=OBS)
        peer.F, peer.Q, peer.H, peer.R = given[:4]
        peer.x, peer.P = given.mean.copy(), given.cov.copy()
        return peer.batch_filter(ys)[:2]

    def many() -> tuple[Any, Any]:
        every = [filtered(ys) for ys in given.yss]
        return np.stack([mean for mean, _ in every]), every[0][1]

    return lambda: filtered(given.yss[0]), many


def agree(contestants: Mapping[str, Callable[[], Any]], tolerance: Mapping[str, float]) -> str:
    """Insist that the peers' answers are ours; say how far apart they are.

    Raises:
        RuntimeError: an answer is further from ours than its tolerance.
    """
    import numpy as np

    mine, said = contestants["ours"](), []
    for peer, limit in tolerance.items():
        pairs = zip(mine, contestants[peer](), strict=False)  # filterpy gives no likelihood
        apart = max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)
        if not apart < limit:
            raise RuntimeError(f"{peer}: its answer is {apart:.2g} from ours, not within {limit}")
        said.append(f"{apart:.1g} from {peer}'s")
    return "Our means, covariances and log-likelihoods are at most " + " and ".join(said) + "."


def compare(
    what: str, contestants: Mapping[str, Callable[[], Any]], goals: Mapping[str, float]
) -> tuple[list[Row], dict[str, Cost]]:
    """Time one table's rows; return them and the first calls."""
    first, again = in_turn(contestants, rounds=ROUNDS)
    rows = [
        Row(what, peer, 1e3 * again["ours"].cpu, 1e3 * again[peer].cpu, "ms CPU", goal)
        for peer, goal in goals.items()
    ]
    return rows, first


def main() -> None:
    """Check that answers are equal, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    given = problem()
    every = {"ours": ours(given), "filterpy": filterpy(given), "dynamax": dynamax(given)}
    one, many = ({name: calls[i] for name, calls in every.items()} for i in range(2))
    sizes = f"{STEPS} steps, {STATE} states, {OBS} observations"
    rows, first = compare(f"one series, {sizes}", one, {"filterpy": 100, "dynamax": 10})
    # dynamax adds 1e-9 to the diagonal of what it solves.
    notes = [agree(one, {"filterpy": 1e-9, "dynamax": 1e-5})]
    more, first_many = compare(
        f"{SERIES} series of one model", many, {"filterpy": 500, "dynamax": 5}
    )
    notes.append(f"{SERIES} series: {agree(many, {'filterpy': 1e-9, 'dynamax': 1e-5})}")
    for name in ("ours", "dynamax"):
        notes.append(
            f"First call of {name}, compilation included: {first[name].cpu:.2g} CPU-s for one "
            f"series, {first_many[name].cpu:.2g} for {SERIES}."
        )
    notes.append(
        "Double precision, covariances in Joseph's form. Ours and dynamax run under "
        f"{launch.SMALL_LOOP}={launch.SMALL_LOOP_BYTES}, which our command line sets and dynamax "
        "does not."
    )
    save(FAMILY, "Filters", rows + more, notes=notes)


if __name__ == "__main__":
    main()
