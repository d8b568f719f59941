"""Cases of the room that explains; games are small, and oracles take every set of features."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import integrate

from mastery_jax.trust.shap import (
    gradient,
    kernel,
    linear,
    paths,
    permutation,
    summary,
    tree_interventional,
    tree_path_dependent,
)
from mastery_jax.trust.shap.explanation import Explanation, Info
from tests.contract import Case
from tests.shap import exact

rng = np.random.default_rng(11)
LEAVES, WIDTH = 6, 3
X, background = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
share_of = np.array([1.0, 2.0, 0.5])
bias = np.array([0.3, -0.2])
lower = rng.normal(size=(LEAVES, WIDTH)) - 1
group = paths.Group(
    feature=np.stack([rng.permutation(3) for _ in range(LEAVES)]).astype(np.int32),
    lower=np.where(rng.random((LEAVES, WIDTH)) < 0.3, np.nan, lower),
    upper=lower + rng.uniform(1, 3, (LEAVES, WIDTH)),
    takes_missing=rng.random((LEAVES, WIDTH)) < 0.5,
    codes=np.zeros((LEAVES, WIDTH, 0), np.uint32),
    takes_others=np.ones((LEAVES, WIDTH), bool),
    share=rng.uniform(0.2, 0.8, (LEAVES, WIDTH)),
    value=rng.normal(size=(LEAVES, 2)),
)
leaves = paths.Paths((group,))
inner, outer = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
explanation = Explanation(rng.normal(size=(4, 3, 2)), rng.normal(size=2))
answered = rng.normal(size=(4, 2))


def network(inner, outer, X):
    return jnp.tanh(X @ inner) @ outer


def product(coefficients, X):
    """No more than two features act together, so that every order of them and its reverse agree."""
    return (X @ coefficients) * X[:, :1]


model, pairwise = Partial(network, inner, outer), Partial(product, outer[:3])


def passes(group, x):
    value = x[group.feature]
    return ((value <= group.upper) & ~(value <= group.lower)).astype(float)


def by_share(paths, x):
    (group,) = paths.groups
    is_passed = passes(group, x)

    def game(known):
        is_known = np.isin(group.feature, list(known))
        return np.where(is_known, is_passed, group.share).prod(axis=1) @ group.value

    return game


def sums(paths, rows):
    (group,) = paths.groups
    return np.stack([passes(group, x).prod(axis=1) @ group.value for x in rows])


def explained(games, n, d=3):
    values = np.stack([exact.shapley(game, d) for game in games])
    return Explanation(values, games[0](frozenset())), Info(np.zeros(n))


def against(answered, games, n, bias):
    """Explain with a bias, and say how far another model's answers are from the game's."""
    found, _ = explained(games, n)
    whole = np.stack([game(frozenset(range(3))) for game in games]) + bias
    return found._replace(expected=found.expected + bias), Info(abs(answered - whole).max(axis=1))


def path_dependent(paths, X, *, bias, answers):
    return against(answers, [by_share(paths, x) for x in X], len(X), bias)


def interventional(paths, X, background, *, weights, bias, answers):
    games = [exact.by_background(lambda rows: sums(paths, rows), x, background, weights) for x in X]
    return against(answers, games, len(X), bias)


def by_model(key, X, background, *, model, weights, num_coalitions=None, num_pairs=None):
    def games(x):
        return exact.by_background(Partial(answer, *model.args), x, background, weights)

    answer = {network: lambda inner, outer, X: np.tanh(X @ inner) @ outer, product: product}[
        model.func
    ]
    found, info = explained([games(x) for x in X], len(X))
    # Nothing is drawn by the one; the other's walks agree.
    return found, kernel.Info(info.gap, np.zeros_like(found.values))


def by_adaptive_rule(X, background, *, model, weights, num_nodes):
    """Take the integral by an adaptive rule."""
    share, values = weights / weights.sum(), np.zeros((*X.shape, 2))
    weights_in, weights_out = (np.asarray(leaf) for leaf in jax.tree.leaves(model))
    for i, x in enumerate(X):
        for start, part in zip(background, share, strict=True):

            def slope(t, x=x, start=start):
                bent = 1 - np.tanh((start + t * (x - start)) @ weights_in) ** 2
                return weights_in * bent @ weights_out

            along = integrate.quad_vec(slope, 0, 1, epsabs=1e-13, epsrel=1e-13)[0]
            values[i] += part * (x - start)[:, None] * along
    answers = np.tanh(background @ weights_in) @ weights_out
    expected = share @ answers
    return Explanation(values, expected), Info(np.zeros(len(X)))  # the rule is exact to rounding


def linear_by_game(X, background, coefficients, bias, *, weights):
    def games(x):
        answer = lambda rows: rows @ coefficients.T + bias  # noqa: E731
        return exact.by_background(answer, x, background, weights)

    return explained([games(x) for x in X], len(X))


CASES: tuple[Case, ...] = (
    Case(
        "tree_path_dependent.explain",
        tree_path_dependent.explain,
        (leaves, X),
        {"bias": bias, "answers": answered},
        oracle=path_dependent,
    ),
    Case(
        "tree_path_dependent.interactions",
        tree_path_dependent.interactions,
        (paths.Paths((paths.Group(*(field[:2] for field in group)),)), X[:2]),
        oracle=lambda paths, X: np.stack([exact.pairs(by_share(paths, x), 3) for x in X]),
    ),
    Case(
        "tree_interventional.explain",
        tree_interventional.explain,
        (leaves, X, background),
        {"weights": share_of, "bias": bias, "answers": answered},
        oracle=interventional,
    ),
    Case(
        "kernel.explain",
        kernel.explain,
        (jax.random.key(0), X, background),
        {"model": model, "weights": share_of},
        static={"num_coalitions": 6},
        oracle=by_model,
    ),
    Case(
        "permutation.explain",
        permutation.explain,
        (jax.random.key(0), X, background),
        {"model": pairwise, "weights": share_of},
        static={"num_pairs": 2},
        oracle=by_model,
        modes=(),
        because="the spread over walks that agree is 0, where the root has no slope",
    ),
    Case(
        "gradient.explain",
        gradient.explain,
        (X, background),
        {"model": model, "weights": share_of},
        static={"num_nodes": 30},
        oracle=by_adaptive_rule,
    ),
    Case(
        "linear.explain",
        linear.explain,
        (X, background, outer[:2, :1] * np.ones((1, 3)), bias),
        {"weights": share_of},
        oracle=linear_by_game,
    ),
    Case(
        "summary.importance",
        summary.importance,
        (explanation,),
        {"weights": rng.uniform(1, 2, 4)},
        oracle=lambda e, *, weights: np.average(abs(e.values), axis=0, weights=weights),
    ),
)
