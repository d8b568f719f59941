"""Flows and metrics: what is called on one point, and what is called on many rows."""

from itertools import pairwise

import jax
import numpy as np
from scipy import special
from sklearn import metrics as peer

from mastery_jax.probability import metrics
from mastery_jax.probability.flows import affine_coupling, chain, planar
from tests.contract import Case

rng = np.random.default_rng(3)
KEY = jax.random.key(0)
POINT = rng.normal(size=3)
PLANAR = planar.Params(u=rng.normal(size=3), w=rng.normal(size=3), b=rng.normal())
PLANARS = (planar.Params(*(rng.normal(size=(4, *np.shape(leaf))) for leaf in PLANAR)),)


def dense(sizes, *lead):
    return {
        "layers": {
            i: {"kernel": rng.normal(size=(*lead, a, b)), "bias": rng.normal(size=(*lead, b))}
            for i, (a, b) in enumerate(pairwise(sizes))
        }
    }


COUPLING = dense((1, 5, 4))
COUPLINGS = (dense((1, 5, 4), 2),)
LOG_PROBS = special.log_softmax(rng.normal(size=(12, 3)), axis=1)
LABELS = rng.integers(0, 3, size=12)
Y, PREDICTIONS = rng.normal(size=(2, 12))

NESTED = "params are nested dicts or stacked pytrees, whose leaves are free in rank"


def planar_forward(params, x):
    """The equations of the docstring, the constraint of Rezende & Mohamed shifted to m(0) = 0."""
    u, w, b = params
    m = np.log1p(np.exp(w @ u + np.log(np.e - 1))) - 1
    u = u + (m - w @ u) * w / (w @ w)
    h = np.tanh(w @ x + b)
    return x + u * h, np.log(1 + u @ w * (1 - h**2))


def planar_inverse(params, y):
    from scipy.optimize import root

    x = root(lambda x: planar_forward(params, x)[0] - y, y, tol=1e-14).x
    return x, -planar_forward(params, x)[1]


def coupling_forward(params, x):
    h = x[:1]
    for i, layer in sorted(params["layers"].items()):
        h = (np.tanh(h) if i else h) @ layer["kernel"] + layer["bias"]
    shift, scale = h[:2], 2 * np.tanh(h[2:] / 2)
    return np.append(x[:1], x[1:] * np.exp(scale) + shift)[::-1], scale.sum()


def coupling_inverse(params, y):
    # Only the last two coordinates move, and the first is known: a linear equation.
    x = np.append(y[-1], [0, 0])
    shift, log_det = coupling_forward(params, x)
    scale = coupling_forward(params, np.append(y[-1], [1, 1]))[0] - shift
    return np.append(y[-1], ((y - shift)[:2] / scale[:2])[::-1]), -log_det


def rows(params):
    (stack,) = params
    return [planar.Params(*leaves) for leaves in zip(*stack, strict=True)]


def chain_forward(params, x, *, layers):
    total = 0.0
    for row in rows(params):
        x, log_det = planar_forward(row, x)
        total += log_det
    return x, total


def chain_inverse(params, y, *, layers):
    total = 0.0
    for row in rows(params)[::-1]:
        y, log_det = planar_inverse(row, y)
        total += log_det
    return y, total


def chain_log_prob(params, x, *, layers):
    z, log_det = chain_inverse(params, x, layers=layers)
    return log_det - (z @ z + z.size * np.log(2 * np.pi)) / 2


CASES: tuple[Case, ...] = (
    Case(
        name="planar.init",
        fn=planar.init,
        args=(KEY,),
        hyper={"scale": np.float64(0.3)},
        static={"dim": 3},
    ),
    Case(name="planar.forward", fn=planar.forward, args=(PLANAR, POINT), oracle=planar_forward),
    Case(name="planar.inverse", fn=planar.inverse, args=(PLANAR, POINT), oracle=planar_inverse),
    Case(
        name="affine_coupling.init",
        fn=affine_coupling.init,
        args=(KEY,),
        hyper={"scale": np.float64(0.3)},
        static={"dim": 3, "widths": (5,)},
    ),
    Case(
        name="affine_coupling.forward",
        fn=affine_coupling.forward,
        args=(COUPLING, POINT),
        oracle=coupling_forward,
        unchecked=("0",),
        because=NESTED,
    ),
    Case(
        name="affine_coupling.inverse",
        fn=affine_coupling.inverse,
        args=(COUPLING, POINT),
        oracle=coupling_inverse,
        unchecked=("0",),
        because=NESTED,
    ),
    *(
        Case(
            name=f"chain.{fn.__name__}",
            fn=fn,
            args=(PLANARS, POINT),
            static={"layers": (planar,)},
            oracle=oracle,
            unchecked=("0",),
            because=NESTED,
        )
        for fn, oracle in (
            (chain.forward, chain_forward),
            (chain.inverse, chain_inverse),
            (chain.log_prob, chain_log_prob),
        )
    ),
    Case(
        name="chain.sample",
        fn=chain.sample,
        args=(KEY, COUPLINGS),
        static={"layers": (affine_coupling,), "dim": 3, "shape": (2,)},
        unchecked=("1",),
        because=NESTED,
    ),
    Case(
        name="metrics.accuracy",
        fn=metrics.accuracy,
        args=(LOG_PROBS, LABELS),
        oracle=lambda p, y: peer.accuracy_score(y, p.argmax(1)),
    ),
    Case(
        name="metrics.log_loss",
        fn=metrics.log_loss,
        args=(LOG_PROBS, LABELS),
        oracle=lambda p, y: peer.log_loss(y, np.exp(p)),
    ),
    Case(
        name="metrics.rmse",
        fn=metrics.rmse,
        args=(PREDICTIONS, Y),
        oracle=lambda p, y: peer.root_mean_squared_error(y, p),
    ),
    Case(
        name="metrics.r2",
        fn=metrics.r2,
        args=(PREDICTIONS, Y),
        oracle=lambda p, y: peer.r2_score(y, p),
    ),
)
