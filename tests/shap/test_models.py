"""Explanations of models that are asked from outside: against the definition, and the laws."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.trust.shap import gradient, kernel, linear, permutation, summary
from mastery_jax.trust.shap.explanation import Explanation
from tests.shap import exact

rng = np.random.default_rng(5)
D = 6
X, BACKGROUND = rng.normal(size=(3, D)), rng.normal(size=(4, D))
inner, outer = rng.normal(size=(D, 5)), rng.normal(size=(5, 2))


def network(inner, outer, X):
    return jnp.tanh(X @ inner) @ outer


def double(explain, *args, model=None, key=None, **hyper):
    """Explain in float64; the model is made there, too."""
    with jax.enable_x64(True):
        first = () if key is None else (jax.random.key(key),)
        given = {} if model is None else {"model": model()}
        return jax.tree.map(np.asarray, explain(*first, *args, **given, **hyper))


def mlp():
    return Partial(network, jnp.asarray(inner), jnp.asarray(outer))


def answers(rows):
    return np.tanh(rows @ inner) @ outer


def defined(weights=None, game=answers, d=D):
    rows = [exact.by_background(game, x, BACKGROUND, weights) for x in X]
    return np.stack([exact.shapley(each, d) for each in rows])


WEIGHTS = np.array([0.0, 2, 1, 1])
WAYS = {
    "kernel": (kernel.explain, {"key": 0, "num_coalitions": 62}),
    "permutation": (permutation.explain, {"key": 0, "num_pairs": 3}),
    "gradient": (gradient.explain, {"num_nodes": 40}),
}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_kernel_over_all_sets_is_the_definition(weights):
    found, info = double(
        kernel.explain, X, BACKGROUND, model=mlp, key=0, num_coalitions=62, weights=weights
    )
    np.testing.assert_allclose(found.values, defined(weights), atol=1e-12)
    assert (info.std_error == 0).all()


def test_kernel_over_drawn_sets_is_near_and_says_how_near():
    """40 keys: the errors are as large as stated, within the spread of a spread."""
    truth = defined()

    def many(keys):
        return jax.vmap(
            lambda key: kernel.explain(
                key, jnp.asarray(X), jnp.asarray(BACKGROUND), model=mlp(), num_coalitions=34
            )
        )(keys)

    with jax.enable_x64(True):
        found, info = jax.tree.map(
            np.asarray, jax.jit(many)(jax.random.split(jax.random.key(1), 40))
        )
    off = found.values - truth
    bias = off.mean(axis=0) / (off.std(axis=0) / np.sqrt(40))
    assert abs(bias).max() < 4.5
    ratio = np.sqrt((off**2).mean() / (info.std_error**2).mean())
    assert 0.7 < ratio < 1.6
    assert info.gap.max() < 1e-12


@pytest.mark.parametrize("count", [20, 24, 40, 110])
def test_kernel_says_how_near_where_few_sets_are_drawn(count):
    """Of 20 only the sets of one feature are taken, and of 24 two pairs are drawn: no error.

    Of 110 the sets of two features would fit, and nothing would tell of the larger ones. The errors
    are those of leaving a pair out, a little too large; 40 keys.
    """
    few = np.random.default_rng(2)
    matrix, rows = few.normal(size=(10, 5)), few.normal(size=(6, 10))

    def explain(key, count):
        model = Partial(lambda matrix, X: jnp.tanh(X @ matrix).sum(axis=1), jnp.asarray(matrix))
        given = jnp.asarray(rows[:2]), jnp.asarray(rows[2:])
        return kernel.explain(key, *given, model=model, num_coalitions=count)

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(1), 40)
        truth = np.asarray(explain(keys[0], 1022)[0].values)
        found, info = jax.jit(jax.vmap(lambda key: explain(key, count)))(keys)
    assert np.isfinite(found.values).all()
    if count < 2 * 10 + 2 * 9:
        assert np.isnan(info.std_error).all()
        return
    off, error = np.asarray(found.values) - truth, np.asarray(info.std_error)
    assert 0.6 < np.sqrt((off**2).mean() / (error**2).mean()) < 1.1
    assert (abs(off) < 3 * error).mean() > 0.97


def test_permutation_is_unbiased_and_says_its_error():
    truth = defined()
    found, info = double(permutation.explain, X, BACKGROUND, model=mlp, key=3, num_pairs=300)
    off = (found.values - truth) / info.std_error
    assert abs(off).max() < 4.5
    assert 0.6 < np.sqrt((off**2).mean()) < 1.4
    assert info.gap.max() < 1e-12


def test_two_features_at_most_together_need_one_pair_of_walks():
    both = rng.normal(size=(D, D))

    def model():
        table = jnp.asarray(both)
        return Partial(lambda table, X: ((X @ table) * X).sum(axis=1) + X[:, 0], table)

    def game(rows):
        return ((rows @ both) * rows).sum(axis=1)[:, None] + rows[:, :1]

    found, info = double(permutation.explain, X, BACKGROUND, model=model, key=0, num_pairs=1)
    np.testing.assert_allclose(found.values, defined(game=game), atol=1e-12)
    assert np.isnan(info.std_error).all()


def test_gradients_add_up_and_the_gap_shrinks_with_nodes():
    few, many = (
        double(gradient.explain, X, BACKGROUND, model=mlp, num_nodes=nodes)[1].gap.max()
        for nodes in (3, 40)
    )
    assert many < 1e-10 < few


def test_one_baseline_is_integrated_gradients():
    """Of x₀² x₁ from 0 the path gives two thirds to the square."""
    found, info = double(
        gradient.explain, np.array([[3.0, 2.0]]), np.zeros((1, 2)), num_nodes=2,
        model=lambda: Partial(lambda X: X[:, 0] ** 2 * X[:, 1]),
    )  # fmt: skip
    np.testing.assert_allclose(found.values[0, :, 0], [12.0, 6.0], rtol=1e-12)
    assert info.gap.max() < 1e-12


@pytest.mark.parametrize("way", WAYS)
def test_every_way_obeys_the_laws(way):
    """A feature without effect, two that are alike, a sum of models, and the sum of the parts."""
    explain, given = WAYS[way]
    alike = inner.copy()
    alike[1], alike[2] = alike[0], 0.0
    rows, background = X.copy(), np.concatenate([BACKGROUND, BACKGROUND])
    rows[:, 1] = rows[:, 0]
    background[4:, [0, 1]] = background[:4, [1, 0]]

    def one():
        return Partial(network, jnp.asarray(alike), jnp.asarray(outer))

    def tripled():
        return Partial(network, jnp.asarray(alike), jnp.asarray(3 * outer))

    found, info = double(explain, rows, background, model=one, **given)
    np.testing.assert_allclose(found.values[:, 2], 0, atol=1e-12)
    if way != "permutation":  # it draws orders, in which neither of two that are alike comes first
        np.testing.assert_allclose(found.values[:, 0], found.values[:, 1], atol=1e-9)
    other = double(explain, rows, background, model=tripled, **given)[0]
    np.testing.assert_allclose(other.values, 3 * found.values, atol=1e-9)
    assert info.gap.max() < 1e-9
    total = found.values.sum(axis=1) + found.expected
    np.testing.assert_allclose(total, np.tanh(rows @ alike) @ outer, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_repeated_rows_and_zero_is_absence(way):
    explain, given = WAYS[way]
    repeated = BACKGROUND[[1, 1, 2, 3]]
    counted = double(explain, X, BACKGROUND, model=mlp, weights=WEIGHTS, **given)[0]
    np.testing.assert_allclose(
        counted.values, double(explain, X, repeated, model=mlp, **given)[0].values, atol=1e-12
    )
    for bad in (0 * WEIGHTS, WEIGHTS - 0.5):
        none, info = double(explain, X, BACKGROUND, model=mlp, weights=bad, **given)
        assert np.isnan(none.values).all()
        assert np.isnan(none.expected).all()
        assert np.isnan(info.gap).all()


def test_one_feature_gets_all():
    model = lambda: Partial(lambda X: X[:, 0] ** 3)  # noqa: E731
    for explain, given in WAYS.values():
        found, _ = double(explain, X[:, :1], BACKGROUND[:, :1], model=model, **given)
        wanted = X[:, 0] ** 3 - (BACKGROUND[:, 0] ** 3).mean()
        np.testing.assert_allclose(found.values[:, 0, 0], wanted, rtol=1e-9)


def test_linear_is_the_definition():
    weights, bias = rng.normal(size=(2, D)), rng.normal(size=2)
    found, info = double(linear.explain, X, BACKGROUND, weights, bias, weights=WEIGHTS)
    truth = defined(WEIGHTS, lambda rows: rows @ weights.T + bias)
    np.testing.assert_allclose(found.values, truth, atol=1e-12)
    assert info.gap.max() < 1e-12
    none, _ = double(linear.explain, X, BACKGROUND, weights, bias, weights=WEIGHTS - 0.5)
    assert np.isnan(none.values).all()


@pytest.mark.reference
def test_published_attributions(reference):
    """Exact values over 2^10 sets, of a network and a linear model on diabetes."""
    table = json.loads((reference / "shap_reference" / "reference.json").read_text())
    asked, background = np.array(table["explained"]), np.array(table["background"])
    given = {name: np.array(value) for name, value in table["mlp"].items() if name != "formula"}

    def formula(mean, scale, inner, outer, X):
        return jnp.tanh(((X - mean[None]) / scale[None]) @ inner) @ outer

    def model():
        return Partial(formula, *(jnp.asarray(given[name]) for name in ("mu", "sd", "W", "v")))

    found, _ = double(kernel.explain, asked, background, model=model, key=0, num_coalitions=1022)
    np.testing.assert_allclose(found.values[:, :, 0], given["exact"], atol=1e-10)
    np.testing.assert_allclose(found.expected[0], given["expected"], rtol=1e-12)
    wanted = table["linear"]
    found, _ = double(
        linear.explain,
        asked,
        background,
        np.array([wanted["coef"]]),
        np.array([wanted["intercept"]]),
    )
    np.testing.assert_allclose(found.values[:, :, 0], wanted["values"], atol=1e-10)
    np.testing.assert_allclose(found.expected[0], wanted["expected"], rtol=1e-12)


def test_bad_options_are_refused_by_name():
    few, key = jnp.zeros((2, 9)), jax.random.key(0)
    model = Partial(lambda X: X[:, 0])
    with pytest.raises(ValueError, match=r"kernel.explain: num_coalitions is 4, not at least 18"):
        kernel.explain(key, few, few, model=model, num_coalitions=4)
    with pytest.raises(ValueError, match=r"permutation.explain: num_pairs is 0, not at least 1"):
        permutation.explain(key, few, few, model=model, num_pairs=0)
    with pytest.raises(ValueError, match=r"gradient.explain: num_nodes is 0, not at least 1"):
        gradient.explain(few, few, model=model, num_nodes=0)
    nothing = few[:0]
    for explain, given in WAYS.values():
        first = (key,) if "key" in given else ()
        where = explain.__module__.rpartition(".")[2]
        with pytest.raises(ValueError, match=rf"{where}.explain: background has no rows"):
            explain(*first, few, nothing, model=model)
    with pytest.raises(ValueError, match=r"linear.explain: background has no rows"):
        linear.explain(few, nothing, few, jnp.zeros(2))
    explained = Explanation(np.zeros((1, 2, 1)), np.zeros(1))
    with pytest.raises(ValueError, match=r"summary.describe: names has 1 entries, not 2"):
        summary.describe(explained, names=["a"])
    with pytest.raises(ValueError, match=r"summary.describe: row is 1, not 0 to 0"):
        summary.describe(explained, names=["a", "b"], row=1)


def test_importance_counts_rows_by_weight():
    explained = Explanation(rng.normal(size=(4, 3, 2)), np.zeros(2))
    counted = double(summary.importance, explained, weights=WEIGHTS)
    repeated = explained._replace(values=explained.values[[1, 1, 2, 3]])
    np.testing.assert_allclose(counted, double(summary.importance, repeated), rtol=1e-14)


def test_words_add_up_to_the_answer():
    explained = Explanation(np.array([[[1.0], [-4.0], [0.5], [0.25]]]), np.array([2.0]))
    lines = summary.describe(explained, names="abcd", most=2).splitlines()
    assert [line.split()[1:] for line in lines[1:3]] == [["b"], ["a"]]
    assert lines[3].split() == ["+0.75", "2", "others"]
    numbers = [float(line.split()[0]) for line in lines]
    assert sum(numbers[:-1]) == numbers[-1]
