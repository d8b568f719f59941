"""Optimizers by name, on optax: the same names and numbers as the white boxes of ``rules``.

    x ← x + u,    (u, state) ← optimizer.update(∇f(x), state, x)

What ``make`` returns is a ``Partial``: its code is static and its numbers traced, so that one
compiled loop serves every learning rate, and ``vmap`` runs many at once. Called without arguments
it is an optax ``GradientTransformation``. A learning rate may be a schedule of ``schedules.make``.

Source: DeepMind et al. (2020), *The DeepMind JAX Ecosystem*, https://github.com/google-deepmind
(optax); L-BFGS: Liu & Nocedal (1989), *Mathematical Programming* 45, 503-528.
"""

from collections.abc import Callable, Mapping
from typing import Any

import optax
from jax.tree_util import Partial

from mastery_jax.core.check import Scalar
from mastery_jax.numerics.optimize import names
from mastery_jax.numerics.optimize.rules import (
    adagrad,
    adam,
    adamw,
    gradient_descent,
    lion,
    momentum,
    nadam,
    nesterov,
    rmsprop,
)

__all__ = ["make"]


def make(name: str, numbers: Mapping[str, Scalar | Partial]) -> Partial:
    """Return an optimizer by name.

    Args:
        name: ``gradient_descent``, ``momentum``, ``nesterov``, ``adam``, ``adamw``, ``rmsprop``,
            ``adagrad``, ``nadam``, ``lion`` or ``lbfgs``. There are no other names.
        numbers: The keywords of the rule of that name; ``lbfgs`` takes none, its steps are found by
            a line search. Traced.

    Raises:
        ValueError: no optimizer has that name, or it lacks or does not take one of the numbers.

    Example:
        >>> rule = make("momentum", {"learning_rate": 0.1, "decay": 0.8})
        >>> params = {"w": 1.0}
        >>> state = rule().init(params)
        >>> rule().update({"w": 2.0}, state, params)[0]
        {'w': Array(-0.2, dtype=float32, weak_type=True)}
        >>> make("sgd", {"learning_rate": 0.1})
        Traceback (most recent call last):
        ValueError: optimizers.make: name is 'sgd', not one of adagrad, adam, adamw, ...
    """
    names.check("optimizers.make", name, _FORMULAS, numbers)
    return Partial(_ENGINES[name], **numbers)


def _momentum(*, learning_rate: Any, decay: Any = 0.9) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=decay)


def _nesterov(*, learning_rate: Any, decay: Any = 0.9) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum=decay, nesterov=True)


def _lbfgs() -> optax.GradientTransformation:
    return optax.lbfgs()


_ENGINES: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adagrad": optax.adagrad,
    "adam": optax.adam,
    "adamw": optax.adamw,
    "gradient_descent": optax.sgd,
    "lbfgs": _lbfgs,
    "lion": optax.lion,
    "momentum": _momentum,
    "nadam": optax.nadam,
    "nesterov": _nesterov,
    "rmsprop": optax.rmsprop,
}
_FORMULAS: Mapping[str, Callable[..., Any]] = {
    "adagrad": adagrad.step,
    "adam": adam.step,
    "adamw": adamw.step,
    "gradient_descent": gradient_descent.step,
    "lbfgs": _lbfgs,
    "lion": lion.step,
    "momentum": momentum.step,
    "nadam": nadam.step,
    "nesterov": nesterov.step,
    "rmsprop": rmsprop.step,
}
