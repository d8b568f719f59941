"""Bounds, curvature and factors held to closed forms, on a normal posterior and a regression."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from jax.tree_util import Partial
from numpyro import distributions as dist
from scipy import special, stats

from mastery_jax.inference.vi import (
    coordinate_ascent,
    elbo,
    fit,
    laplace,
    mean_field,
    numpyro_svi,
    pathfinder,
    svgd,
    trust,
)
from tests.cases import guides
from tests.cases.guides import (
    BELL,
    FREE,
    KEY,
    RULE,
    center,
    full_rank_params,
    mean_field_params,
    position,
    root,
)
from tests.contract import Case

rng = np.random.default_rng(13)


def exact_laplace(position, **_):
    log_evidence = 1.5 * np.log(2 * np.pi) + np.log(np.diag(root)).sum()
    return center, full_rank_params.log_factor, log_evidence


def laplace_at_mode(position, **hyper):
    params, info = laplace.fit(position, **hyper)
    return params.mean, params.log_factor, info.log_evidence


X = rng.normal(size=(12, 3))
y = X @ np.array([1.0, -0.5, 0.0]) + 0.3 * rng.normal(size=12)


def slow_regression(X, y, *, max_steps):
    """Update the three factors with matrices of full size; return moments and the bound."""
    (n, p), start, square = X.shape, 1e-3, y @ y / 2
    a, c, b, d = start + n / 2, start + p / 2, start + square, start + p * square / (X**2).sum()
    for _ in range(max_steps):
        S = np.linalg.inv(c / d * np.eye(p) + a / b * X.T @ X)
        m = a / b * S @ X.T @ y
        misfit = (y - X @ m) @ (y - X @ m) + np.trace(X.T @ X @ S)
        size = m @ m + np.trace(S)
        b, d = start + misfit / 2, start + size / 2
    bound = stats.multivariate_normal(m, S).entropy()
    for count, shape, rate, square in ((n, a, b, misfit), (p, c, d, size)):
        log_mean = special.digamma(shape) - np.log(rate)
        bound += count / 2 * (log_mean - np.log(2 * np.pi)) - shape / rate * square / 2
        bound += start * np.log(start) - special.gammaln(start)
        bound += (start - 1) * log_mean - start * shape / rate
        bound += stats.gamma(shape, scale=1 / rate).entropy()
    S = np.linalg.inv(c / d * np.eye(p) + a / b * X.T @ X)
    return m, S, a, b, c, d, bound


def regression_and_bound(X, y, **options):
    vague = {"noise": (1e-3, 1e-3), "prior": (1e-3, 1e-3)}
    state, info = coordinate_ascent.fit(X, y, rtol=-1.0, **vague, **options)
    return *jax.tree.leaves(state), info.elbo


def slow_smooth(log_ratios):
    n = len(log_ratios)
    count = min(int(np.ceil(n / 5)), int(np.ceil(3 * np.sqrt(n))))
    order = np.argsort(-log_ratios)
    ratios = np.exp(log_ratios - log_ratios.max())
    limit = ratios[order[count]]
    with jax.enable_x64(True):
        tail = trust.pareto_tail.fit(jnp.asarray(ratios[order[:count]] - limit))
    k, scale = float(tail.shape), float(tail.scale)
    places = (np.arange(count, 0, -1) - 0.5) / count
    smoothed = limit + stats.genpareto(k, scale=scale).ppf(places)
    out = log_ratios.copy()
    out[order[:count]] = np.minimum(np.log(smoothed), 0) + log_ratios.max()
    return out, k


def loose(x):
    mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
    numpyro.sample("x", dist.Normal(mean, 1.0), obs=x)


particles = rng.normal(size=(6, 3))
svgd_state = svgd.State(particles, (optax.EmptyState(), optax.EmptyState()))
climb = fit.State(
    mean_field_params,
    mean_field_params,
    (optax.EmptyState(), optax.EmptyState()),
    np.int32(3),
    np.int32(1),
)
GUIDED = {"guide": mean_field}
TREES = "params and optimizer states are trees of any shape"
GUIDES = "params belong to the guide, which refuses them in its own name"
ENGINE = "optax mixes integers and floats"

CASES = (
    *guides.CASES,
    Case(
        "elbo.estimate",
        elbo.estimate,
        (KEY, mean_field_params),
        {"log_density": BELL},
        {"num_draws": 5, **GUIDED},
        unchecked=("1",),
        because=GUIDES,
    ),
    Case(
        "elbo.gains",
        elbo.gains,
        (KEY, mean_field_params),
        {"log_density": BELL},
        {"num_draws": 2, **GUIDED},
        unchecked=("1",),
        because=GUIDES,
    ),
    Case(
        "fit.init",
        fit.init,
        (mean_field_params,),
        {"rule": RULE},
        any_rank=True,
        engine=True,
        because=TREES,
    ),
    Case(
        "fit.step",
        fit.step,
        (KEY, climb),
        {"log_density": BELL, "rule": RULE},
        {"num_draws": 2, **GUIDED},
        modes=(),
        unchecked=("1",),
        engine=True,
        because=f"a step that is lost is a jump; {TREES}; {ENGINE}",
    ),
    Case(
        "fit.fit",
        fit.fit,
        (KEY, mean_field_params),
        {"log_density": BELL, "rule": RULE},
        {"num_draws": 2, "num_steps": 8, **GUIDED},
        modes=(),
        unchecked=("1",),
        engine=True,
        because=f"a step that is lost is a jump; {TREES}; {ENGINE}",
    ),
    Case(
        "laplace.fit",
        laplace_at_mode,
        (position,),
        {"log_density": BELL, "gtol": 1e-9},
        oracle=exact_laplace,
        modes=(),
        unchecked=("0",),
        rtol32=1e-2,
        because="the search stops at a tolerance that single precision does not reach; " + FREE,
    ),
    Case(
        "trust.smooth",
        trust.smooth,
        (rng.normal(size=30),),
        oracle=slow_smooth,
        modes=(),
        because="which ratios are the largest is a jump",
    ),
    Case(
        "trust.resample",
        trust.resample,
        (KEY, particles[:, None, :].repeat(5, axis=1).reshape(30, 3), rng.normal(size=30)),
        static={"num_draws": 4},
        modes=(),
        unchecked=("1",),
        because=f"which draw is taken is a jump; {FREE}",
    ),
    Case(
        "trust.assess",
        trust.assess,
        (KEY, mean_field_params),
        {"log_density": BELL},
        {"num_draws": 25, **GUIDED},
        modes=(),
        unchecked=("1",),
        because=f"which ratios are the largest is a jump; {GUIDES}",
    ),
    Case(
        "svgd.init",
        svgd.init,
        (particles,),
        {"rule": RULE},
        any_rank=True,
        engine=True,
        because=TREES,
    ),
    Case(
        "svgd.step",
        svgd.step,
        (svgd_state,),
        {"log_density": BELL, "rule": RULE},
        modes=(),
        unchecked=("0",),
        engine=True,
        because=f"the bandwidth is a median, held fixed; {TREES}; {ENGINE}",
    ),
    Case(
        "svgd.fit",
        svgd.fit,
        (particles,),
        {"log_density": BELL, "rule": RULE},
        {"num_steps": 2},
        modes=(),
        unchecked=("0",),
        engine=True,
        because=f"the bandwidth is a median, held fixed; {TREES}; {ENGINE}",
    ),
    Case(
        "pathfinder.fit",
        pathfinder.fit,
        (KEY, position),
        {"log_density": BELL},
        {"num_draws": 2, "num_steps": 3, "memory": 2},
        modes=(),
        unchecked=("1",),
        engine=True,
        because=f"which normal is best is a jump; {FREE}; {ENGINE}",
    ),
    Case(
        "pathfinder.sample_many",
        pathfinder.sample_many,
        (KEY, np.stack([position, -position])),
        {"log_density": BELL},
        {"num_samples": 25, "num_draws": 2, "num_steps": 3, "memory": 2},
        modes=(),
        unchecked=("1",),
        engine=True,
        because=f"which normal is best is a jump; {FREE}; {ENGINE}",
    ),
    Case(
        "coordinate_ascent.fit",
        regression_and_bound,
        (X, y),
        static={"max_steps": 4},
        oracle=slow_regression,
        modes=("fwd",),
        because="a loop that ends by itself has no reverse mode",
    ),
    Case(
        "coordinate_ascent.predict",
        coordinate_ascent.predict,
        (
            coordinate_ascent.State(
                center,
                root @ root.T,
                coordinate_ascent.Gamma(np.float64(3), np.float64(2)),
                coordinate_ascent.Gamma(np.float64(2), np.float64(1)),
            ),
            X[:4],
        ),
        oracle=lambda state, X: (X @ center, 1 + np.diag(X @ root @ root.T @ X.T)),
    ),
    Case(
        "numpyro_svi.fit",
        numpyro_svi.fit,
        (KEY,),
        {"model": Partial(loose, position), "rule": RULE},
        {"num_steps": 8, "num_draws": 1},
        modes=(),
        engine=True,
        because="NumPyro mixes integers and floats, and draws in its own order",
    ),
    Case(
        "numpyro_svi.sample",
        numpyro_svi.sample,
        (KEY, {"auto_loc": np.array([0.3]), "auto_scale": np.array([0.5])}),
        {"model": Partial(loose, position)},
        {"num_samples": 2},
        unchecked=("1",),
        engine=True,
        because="NumPyro mixes integers and floats; parameters have the shapes of its guide",
    ),
)
