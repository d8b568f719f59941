import numpy as np
import optax
from jax.tree_util import Partial
from scipy import optimize

from mastery_jax.numerics.optimize import descent, landscapes, schedules
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
from tests.contract import Case

rng = np.random.default_rng(0)
params, grads, mean = rng.normal(size=(3, 3))
square = mean**2 + 0.5
ANY_TREE = {"any_rank": True, "because": "params are any tree of arrays"}
RATE = {"learning_rate": 0.1}


def adam_by_hand(state, g, x, learning_rate, ahead=False, pull=0.0):
    """Follow the published algorithm, one coordinate and one line at a time."""
    t, b1, b2 = int(state.num_steps) + 1, 0.9, 0.999
    updates, means, squares = np.empty((3, len(g)))
    for i in range(len(g)):
        means[i] = b1 * state.mean[i] + (1 - b1) * g[i]
        squares[i] = b2 * state.square[i] + (1 - b2) * g[i] * g[i]
        m_hat = means[i] / (1 - b1**t)
        if ahead:
            m_hat = b1 * means[i] / (1 - b1 ** (t + 1)) + (1 - b1) * g[i] / (1 - b1**t)
        ratio = m_hat / (np.sqrt(squares[i] / (1 - b2**t)) + 1e-8)
        updates[i] = -learning_rate * (ratio + pull * x[i])
    return updates, t, means, squares


def momentum_by_hand(state, g, x, learning_rate, decay, ahead=False):
    velocity = decay * state.velocity + g
    return -learning_rate * (g + decay * velocity if ahead else velocity), velocity


def rmsprop_by_hand(state, g, x, learning_rate):
    square = 0.9 * state.square + 0.1 * g**2
    return -learning_rate * g / np.sqrt(square + 1e-8), square


def adagrad_by_hand(state, g, x, learning_rate):
    total = state.total + g**2
    return -learning_rate * g / np.sqrt(total + 1e-7), total


def lion_by_hand(state, g, x, learning_rate):
    update = -learning_rate * (np.sign(0.9 * state.mean + 0.1 * g) + 1e-3 * x)
    return update, 0.99 * state.mean + 0.01 * g


three = np.int32(3)
RULES = (
    (gradient_descent, (), RATE, lambda state, g, x, learning_rate: (-learning_rate * g,)),
    (momentum, (mean,), {**RATE, "decay": 0.8}, momentum_by_hand),
    (
        nesterov,
        (mean,),
        {**RATE, "decay": 0.8},
        lambda *given, **hyper: momentum_by_hand(*given, **hyper, ahead=True),
    ),
    (adam, (three, mean, square), RATE, adam_by_hand),
    (
        adamw,
        (three, mean, square),
        RATE,
        lambda *given, **hyper: adam_by_hand(*given, **hyper, pull=1e-4),
    ),
    (
        nadam,
        (three, mean, square),
        RATE,
        lambda *given, **hyper: adam_by_hand(*given, **hyper, ahead=True),
    ),
    (rmsprop, (square,), RATE, rmsprop_by_hand),
    (adagrad, (square,), RATE, adagrad_by_hand),
    (lion, (mean,), RATE, lion_by_hand),
)


def name_of(module):
    return module.__name__.rpartition(".")[2]


def start_of(module):
    """Return the oracle of a first state: zeros, but for AdaGrad's 0.1."""
    names = module.State._fields
    first = {"num_steps": 0, "total": np.full(3, 0.1)}
    return lambda params: tuple(first.get(name, np.zeros(3)) for name in names)


def warmup_cosine_by_hand(step, *, peak_value, warmup_steps, decay_steps, end_value):
    if step < warmup_steps:
        return peak_value * step / warmup_steps
    share = min(1.0, (step - warmup_steps) / (decay_steps - warmup_steps))
    return np.interp(np.cos(np.pi * share), [-1, 1], [end_value, peak_value])


