"""Nonlinear filters: ours against filterpy, dynamax and NumPy.

A point with a constant velocity, seen by its distance and its bearing, 1000 steps. The extended
filter: one series, then 64 series of one model, ours and dynamax by ``jax.vmap``, filterpy with
Jacobians written out by hand; in single precision, and in double, filterpy always in double. The
particle filter: 1000 particles, drawn anew where their effective
size falls below half, against the same in NumPy: with the model's functions called for one particle
after the other, over 100 steps, and with every operation on all particles at once.
Extended filters must agree before anything is timed; particle filters draw other numbers, and must
agree in the log-likelihood to what two runs of one differ. dynamax runs in our process, and so
under our launch setting, which it does not set itself.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.filtering import agree, compare
from benchmarks.harness import Row, enter, save
from mastery_jax.workflow import launch

FAMILY = "nonlinear_filtering"
STEPS, STATE, OBS, SERIES, PARTICLES, STEP = 1000, 4, 2, 64, 1000, 0.1
FEW = 100  # steps of what is slow


class Problem(NamedTuple):
    """Covariances, a belief about x_0 and series of a model, in NumPy."""

    Q: Any
    R: Any
    mean: Any
    cov: Any
    yss: Any  # (series, time, obs)


def problem() -> Problem:
    """Return points that pass far enough from the origin for a bearing never to jump."""
    import numpy as np

    pair = np.eye(2)
    Q = 1e-2 * np.block(
        [[STEP**3 / 3 * pair, STEP**2 / 2 * pair], [STEP**2 / 2 * pair, STEP * pair]]
    )
    R = np.diag([0.04, 1e-4])
    rng = np.random.default_rng(0)
    mean, cov = np.array([40.0, -10.0, 0.1, 0.1]), np.diag([1.0, 1.0, 0.01, 0.01])
    x, ys = mean + rng.normal(size=(SERIES, STATE)) @ np.sqrt(cov), []
    for _ in range(STEPS):
        x = x @ transition().T + rng.normal(size=x.shape) @ np.linalg.cholesky(Q).T
        seen = np.stack([np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])], axis=1)
        ys.append(seen + rng.normal(size=(SERIES, OBS)) @ np.sqrt(R))
    return Problem(Q, R, mean, cov, np.stack(ys, axis=1))


def transition() -> Any:
    import numpy as np

    pair = np.eye(2)
    return np.block([[pair, STEP * pair], [0 * pair, pair]])


def moved(x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.stack([x[0] + STEP * x[2], x[1] + STEP * x[3], x[2], x[3]])


def seen(x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.stack([jnp.hypot(x[0], x[1]), jnp.arctan2(x[1], x[0])])


def model_of(Q: Any, R: Any) -> Any:
    from jax.tree_util import Partial

    from mastery_jax.inference.filtering import nonlinear

    return nonlinear.Model(Partial(moved), Q, Partial(seen), R)


def ours(given: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one series, and many."""
    import jax.numpy as jnp

    from mastery_jax.inference.filtering import extended
    from mastery_jax.inference.filtering.linear_gaussian import State

    def one(Q: Any, R: Any, mean: Any, cov: Any, ys: Any) -> Any:
        found = extended.filter(State(mean, cov), ys, model=model_of(Q, R))
        return found[0].mean, found[0].cov, found[1].log_likelihood.sum()

    return calls_of(one, *map(jnp.asarray, given))


