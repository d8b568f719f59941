import jax
import numpy as np

from mastery_jax.core.status import Status
from mastery_jax.learning.components import als, biased_factors, funk_svd, implicit_als
from mastery_jax.learning.components.rating_table import Recommendation
from tests.contract import Case

rng = np.random.default_rng(0)
key = jax.random.key(0)
users = np.array([0, 3, 1, 0, 4, 1, 3, 0, 4, 1, 3, 0, 4, 1])  # nobody is user 2
items = np.array([0, 2, 1, 1, 0, 3, 0, 2, 3, 0, 3, 1, 2, 2])  # user 0 rated item 1 twice; nobody 4
ratings = rng.integers(1, 6, size=14) * 1.0
amounts = rng.gamma(2.0, size=14)
weights = rng.uniform(0.5, 2, size=14)
SIZE = {"num_users": 5, "num_items": 5, "num_factors": 2}
KNOWN = {"known_users": users, "known_items": items}
model = als.State(
    np.array(3.0), *rng.normal(size=(2, 5)) / 2, *rng.normal(size=(2, 5, 2)) / 2
)  # fmt: skip
preferences = implicit_als.State(*rng.normal(size=(2, 5, 2)) / 2)


def drawn(init, key, values, **given):
    """Return a start: what is drawn is not the oracle's."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, init(key, users, items, values, **given))


def halves_by_definition(groups, others, ratings, weights, table, biases, mean, l2):
    """Solve the penalized least squares of every group, one after the other."""
    found = np.zeros((5, table.shape[1] + 1))
    for g in set(groups):
        own = groups == g
        Z = np.column_stack([table, np.ones(5)])[others[own]]
        w, t = weights[own], (ratings - mean - biases[others])[own]
        roots = np.sqrt(np.concatenate([w, np.full(Z.shape[1], l2 * w.sum())]))
        rows = np.concatenate([Z, np.eye(Z.shape[1])])
        targets = np.concatenate([t, np.zeros(Z.shape[1])])
        found[g] = np.linalg.lstsq(roots[:, None] * rows, roots * targets)[0]
    return found[:, :-1], found[:, -1]


def losses_by_definition(state, users, items, ratings, weights, l2):
    total, square = 0.0, 0.0
    for u, i, r, w in zip(users, items, ratings, weights, strict=True):
        p, q = state.user_factors[u], state.item_factors[i]
        b, c = state.user_biases[u], state.item_biases[i]
        square += w * (r - state.mean - b - c - p @ q) ** 2
        total += w * l2 * (p @ p + b**2 + q @ q + c**2)
    return (square + total) / 2 / weights.sum(), square / weights.sum()


def als_step_by_definition(state, users, items, ratings, *, weights, l2):
    mean, q, c = state.mean, state.item_factors, state.item_biases
    p, b = halves_by_definition(users, items, ratings, weights, q, c, mean, l2)
    q, c = halves_by_definition(items, users, ratings, weights, p, b, mean, l2)
    moved = als.State(mean, b, c, p, q)
    return moved, losses_by_definition(moved, users, items, ratings, weights, l2)


def als_by_definition(key, users, items, ratings, *, weights, l2, init_scale, max_steps, **size):
    given = {"weights": weights, "init_scale": init_scale}
    state = drawn(biased_factors.init, key, ratings, **size, **given)
    for _ in range(max_steps):
        state, (objective, _) = als_step_by_definition(
            state, users, items, ratings, weights=weights, l2=l2
        )
    return state, als.Info(objective, max_steps, False, Status.OUT_OF_STEPS)


def funk_step_by_definition(
    key, state, users, items, ratings, *, weights, l2, learning_rate, batch_size=1, **_
):
    P = np.column_stack([state.user_factors, state.user_biases])
    Q = np.column_stack([state.item_factors, state.item_biases])
    mean, square = state.mean, 0.0
    for first in range(0, len(ratings), batch_size):
        moves = []
        for e in range(first, min(first + batch_size, len(ratings))):
            p, q = P[users[e]].copy(), Q[items[e]].copy()
            error = ratings[e] - mean - p[-1] - q[-1] - p[:-1] @ q[:-1]
            square += weights[e] * error**2
            zp, zq = np.append(p[:-1], 1), np.append(q[:-1], 1)
            rate = learning_rate * weights[e]
            moves.append((P, users[e], rate * (error * zq - l2 * p)))
            moves.append((Q, items[e], rate * (error * zp - l2 * q)))
        for table, row, move in moves:
            table[row] += move
    moved = als.State(mean, P[:, -1], Q[:, -1], P[:, :-1], Q[:, :-1])
    return moved, square / weights.sum()


def funk_by_definition(key, users, items, ratings, *, init_scale, num_steps, **given):
    size = {name: given.pop(name) for name in SIZE}
    start = {"weights": given["weights"], "init_scale": init_scale}
    state = drawn(biased_factors.init, jax.random.split(key)[0], ratings, **size, **start)
    squares = []
    for _ in range(num_steps):
        state, square = funk_step_by_definition(key, state, users, items, ratings, **given)
        squares.append(square)
    objective, _ = losses_by_definition(state, users, items, ratings, given["weights"], given["l2"])
    return state, funk_svd.Info(objective, np.array(squares), num_steps, False, Status.OUT_OF_STEPS)


def tables(users, items, amounts, weights):
    """Return confidence less 1 and preference of the whole table."""
    r = np.zeros((5, 5))
    np.add.at(r, (users, items), weights * amounts)
    return r, (r > 0) * 1.0


def implicit_step_by_definition(state, users, items, amounts, *, weights, alpha, l2):
    r, h = tables(users, items, amounts, weights)
    c = 1 + alpha * r

    def best(fixed, c, h):
        pull = l2 * np.eye(2)
        found = [
            np.linalg.solve((fixed.T * a) @ fixed + pull, fixed.T @ (a * b))
            for a, b in zip(c, h, strict=True)
        ]
        return np.stack(found)

    x = best(state.item_factors, c, h)
    y = best(x, c.T, h.T)
    objective = (c * (h - x @ y.T) ** 2).sum() + l2 * ((x**2).sum() + (y**2).sum())
    return implicit_als.State(x, y), objective


def implicit_by_definition(
    key, users, items, amounts, *, weights, init_scale, max_steps, alpha, l2, **size
):
    given = {"weights": weights, "init_scale": init_scale}
    state = drawn(implicit_als.init, key, amounts, **size, **given)
    for _ in range(max_steps):
        state, objective = implicit_step_by_definition(
            state, users, items, amounts, weights=weights, alpha=alpha, l2=l2
        )
    return state, als.Info(objective, max_steps, False, Status.OUT_OF_STEPS)


def table_by_definition(state):
    if hasattr(state, "mean"):
        biases = state.user_biases[:, None] + state.item_biases[None, :]
        return state.mean + biases + state.user_factors @ state.item_factors.T
    return state.user_factors @ state.item_factors.T


def best_by_definition(state, users, *, k, known_users, known_items):
    table = table_by_definition(state)
    table[known_users, known_items] = -np.inf
    order = np.argsort(-table, axis=1)[users, :k]
    return Recommendation(order, table[users[:, None], order])


UNTIL = {"modes": ("fwd",), "because": "until has no reverse mode"}
RATED = {"weights": weights, "l2": 0.1}
SEEN = {"weights": weights, "l2": 0.3, "alpha": 2.0}

CASES: tuple[Case, ...] = (
    Case(
        "biased_factors.init",
        biased_factors.init,
        (key, users, items, ratings),
        {"weights": weights, "init_scale": 0.3},
        SIZE,
    ),
    Case(
        "als.step",
        als.step,
        (model, users, items, ratings),
        RATED,
        oracle=als_step_by_definition,
        **UNTIL,
    ),
    Case(
        "als.fit",
        als.fit,
        (key, users, items, ratings),
        RATED | {"init_scale": 0.5},
        SIZE | {"max_steps": 3},
        oracle=als_by_definition,
        **UNTIL,
    ),
    *(
        Case(
            f"funk_svd.step {size} at a time",
            funk_svd.step,
            (key, model, users, items, ratings),
            RATED | {"learning_rate": 0.1},
            {"shuffle": False, "batch_size": size},
            oracle=funk_step_by_definition,
        )
        for size in (1, 4)
    ),
    Case(
        "funk_svd.fit",
        funk_svd.fit,
        (key, users, items, ratings),
        RATED | {"learning_rate": 0.1, "init_scale": 0.5},
        SIZE | {"shuffle": False, "num_steps": 2},
        oracle=funk_by_definition,
    ),
    Case(
        "implicit_als.init",
        implicit_als.init,
        (key, users, items, amounts),
        {"weights": weights, "init_scale": 0.3},
        SIZE,
    ),
    Case(
        "implicit_als.step",
        implicit_als.step,
        (preferences, users, items, amounts),
        SEEN,
        oracle=implicit_step_by_definition,
        **UNTIL,
    ),
    Case(
        "implicit_als.fit",
        implicit_als.fit,
        (key, users, items, amounts),
        SEEN | {"init_scale": 0.5},
        SIZE | {"max_steps": 3},
        oracle=implicit_by_definition,
        **UNTIL,
    ),
    *(
        Case(
            f"{module.__name__.rpartition('.')[2]}.{name}",
            getattr(module, name),
            (state, *given),
            **more,
        )
        for module, state in ((als, model), (funk_svd, model), (implicit_als, preferences))
        for name, given, more in (
            (
                "predict",
                (users, items),
                {"oracle": lambda state, *at: table_by_definition(state)[at]},
            ),
            (
                "recommend",
                (np.array([2, 1, 1]),),
                {
                    "hyper": KNOWN,
                    "static": {"k": 1},
                    "oracle": best_by_definition,
                },
            ),
        )
    ),
)