SCHEDULES = (
    (
        schedules.step_decay,
        {"init_value": 0.3, "decay_rate": 0.5, "transition_steps": 2.7},
        lambda t, *, init_value, decay_rate, transition_steps: (
            init_value * decay_rate ** int(t / transition_steps)
        ),
    ),
    (
        schedules.exponential,
        {"init_value": 0.3, "decay_rate": 0.5, "transition_steps": 2.7},
        lambda t, *, init_value, decay_rate, transition_steps: (
            init_value * np.exp(t * np.log(decay_rate) / transition_steps)
        ),
    ),
    (
        schedules.cosine,
        {"init_value": 0.3, "decay_steps": 9.0, "end_value": 0.01},
        lambda t, *, init_value, decay_steps, end_value: (
            end_value + (init_value - end_value) * np.cos(np.pi * t / decay_steps / 2) ** 2
        ),
    ),
    (
        schedules.warmup_cosine,
        {"peak_value": 0.3, "warmup_steps": 2.5, "decay_steps": 9.0, "end_value": 0.01},
        warmup_cosine_by_hand,
    ),
)


def hartmann3_by_hand(x):
    bumps = (
        (1.0, (3, 10, 30), (0.3689, 0.1170, 0.2673)),
        (1.2, (0.1, 10, 35), (0.4699, 0.4387, 0.7470)),
        (3.0, (3, 10, 30), (0.1091, 0.8732, 0.5547)),
        (3.2, (0.1, 10, 35), (0.0381, 0.5743, 0.8828)),
    )
    total = 0.0
    for height, narrow, center in bumps:
        total -= height * np.exp(
            -sum(a * (c - p) ** 2 for a, c, p in zip(narrow, x, center, strict=True))
        )
    return total


def ackley_by_hand(x):
    waves = np.exp(np.cos(2 * np.pi * x).sum() / len(x))
    return -20 * np.exp(-0.2 * np.sqrt((x**2).sum() / len(x))) - waves + 20 + np.e


LANDSCAPES = (
    (landscapes.rosenbrock, 4, optimize.rosen),
    (landscapes.ackley, 3, ackley_by_hand),
    (landscapes.rastrigin, 3, lambda x: sum(c * c + 10 - 10 * np.cos(2 * np.pi * c) for c in x)),
    (
        landscapes.branin,
        2,
        lambda x: (
            (x[1] - 5.1 * (x[0] / (2 * np.pi)) ** 2 + 5 * x[0] / np.pi - 6) ** 2
            + (10 - 1.25 / np.pi) * np.cos(x[0])
            + 10
        ),
    ),
    (landscapes.hartmann3, 3, hartmann3_by_hand),
    (
        landscapes.six_hump_camel,
        2,
        lambda x: (
            np.polyval([1 / 3, 0, -2.1, 0, 4, 0, 0], x[0])
            + x[0] * x[1]
            + np.polyval([4, 0, -4, 0, 0], x[1])
        ),
    ),
    (
        landscapes.beale,
        2,
        lambda x: sum(
            (c - x[0] + x[0] * x[1] ** k) ** 2 for k, c in enumerate((1.5, 2.25, 2.625), 1)
        ),
    ),
    (
        landscapes.himmelblau,
        2,
        lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2,
    ),
)


def bowl(curvature, center, x):
    return ((x - center) * (curvature @ (x - center))).sum() / 2


half = rng.normal(size=(3, 3))
curvature = np.eye(3) + 0.1 * (half + half.T)


def bowl_by_hand(fn, x, *, rule, gtol, max_steps):
    """Return the center, where all vanishes, after all steps."""
    return fn.args[1], 0.0, 0.0, max_steps, max_steps + 1, 2, False


CASES = (
    *(
        Case(f"{name_of(m)}.init", m.init, (params,), oracle=start_of(m), **ANY_TREE)
        for m, *_ in RULES
    ),
    *(
        Case(
            f"{name_of(m)}.step",
            m.step,
            (m.State(*fields), grads, params),
            hyper,
            oracle=oracle,
            **ANY_TREE,
        )
        for m, fields, hyper, oracle in RULES
    ),
    *(
        Case(f"schedules.{fn.__name__}", fn, (np.float64(4.0),), hyper, oracle=oracle)
        for fn, hyper, oracle in SCHEDULES
    ),
    *(
        Case(f"landscapes.{fn.__name__}", fn, (0.3 + rng.random(n),), oracle=oracle)
        for fn, n, oracle in LANDSCAPES
    ),
    Case(
        "descent.minimize",
        descent.minimize,
        (Partial(bowl, curvature, params), grads),
        # A gradient below this is never seen, so that every law takes all the steps.
        {"rule": Partial(optax.sgd, learning_rate=0.6), "gtol": -1.0},
        static={"max_steps": 80},
        oracle=bowl_by_hand,
        any_rank=True,
        engine=True,
        because="x is any tree of arrays; optax promotes its counters",
    ),
)
