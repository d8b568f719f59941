"""The job that the sweep benchmark's peers run: a 2x64 MLP on digits, 300 steps in one scan.

As a script it is what one writes by hand: compiled once, rate and seed arguments of the compiled
function, called for every point. ``python digits.py RATE,RATE,... NUM_SEEDS``.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Net(nnx.Module):
    """64 -> 64 -> 64 -> 10."""

    def __init__(self, rngs):
        self.one = nnx.Linear(64, 64, rngs=rngs)
        self.two = nnx.Linear(64, 64, rngs=rngs)
        self.out = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.two(nnx.relu(self.one(x)))))


@functools.cache
def load():
    """Return standardized digits: X, y, X_test, y_test."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    center, scale = X.mean(axis=0), X.std(axis=0) + 1e-9
    arrays = ((X - center) / scale, y, (X_test - center) / scale, y_test)
    return [jnp.asarray(a, jnp.float32 if a.dtype.kind == "f" else jnp.int32) for a in arrays]


def train(rate, seed, X, y, X_test, y_test, num_steps=300, batch=128):
    """Return the accuracy on the test rows."""
    init_key, run_key = jax.random.split(jax.random.key(seed))
    graph, params = nnx.split(Net(nnx.Rngs(init_key)))
    optimizer = optax.adamw(rate)

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (batch,), 0, len(X))

        def loss(params):
            logits = nnx.merge(graph, params)(X[rows])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(run_key, num_steps)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return (nnx.merge(graph, params)(X_test).argmax(axis=1) == y_test).mean()


compiled = jax.jit(train)


def traced(rate, seed):
    """Train one point by the program that serves all."""
    return float(compiled(rate, seed, *load()))


def baked(rate, seed):
    """Train one point by a program of its own: the rate is a constant of it."""
    return float(jax.jit(functools.partial(train, rate, seed))(*load()))


if __name__ == "__main__":
    for rate in map(float, sys.argv[1].split(",")):
        for seed in range(int(sys.argv[2])):
            print(rate, seed, traced(rate, seed))
