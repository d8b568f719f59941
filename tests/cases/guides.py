"""Guides held to SciPy's normals, with covariances made from the definition."""

import jax
import numpy as np
import optax
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.inference.vi import flow_guide, full_rank, low_rank, mean_field, secant_normal
from tests.contract import Case

rng = np.random.default_rng(11)
KEY = jax.random.key(0)
center = np.array([0.5, -1.0, 2.0])
root = np.array([[1.2, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]])
position, log_scale = np.array([0.2, -0.7, 1.1]), np.array([-0.3, 0.1, 0.4])
directions = 0.5 * rng.normal(size=(3, 2))
FREE = "a position is a tree of any shape"
RULE = Partial(optax.sgd, learning_rate=np.float64(0.05))

mean_field_params = mean_field.Params(center, log_scale)
full_rank_params = full_rank.Params(center, root + np.diag(np.log(np.diag(root)) - np.diag(root)))
low_rank_params = low_rank.Params(center, log_scale, directions)
secant_params = secant_normal.Params(
    center,
    log_scale,
    np.array([[0.0, 0, 0], [0.4, -0.2, 0.3]]),
    np.array([[0.0, 0, 0], [1, 0.5, -1]]),
)


def bell(center, root, x):
    """Log density of a normal, up to its constant."""
    away = jax.scipy.linalg.solve_triangular(root, x - center, lower=True)
    return -(away**2).sum() / 2


BELL = Partial(bell, center, root)


def covariances(params):
    """Return the covariance of each guide, from its definition."""
    if isinstance(params, mean_field.Params):
        return np.diag(np.exp(2 * params.log_scale))
    if isinstance(params, full_rank.Params):
        stored = params.log_factor
        factor = np.tril(stored, -1) + np.diag(np.exp(np.diag(stored)))
        return factor @ factor.T
    if isinstance(params, low_rank.Params):
        D = np.diag(np.exp(params.log_scale))
        return D @ (np.eye(3) + params.directions @ params.directions.T) @ D
    R = np.diag(np.exp(params.log_scale))
    for s, w in zip(params.steps, params.turns, strict=True):
        R = (np.eye(3) - np.outer(s, w)) @ R
    return R @ R.T


def normal_log_prob(params, position):
    return stats.multivariate_normal(params.mean, covariances(params)).logpdf(position)


def guide_cases(module, params):
    name = module.__name__.rpartition(".")[2]
    yield Case(
        f"{name}.sample",
        module.sample,
        (KEY, params),
        unchecked=("1/mean",),
        because=FREE,
    )
    yield Case(
        f"{name}.log_prob",
        module.log_prob,
        (params, position),
        oracle=normal_log_prob,
        unchecked=("0/mean", "1"),
        because=FREE,
    )


CASES = (
    *guide_cases(mean_field, mean_field_params),
    *guide_cases(full_rank, full_rank_params),
    *guide_cases(low_rank, low_rank_params),
    *guide_cases(secant_normal, secant_params),
    *(
        Case(
            f"{name}.init",
            module.init,
            (*key, position),
            {"scale": 0.3},
            static,
            oracle=oracle,
            unchecked=(str(len(key)),),
            because=FREE,
        )
        for name, module, key, static, oracle in (
            (
                "mean_field",
                mean_field,
                (),
                {},
                lambda x, scale: (x, np.full(3, np.log(scale))),
            ),
            ("full_rank", full_rank, (), {}, lambda x, scale: (x, np.log(scale) * np.eye(3))),
            ("low_rank", low_rank, (KEY,), {"rank": 2}, None),
        )
    ),
    Case(
        "full_rank.factor",
        full_rank.factor,
        (full_rank_params,),
        oracle=lambda params: root,
        unchecked=("0/mean",),
        because=FREE,
    ),
    Case(
        "full_rank.from_factor",
        full_rank.from_factor,
        (center, root),
        oracle=lambda mean, factor: full_rank_params,
        unchecked=("0",),
        because=FREE,
    ),
    Case(
        "flow_guide.init",
        flow_guide.init,
        (position, (directions,)),
        {"scale": 0.3},
        oracle=lambda x, flow, scale: (x, np.full(3, np.log(scale)), flow),
        any_rank=True,
        because="a position is a tree of any shape, and so are the parameters of a flow",
    ),
)