def calls_of(one: Callable[..., Any], *given: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import jax

    *shared, yss = given
    alone, many = jax.jit(one), jax.jit(jax.vmap(one, in_axes=(*[None] * len(shared), 0)))
    first = yss[0]
    return (
        lambda: jax.block_until_ready(alone(*shared, first)),
        lambda: jax.block_until_ready(many(*shared, yss)),
    )


def dynamax(given: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one series, and many; its first belief is about x_1."""
    import jax.numpy as jnp
    from dynamax.nonlinear_gaussian_ssm import ParamsNLGSSM, extended_kalman_filter

    def one(Q: Any, R: Any, mean: Any, cov: Any, ys: Any) -> Any:
        F = jnp.asarray(transition())
        params = ParamsNLGSSM(F @ mean, F @ cov @ F.T + Q, moved, Q, seen, R)
        found = extended_kalman_filter(params, ys)
        return found.filtered_means, found.filtered_covariances, found.marginal_loglik

    return calls_of(one, *map(jnp.asarray, given))


def filterpy(given: Problem) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return one series, and many; NumPy, a loop in Python, Jacobians by hand."""
    import numpy as np
    from filterpy.kalman import ExtendedKalmanFilter

    def slope(x: Any) -> Any:
        a, b = x[0], x[1]
        r = np.hypot(a, b)
        return np.array([[a / r, b / r, 0, 0], [-b / r**2, a / r**2, 0, 0]])

    def value(x: Any) -> Any:
        return np.array([np.hypot(x[0], x[1]), np.arctan2(x[1], x[0])])

    def filtered(ys: Any) -> tuple[Any, Any]:
        peer = ExtendedKalmanFilter(dim_x=STATE, dim_z=OBS)
        peer.F, peer.Q, peer.R = transition(), given.Q, given.R
        peer.x, peer.P = given.mean.copy(), given.cov.copy()
        means, covs = np.empty((len(ys), STATE)), np.empty((len(ys), STATE, STATE))
        for t, y in enumerate(ys):
            peer.predict()
            peer.update(y, slope, value)
            means[t], covs[t] = peer.x, peer.P
        return means, covs

    def many() -> tuple[Any, Any]:
        every = [filtered(ys) for ys in given.yss]
        return np.stack([mean for mean, _ in every]), np.stack([cov for _, cov in every])

    return lambda: filtered(given.yss[0]), many


def particles_of_ours(given: Problem, num_steps: int) -> Callable[[], Any]:
    """Return the bootstrap filter, in single precision."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mastery_jax.inference.filtering import additive_noise, particle

    Q, R, mean, cov, yss = (jnp.asarray(x, jnp.float32) for x in given)
    ys = yss[0, :num_steps]

    @jax.jit
    def run(key: Any, Q: Any, R: Any, mean: Any, cov: Any, ys: Any) -> Any:
        first, key = jax.random.split(key)
        noise = jax.random.normal(first, (PARTICLES, STATE), mean.dtype)
        state = particle.init(mean[None, :] + noise @ jnp.sqrt(cov))
        model = additive_noise.model_of(model_of(Q, R))
        found = particle.filter(key, state, ys, model=model)
        return found[0].mean, found[1].log_likelihood.sum()

    key = jax.random.key(0)
    return lambda: tuple(np.asarray(x) for x in run(key, Q, R, mean, cov, ys))


def particles_of_numpy(given: Problem, num_steps: int, *, by_one: bool) -> Callable[[], Any]:
    """Return the bootstrap filter in NumPy: functions of one particle, or of all at once."""
    import numpy as np

    F, root = transition(), np.linalg.cholesky(given.Q)
    scale = np.sqrt(np.diag(given.R))
    constant = np.log(scale).sum() + np.log(2 * np.pi)

    def moved(x: Any) -> Any:
        return np.array([F @ one for one in x]) if by_one else x @ F.T

    def seen(x: Any) -> Any:
        if by_one:
            return np.array([[np.hypot(one[0], one[1]), np.arctan2(one[1], one[0])] for one in x])
        return np.stack([np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])], axis=1)

    def run() -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(PARTICLES, STATE))
        x = given.mean + noise @ np.sqrt(given.cov)
        log_weights = even = np.full(PARTICLES, -np.log(PARTICLES))
        means, log_likelihood = np.empty((num_steps, STATE)), 0.0
        for t, y in enumerate(given.yss[0, :num_steps]):
            weights = np.exp(log_weights)
            if 1 / (weights**2).sum() < PARTICLES / 2:
                places = (np.arange(PARTICLES) + rng.random()) / PARTICLES
                found = np.searchsorted(np.cumsum(weights), places, side="right")
                x, log_weights = x[np.minimum(found, PARTICLES - 1)], even
            x = moved(x) + rng.normal(size=x.shape) @ root.T
            fit = -(((y - seen(x)) / scale) ** 2).sum(axis=1) / 2 - constant
            top = (log_weights + fit).max()
            total = top + np.log(np.exp(log_weights + fit - top).sum())
            log_weights, log_likelihood = log_weights + fit - total, log_likelihood + total
            means[t] = np.exp(log_weights) @ x
        return means, log_likelihood

    return run


def particles_agree(contestants: Mapping[str, Callable[[], Any]]) -> str:
    """Insist that the likelihoods of two runs are as close as runs are.

    Raises:
        RuntimeError: they differ by more than 20 nats, of some thousand.
    """
    mine, theirs = contestants["ours"](), contestants["NumPy"]()
    apart = abs(float(mine[1]) - float(theirs[1]))
    if not apart < 20:
        raise RuntimeError(
            f"NumPy: its log-likelihood is {apart:.3g} nats from ours, not within 20"
        )
    return (
        f"Particle filters: log-likelihoods {float(mine[1]):.1f} (ours, float32) and "
        f"{float(theirs[1]):.1f} nats (NumPy, float64), of other random numbers."
    )


def extended_filters(given: Problem, *, in_double: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of one precision, and what is to be said."""
    import jax
    import numpy as np

    dtype = np.float64 if in_double else np.float32
    cast = Problem(*(each.astype(dtype) for each in given))
    with jax.enable_x64(in_double):
        every = {"ours": ours(cast), "filterpy": filterpy(given), "dynamax": dynamax(cast)}
        one, many = ({name: calls[i] for name, calls in every.items()} for i in range(2))
        precision = "double" if in_double else "single"
        what = f"extended filter, {precision} precision"
        rows, first = compare(f"{what}, one series", one, {"filterpy": 100, "dynamax": 15})
        # dynamax adds 1e-9 to the diagonal of what it solves.
        tolerance = {"filterpy": 1e-6, "dynamax": 1e-2} if in_double else {"filterpy": 0.1}
        notes = [f"{precision.capitalize()} precision: {agree(one, tolerance)}"]
        more, _ = compare(f"{what}, {SERIES} series", many, {"filterpy": 100, "dynamax": 15})
    notes.append(
        f"First call in {precision} precision, compilation included: ours {first['ours'].cpu:.2g} "
        f"CPU-s, dynamax {first['dynamax'].cpu:.2g}."
    )
    return rows + more, notes


def main() -> None:
    """Check that answers are equal, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    given = problem()
    rows, notes = [], [f"{STEPS} steps, {STATE} states, {OBS} observations."]
    for in_double in (False, True):
        more, said = extended_filters(given, in_double=in_double)
        rows += more
        notes += said
    runs = {
        "ours": particles_of_ours(given, STEPS),
        "NumPy": particles_of_numpy(given, STEPS, by_one=False),
    }
    few = {
        "ours": particles_of_ours(given, FEW),
        "NumPy": particles_of_numpy(given, FEW, by_one=True),
    }
    notes.append(particles_agree(runs))
    what = f"bootstrap filter, {PARTICLES} particles"
    by_one, _ = compare(f"{what}, {FEW} steps; NumPy one by one", few, {"NumPy": 20})
    last, _ = compare(f"{what}, {STEPS} steps; NumPy all at once", runs, {"NumPy": 1})
    steps_a_second = PARTICLES * STEPS / (1e-3 * last[0].ours)
    rate = Row(
        "bootstrap filter", "the bar", steps_a_second, 1e6, "particle-steps / CPU-s", 1, True
    )
    save(FAMILY, "Nonlinear filters", [*rows, *by_one, *last, rate], notes=notes)


if __name__ == "__main__":
    main()
