import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import special

from mastery_jax.numerics.calculus import backpropagation, complex_step, finite_difference
from tests.contract import Case

rng = np.random.default_rng(0)
x, weights = rng.normal(size=3), rng.normal(size=3)
features, labels = rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])
network = backpropagation.Params(
    W1=rng.normal(size=(3, 2)),
    b1=rng.normal(size=2),
    W2=rng.normal(size=(2, 3)),
    b2=rng.normal(size=3),
)


def wave(w, x):
    return jnp.sin(w * x)


def bowl(w, x):
    return jnp.exp((w * x).sum() / 2)


def mixed(w, x):
    product = w.astype(x.dtype) * x  # for complex steps
    return jnp.stack([jnp.sin(product).sum(), product.prod()])


def mixed_jacobian(fn, x, **static):
    others = np.stack([np.delete(weights * x, i).prod() for i in range(3)])
    return np.stack([weights * np.cos(weights * x), weights * others])


def cross_entropy(params, X, labels):
    """Return the loss, from its definition, sample by sample."""
    losses = []
    for row, label in zip(X, labels, strict=True):
        hidden = np.tanh(params.W1.T @ row + params.b1)
        losses.append(-np.log(special.softmax(params.W2.T @ hidden + params.b2)[label]))
    return np.mean(losses)


def slope_of_loss(params, X, labels):
    """Return the loss and its gradient by complex steps, weight by weight."""
    gradient = []
    for field, leaf in zip(params._fields, params, strict=True):
        slopes = np.empty(leaf.shape)
        for index in itertools.product(*map(range, leaf.shape)):
            moved = leaf.astype(complex)
            moved[index] += 1e-30j
            there = params._replace(**{field: moved})
            slopes[index] = cross_entropy_of_complex(there, X, labels).imag / 1e-30
        gradient.append(slopes)
    return cross_entropy(params, X, labels), backpropagation.Params(*gradient)


def cross_entropy_of_complex(params, X, labels):
    logits = [params.W2.T @ np.tanh(params.W1.T @ row + params.b1) + params.b2 for row in X]
    chosen = [z[label] - np.log(np.exp(z).sum()) for z, label in zip(logits, labels, strict=True)]
    return -np.mean(chosen)


CASES: tuple[Case, ...] = (
    Case(
        "finite_difference.step_size",
        finite_difference.step_size,
        (10 * x,),
        static={"order": 2},
        oracle=lambda x, order: (
            2.0 ** np.floor(np.log2(np.finfo(float).eps ** (1 / 3) * np.maximum(np.abs(x), 1)))
        ),
        any_rank=True,
        rtol32=2e3,
        because="every entry of any array has its step, and that of float32 is another",
    ),
    Case(
        "finite_difference.derivative",
        finite_difference.derivative,
        (Partial(wave, weights[0]), x[0]),
        static={"order": 8},
        oracle=lambda fn, x, order: weights[0] * np.cos(weights[0] * x),
    ),
    Case(
        "finite_difference.derivative of degree 2",
        finite_difference.derivative,
        (Partial(wave, weights[0]), x[0]),
        static={"order": 8, "degree": 2},
        oracle=lambda fn, x, **static: -(weights[0] ** 2) * np.sin(weights[0] * x),
    ),
    Case(
        "finite_difference.derivative forward",
        finite_difference.derivative,
        (Partial(wave, weights[0]), x[0]),
        {"step_size": 0.01},
        {"order": 6, "kind": "forward"},
        oracle=lambda fn, x, **static: weights[0] * np.cos(weights[0] * x),
    ),
    Case(
        "finite_difference.gradient",
        finite_difference.gradient,
        (Partial(bowl, weights), x),
        static={"order": 8},
        oracle=lambda fn, x, order: weights / 2 * np.exp(weights @ x / 2),
    ),
    Case(
        "finite_difference.jacobian",
        finite_difference.jacobian,
        (Partial(mixed, weights), x),
        static={"order": 8},
        oracle=mixed_jacobian,
    ),
    Case(
        "finite_difference.hessian",
        finite_difference.hessian,
        (Partial(bowl, weights), x),
        static={"order": 8},
        oracle=lambda fn, x, order: np.outer(weights, weights) / 4 * np.exp(weights @ x / 2),
    ),
    Case(
        "complex_step.jacobian",
        complex_step.jacobian,
        (Partial(mixed, weights), x),
        oracle=mixed_jacobian,
    ),
    Case(
        "backpropagation.init",
        backpropagation.init,
        (jax.random.key(0),),
        {"scale": 0.5},
        static={"dim": 3, "hidden": 2, "classes": 3},
    ),
    Case(
        "backpropagation.forward",
        backpropagation.forward,
        (network, features),
        oracle=lambda params, X: np.stack(
            [params.W2.T @ np.tanh(params.W1.T @ row + params.b1) + params.b2 for row in X]
        ),
    ),
    Case(
        "backpropagation.loss",
        backpropagation.loss,
        (network, features, labels),
        oracle=cross_entropy,
    ),
    Case(
        "backpropagation.backward",
        backpropagation.backward,
        (network, features, labels),
        oracle=slope_of_loss,
    ),
)
