"""Both kinds of TreeSHAP against the definition, the peers' own values, and the laws."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from mastery_jax.learning.trees import ensemble, imported, imported_nodes
from mastery_jax.trust.shap import lanes, paths, tree_interventional, tree_path_dependent
from tests.shap import exact

PEERS = json.loads((pathlib.Path(__file__).parent / "peers.json").read_text())
X = exact.rows(1)
BACKGROUND = exact.rows(2, n=9)


def double(fn, *args, **hyper):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, fn(*args, **hyper))


def prepare(trees):
    with jax.enable_x64(True):
        return paths.prepare(trees)


def made(*args, **given):
    with jax.enable_x64(True):
        return exact.random_trees(*args, **given)


def joined(*parts):
    """Put trees beside each other."""
    size = max(part.child.shape[1] for part in parts)

    def widen(part):
        more = size - part.child.shape[1]
        tail = np.arange(part.child.shape[1], size, dtype=np.int32)
        tail = np.tile(tail, (len(part.depth), 1))
        wide = [
            np.pad(f, [(0, 0), (0, more)] + [(0, 0)] * (f.ndim - 2)) if f.ndim > 1 else f
            for f in map(np.asarray, part)
        ]
        wide = ensemble.Trees(*wide)
        return wide._replace(child=np.concatenate([part.child, tail], axis=1))

    return ensemble.Trees(*map(np.concatenate, zip(*map(widen, parts), strict=True)))


@pytest.mark.parametrize("is_empty", [False, True])
def test_path_dependent_is_the_definition(is_empty):
    trees = made(0, is_empty=is_empty)
    found, info = double(tree_path_dependent.explain, prepare(trees), X)
    both = double(tree_path_dependent.interactions, prepare(trees), X)
    for row, x in enumerate(X):
        game = exact.by_cover(trees, x)
        np.testing.assert_allclose(found.values[row], exact.shapley(game, 5), atol=1e-13)
        np.testing.assert_allclose(both[row], exact.pairs(game, 5), atol=1e-13)
    np.testing.assert_allclose(found.expected, game(frozenset()), atol=1e-13)
    assert info.gap.max() < 1e-13


@pytest.mark.parametrize("most", [10, 0])
def test_interventional_is_the_definition(most, monkeypatch):
    """By tables, and pair by pair; with and without weights."""
    monkeypatch.setattr(tree_interventional, "MOST", most)
    plain = tree_interventional.explain.__wrapped__
    explain = jax.jit(lambda *args, **hyper: plain(*args, **hyper))  # traced anew for each way
    trees = made(0)
    weights = np.array([0.0, 1, 2, 1, 0, 3, 0, 1, 1])
    for given in (None, weights):
        found, info = double(explain, prepare(trees), X, BACKGROUND, weights=given)
        for row, x in enumerate(X[:4]):
            game = exact.by_background(
                lambda rows: double(ensemble.evaluate, trees, rows), x, BACKGROUND, given
            )
            np.testing.assert_allclose(found.values[row], exact.shapley(game, 5), atol=1e-13)
        np.testing.assert_allclose(found.expected, game(frozenset()), atol=1e-13)
        assert info.gap.max() < 1e-13


def test_weights_are_repeated_rows_and_zero_is_absence():
    prepared = prepare(made(0))
    weights = np.array([0.0, 1, 2, 1, 0, 3, 0, 1, 1])
    counted = double(tree_interventional.explain, prepared, X, BACKGROUND, weights=weights)
    repeated = np.repeat(BACKGROUND, weights.astype(int), axis=0)
    np.testing.assert_allclose(
        counted[0].values, double(tree_interventional.explain, prepared, X, repeated)[0].values,
        atol=1e-14,
    )  # fmt: skip
    # The last feature is in no tree: no sum brings NaN there.
    more, seen = (np.concatenate([rows, rows[:, :1]], axis=1) for rows in (X, BACKGROUND))
    for bad in (0 * weights, weights - 0.5):
        found, info = double(tree_interventional.explain, prepared, more, seen, weights=bad)
        for part in (found.values, found.expected, info.gap):
            assert np.isnan(part).all()
    with pytest.raises(ValueError, match=r"tree_interventional.explain: background has no rows"):
        double(tree_interventional.explain, prepared, X, X[:0])


def test_paths_lead_where_the_trees_do():
    """The answers behind the gap are made of conditions; those of ``evaluate``, of nodes."""
    trees = made(1, depth=6, is_empty=True)
    bias = np.array([1.0, -2.0])
    found, info = double(tree_path_dependent.explain, prepare(trees), X, bias=bias)
    total = found.values.sum(axis=1) + found.expected
    answers = double(ensemble.evaluate, trees, np.where(np.isnan(X), -1.5, X))
    whole, _ = double(
        tree_path_dependent.explain, prepare(trees), np.where(np.isnan(X), -1.5, X), bias=bias
    )
    np.testing.assert_allclose(
        whole.values.sum(axis=1) + whole.expected, answers + bias, atol=1e-12
    )
    assert info.gap.max() < 1e-12
    assert np.isfinite(total).all()


def every_way(trees, rows, background=BACKGROUND):
    prepared = prepare(trees)
    yield double(tree_path_dependent.explain, prepared, rows)[0].values
    yield double(tree_interventional.explain, prepared, rows, background)[0].values


def test_attributions_of_a_sum_are_the_sums():
    first = made(0)
    second = first._replace(value=3 - np.asarray(first.value)[::-1] ** 2)
    parts = zip(every_way(first, X), every_way(second, X), strict=True)
    for (one, other), whole in zip(parts, every_way(joined(first, second), X), strict=True):
        np.testing.assert_allclose(whole, one + other, atol=1e-13)


def test_a_feature_that_no_node_asks_for_adds_nothing():
    trees = made(0)
    rows = np.concatenate([X, X[:, :1]], axis=1)
    more = np.concatenate([BACKGROUND, BACKGROUND[:, :1]], axis=1)
    prepared = prepare(trees)
    assert (double(tree_path_dependent.explain, prepared, rows)[0].values[:, 5] == 0).all()
    assert (double(tree_interventional.explain, prepared, rows, more)[0].values[:, 5] == 0).all()


def test_features_that_are_alike_get_alike():
    """A conjunction of two: the same tree with both exchanged is the same function."""

    def conjunction(first, second):
        return imported_nodes.Nodes(
            np.array([first, 0, second, 0, 0]), np.zeros(5), np.array([1, -1, 3, -1, -1]),
            np.array([2, -1, 4, -1, -1]), np.ones(5, bool), np.array([[0.0], [0], [0], [0], [1]]),
            np.array([4.0, 2, 2, 1, 1]), np.zeros(5),
        )  # fmt: skip

    with jax.enable_x64(True):
        trees = imported_nodes.assemble([conjunction(0, 1), conjunction(1, 0)], is_single=False)
    rows = np.array([[1.0, 1, 0, 0, 0], [-1, -1, 0, 0, 0]])
    alike = np.concatenate([BACKGROUND, BACKGROUND[:, [1, 0, 2, 3, 4]]])
    for values in every_way(trees, rows, alike):
        np.testing.assert_allclose(values[:, 0], values[:, 1], atol=1e-15)
        assert (values[0, :2] > 0).all()
        assert (values[1, :2] < 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_deep_tree_keeps_its_sum(dtype):
    """Leaves have up to some 20 conditions, on 40 features."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(900, 40)).astype(np.float32)
    y = rows @ rng.normal(size=40)
    model = DecisionTreeRegressor(random_state=0, max_features=1, max_leaf_nodes=500).fit(rows, y)
    assert model.get_depth() > 15
    with jax.enable_x64(dtype == "float64"):
        prepared = paths.prepare(imported.from_sklearn(model).trees)
        assert max(group.feature.shape[1] for group in prepared.groups) > tree_interventional.MOST
        asked = jnp.asarray(rows[:20], dtype)
        for found, info in (
            tree_path_dependent.explain(prepared, asked),
            tree_interventional.explain(prepared, asked, jnp.asarray(rows[20:40], dtype)),
        ):
            assert found.values.dtype == dtype
            total = found.values.sum(axis=1)[:, 0] + found.expected
            np.testing.assert_allclose(total, model.predict(rows[:20]), rtol=0, atol=1e-4)
            assert float(info.gap.max()) < (1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.slow
def test_many_rows_are_explained_as_few_are():
    trees = made(0)
    many = exact.rows(8, n=lanes.ENTRIES // 10 + 1)
    prepared = prepare(trees)
    for explain, more in (
        (tree_path_dependent.explain, ()),
        (tree_interventional.explain, (BACKGROUND,)),
    ):
        whole = double(explain, prepared, many, *more)[0].values
        np.testing.assert_allclose(
            whole[-3:], double(explain, prepared, many[-3:], *more)[0].values, atol=1e-14
        )


@pytest.mark.parametrize(
    ("peer", "name"),
    [("xgboost", n) for n in ("binary", "sets", "three", "count")]
    + [("lightgbm", n) for n in ("binary", "sets", "three")],
)
def test_a_peer_attributes_alike(peer, name):
    given = PEERS[peer][name]
    read = {"xgboost": imported.from_xgboost, "lightgbm": imported.from_lightgbm}[peer]
    with jax.enable_x64(True):
        model = read(given["text"])
    prepared, asked = prepare(model.trees), np.array(given["asked"])
    found, _ = double(tree_path_dependent.explain, prepared, asked, bias=model.bias)
    n, d, outputs = found.values.shape
    theirs = np.array(given["shap"]).reshape(n, outputs, d + 1).transpose(0, 2, 1)
    np.testing.assert_allclose(found.values, theirs[:, :d], atol=5e-6)
    np.testing.assert_allclose(np.tile(found.expected, (n, 1)), theirs[:, d], atol=5e-6)
    if "interactions" in given:
        both = double(tree_path_dependent.interactions, prepared, asked)
        split = np.array(given["interactions"]).reshape(n, outputs, d + 1, d + 1)
        np.testing.assert_allclose(both, split[:, :, :d, :d].transpose(0, 2, 3, 1), atol=2e-5)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["tree", "gbt"])
def test_published_attributions(name, reference):
    table = json.loads((reference / "shap_reference" / "reference.json").read_text())
    given = table[name]
    asked, background = np.array(table["explained"]), np.array(table["background"])
    with jax.enable_x64(True):
        trees = imported_nodes.assemble([nodes_of(t, given["scale"]) for t in given["trees"]],
                                        is_single=False)  # fmt: skip
        bias = jnp.array([given["init"]])
    prepared = prepare(trees)
    covers, _ = double(tree_path_dependent.explain, prepared, asked, bias=bias)
    joint, _ = double(tree_interventional.explain, prepared, asked, background, bias=bias)
    for found, kind in ((covers, "path_dependent"), (joint, "interventional")):
        np.testing.assert_allclose(found.values[:, :, 0], given[kind], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found.expected[0], given[f"{kind}_expected"], rtol=1e-12)
        total = found.values.sum(axis=1)[:, 0] + found.expected
        np.testing.assert_allclose(total, given["prediction"], rtol=1e-12)


def nodes_of(tree, scale):
    value, left = np.reshape(tree["value"], (-1, 1)), np.array(tree["left"])
    cover = np.array(tree["cover"], float)
    return imported_nodes.Nodes(
        np.maximum(tree["feature"], 0), np.array(tree["threshold"], float), left,
        np.array(tree["right"]), np.ones(len(left), bool), scale * value, cover, 0 * cover,
    )  # fmt: skip


def test_a_group_of_the_wrong_rank_is_named():
    (group, *rest) = prepare(made(0)).groups
    wrong = paths.Paths((group._replace(share=group.share[0]), *rest))
    with pytest.raises(ValueError, match=r"explain: paths.groups\[0\].share is float64\[\d+\]"):
        tree_path_dependent.explain(wrong, X.astype(np.float32))


def test_a_forest_of_one_leaf_a_tree_has_nothing_to_say():
    model = RandomForestRegressor(2, max_depth=1, random_state=0).fit(
        np.zeros((4, 2)), np.arange(4)
    )
    prepared = paths.prepare(imported.from_sklearn(model).trees)
    found, _ = tree_path_dependent.explain(prepared, jnp.zeros((1, 2)))
    assert (found.values == 0).all()
    np.testing.assert_allclose(found.expected, model.predict(np.zeros((1, 2))), rtol=1e-6)
