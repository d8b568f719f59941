"""Networks: dicts of parameters, batches of any leading axes, optax inside a step."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.core.functional import functional
from mastery_jax.networks import dropout, training
from mastery_jax.networks.mlp import MLP
from tests.contract import Case

rng = np.random.default_rng(5)
KEY = jax.random.key(0)
X = rng.normal(size=(6, 3))
Y = rng.normal(size=6)
PARAMS = {"bias": rng.normal(), "weights": rng.normal(size=3)}
NETWORK = functional(lambda rngs: MLP(3, (4,), 2, activation="tanh", rngs=rngs))
WEIGHTS = {
    "hidden": {0: {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}},
    "output": {"kernel": rng.normal(size=(4, 2)), "bias": rng.normal(size=2)},
}


@jax.jit
def mlp(params, x):
    return NETWORK.apply(params, {}, x)[0]


def mlp_in_numpy(params, x):
    hidden, output = params["hidden"][0], params["output"]
    return np.tanh(x @ hidden["kernel"] + hidden["bias"]) @ output["kernel"] + output["bias"]


def squares(_, params, statistics, batch):
    X, y = batch
    return ((X @ params["weights"] + params["bias"] - y) ** 2).mean(), statistics


def adamw_state():
    """Return a state after some steps, its moments of sizes that a gradient could have."""
    rule = training.optimizer("adamw", learning_rate=1.0)()
    with jax.numpy_dtype_promotion("standard"):
        empty = jax.tree.map(np.asarray, rule.init(jax.tree.map(jnp.asarray, PARAMS)))
    moments = jax.tree.map(
        lambda leaf: (
            np.asarray(leaf + 1 + rng.random(leaf.shape), np.float64)
            if np.issubdtype(leaf.dtype, np.floating)
            else leaf + 3
        ),
        empty,
    )
    return training.State(params=PARAMS, statistics={}, opt_state=moments)


def adamw_by_hand(key, state, batch, *, loss, optimizer):
    """Loshchilov & Hutter (2019), algorithm 2, with optax's defaults."""
    X, y = batch
    adam, *rest = state.opt_state
    lr, wd = (optimizer.keywords[name] for name in ("learning_rate", "weight_decay"))
    residual = X @ state.params["weights"] + state.params["bias"] - y
    grads = {"bias": 2 * residual.mean(), "weights": 2 * X.T @ residual / len(y)}
    count = adam.count + 1
    mu = {k: 0.9 * adam.mu[k] + 0.1 * g for k, g in grads.items()}
    nu = {k: 0.999 * adam.nu[k] + 0.001 * g**2 for k, g in grads.items()}
    params = {
        k: p
        - lr * (mu[k] / (1 - 0.9**count) / (np.sqrt(nu[k] / (1 - 0.999**count)) + 1e-8) + wd * p)
        for k, p in state.params.items()
    }
    norm = np.sqrt(grads["bias"] ** 2 + grads["weights"] @ grads["weights"])
    opt_state = (adam._replace(count=count, mu=mu, nu=nu), *rest)
    return (params, {}, opt_state), ((residual**2).mean(), norm)


ADAMW = Partial(
    training.optimizer("adamw", learning_rate=0.1).func,
    learning_rate=np.float64(0.1),
    weight_decay=np.float64(0.3),
)

CASES: tuple[Case, ...] = (
    Case(
        name="dropout.dropout",
        fn=dropout.dropout,
        args=(KEY, X),
        hyper={"rate": np.float64(0.25)},
        unchecked=("1",),
        because="x is of any shape: every number is dropped for itself",
    ),
    Case(
        name="mlp.MLP",
        fn=mlp,
        args=(WEIGHTS, X),
        oracle=mlp_in_numpy,
        any_rank=True,
        because="x has any leading axes, params are a nested dict",
    ),
    Case(
        name="training.init",
        fn=training.init,
        args=(PARAMS, {}),
        hyper={"optimizer": ADAMW},
        any_rank=True,
        engine=True,
        because="params are any nested dict; optax promotes its counters",
    ),
    Case(
        name="training.step",
        fn=training.step,
        args=(KEY, adamw_state(), (X, Y)),
        hyper={"loss": Partial(squares), "optimizer": ADAMW},
        oracle=adamw_by_hand,
        unchecked=("1", "2"),
        engine=True,
        because="params and batch are any nested dicts; optax promotes its counters",
    ),
    Case(
        name="training.minibatch",
        fn=training.minibatch,
        args=(KEY, {"X": X, "y": Y}),
        static={"size": 4},
        unchecked=("1",),
        because="rows may have any shape",
    ),
)
