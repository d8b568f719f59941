"""Factors of tables: what was planted is found, exact halves never lose, and what nobody rated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.core.status import Status
from mastery_jax.learning.components import (
    als,
    biased_factors,
    funk_svd,
    implicit_als,
    normal_equations,
    rating_table,
)

few = settings(max_examples=4, deadline=None, derandomize=True)
SIZE = {"num_users": 40, "num_items": 30, "num_factors": 3}
KEY = jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def planted(seed, n=500):
    """Return a table of 40 x 30 of rank 2 about biases, and the codes of some of its entries."""
    rng = np.random.default_rng(seed)
    P, Q = rng.normal(size=(40, 2)), rng.normal(size=(30, 2))
    table = 3.5 + 0.5 * rng.normal(size=(40, 1)) + 0.7 * rng.normal(size=30) + P @ Q.T
    cells = rng.permutation(1200)[:n]
    return table, *np.divmod(cells, 30)


def noisy(seed):
    table, users, items = planted(seed)
    rng = np.random.default_rng(seed + 1)
    return users, items, table[users, items] + 0.5 * rng.normal(size=500)


def objective(state, users, items, ratings, l2):
    p, q = state.user_factors[users], state.item_factors[items]
    b, c = state.user_biases[users], state.item_biases[items]
    errors = ratings - state.mean - b - c - (p * q).sum(axis=1)
    lengths = (p**2).sum(axis=1) + (q**2).sum(axis=1) + b**2 + c**2
    return (errors**2 + l2 * lengths).mean() / 2


@pytest.mark.parametrize("width", ["float64", "float32"])
def test_a_planted_table_is_found_where_it_was_not_seen(width):
    table, users, items = planted(0, 800)
    table, given = table.astype(width), {"l2": 1e-2, "max_steps": 300}
    state, info = als.fit(
        KEY, users, items, table[users, items], **SIZE | {"num_factors": 2}, **given
    )
    assert info.is_done
    assert state.user_factors.dtype == width
    unseen = np.ones((40, 30), bool)
    unseen[users, items] = False
    missed = als.predict(state, *np.nonzero(unseen)) - table[unseen]
    assert jnp.sqrt((missed**2).mean()) < 0.05
    assert table[unseen].std() > 1.5


@pytest.mark.slow
@few
@given(st.integers(0, 2**32 - 2), st.sampled_from([1e-3, 0.1, 3.0]))
def test_a_step_never_raises_the_objective(seed, l2):
    users, items, ratings = noisy(seed)
    state = biased_factors.init(KEY, users, items, ratings, **SIZE, init_scale=1.0)
    last = objective(state, users, items, ratings, l2)
    for _ in range(6):
        state, info = als.step(state, users, items, ratings, l2=l2)
        np.testing.assert_allclose(info.objective, objective(state, users, items, ratings, l2))
        assert info.objective <= last * (1 + 1e-12)
        last = info.objective
    state = implicit_als.init(KEY, users, items, ratings, **SIZE)
    last = jnp.inf
    for _ in range(6):
        state, info = implicit_als.step(
            state, users, items, jnp.abs(ratings), alpha=2.0, l2=100 * l2
        )
        assert info.objective <= last * (1 + 1e-12)
        last = info.objective


@pytest.mark.slow
def test_at_the_end_there_is_no_slope_and_descent_by_ratings_ends_as_low():
    users, items, ratings = noisy(1)
    state, info = als.fit(KEY, users, items, ratings, **SIZE, l2=0.1, rtol=1e-12, max_steps=3000)
    slope = jax.grad(objective)(state, users, items, ratings, 0.1)
    assert max(jnp.abs(leaf).max() for leaf in slope[1:]) < 1e-6
    given = {"l2": 0.1, "learning_rate": 0.02, "num_steps": 150}
    for more in ({}, {"batch_size": 8}):
        found, end = funk_svd.fit(KEY, users, items, ratings, **SIZE, **given, **more)
        np.testing.assert_allclose(end.objective, objective(found, users, items, ratings, 0.1))
        assert end.status == Status.CONVERGED
        assert info.objective - 1e-9 < end.objective < 1.05 * info.objective


def test_the_order_of_a_pass_is_drawn_by_the_key():
    users, items, ratings = noisy(2)
    start = biased_factors.init(KEY, users, items, ratings, **SIZE)

    def ends(seed, **more):
        key = jax.random.key(seed)
        given = {"l2": 0.1, "learning_rate": 0.05} | more
        return funk_svd.step(key, start, users, items, ratings, **given)[0].user_factors

    np.testing.assert_array_equal(ends(1), ends(1))
    assert (ends(1) != ends(2)).any()
    np.testing.assert_array_equal(ends(1, shuffle=False), ends(2, shuffle=False))
    whole = ends(1, batch_size=500)  # one move by all ratings, which no order changes
    np.testing.assert_allclose(whole, ends(2, batch_size=500), atol=1e-12)


FITS = {
    "als": (als.fit, {"l2": 0.1, "rtol": 0.0, "max_steps": 5}),
    "implicit_als": (implicit_als.fit, {"l2": 1.0, "alpha": 2.0, "rtol": 0.0, "max_steps": 5}),
    "funk_svd": (
        funk_svd.fit,
        {"shuffle": False, "num_steps": 3, "learning_rate": 1e-3, "l2": 0.1},
    ),
}


def run(name, users, items, ratings, weights=None, **more):
    """Fit, by one program for every test."""
    fit, given = FITS[name]
    weights = np.ones(500) if weights is None else weights
    return fit(KEY, users, items, ratings, weights=weights, **SIZE, **given | more)


@pytest.mark.parametrize("name", FITS)
def test_weights_of_whole_numbers_are_repeated_ratings_and_of_zero_none(name):
    users, items, ratings = noisy(3)
    ratings = np.abs(ratings)
    weights = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [150, 200, 150]))
    weights[users == 7] = 0  # nothing is left of a user
    weights[np.flatnonzero(users != 7)[: 500 - weights.sum()]] += 1
    is_out = weights == 0
    spoiled = np.where(is_out, np.nan, ratings), weights * 1.0
    weighted, info = run(name, users, items, *spoiled)
    repeated, end = run(name, *(np.repeat(a, weights) for a in (users, items, ratings)))
    # One move of twice the length is two moves only to second order of the rate.
    rtol, atol = (1e-2, 1e-3) if name == "funk_svd" else (1e-8, 1e-10)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), weighted, repeated
    )
    np.testing.assert_allclose(info.objective, end.objective, rtol=1e-3)
    elsewhere = np.argsort(is_out, kind="stable")  # at the end, and said of user 99
    moved = (np.where(is_out, 99, users), items, *spoiled)
    absent, _ = run(name, *(a[elsewhere] for a in moved))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-10), weighted, absent)


@pytest.mark.parametrize("name", FITS)
def test_who_rated_nothing_is_predicted_by_biases(name):
    users, items, ratings = noisy(4)
    is_there = (users != 7) & (items != 9)
    ratings = np.abs(ratings)
    state, _ = run(name, users, items, ratings, is_there * 1.0)
    module = {"als": als, "funk_svd": funk_svd, "implicit_als": implicit_als}[name]
    found = module.predict(state, np.array([7, 7, 0, 40, -1]), np.array([9, 0, 9, 0, 0]))
    if name == "implicit_als":
        wanted = np.zeros(3)
    else:
        mean = ratings[is_there].mean()
        wanted = [mean, mean + state.item_biases[0], mean + state.user_biases[0]]
        assert state.item_biases[0] != 0
    np.testing.assert_allclose(found, [*wanted, np.nan, np.nan], atol=1e-12)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"weights": np.zeros(500)}, Status.BAD_INPUT),
        ({"weights": -np.ones(500)}, Status.BAD_INPUT),
        ({"users": 40}, Status.BAD_INPUT),
        ({"items": -1}, Status.BAD_INPUT),
        ({"ratings": np.nan}, None),
    ],
)
def test_what_makes_no_sense_is_told(name, fault, status):
    users, items, ratings = noisy(5)
    data = {"users": users, "items": items, "ratings": np.abs(ratings)}
    weights = np.ones(500)
    for field, value in fault.items():
        if field == "weights":
            weights = value
        else:
            data[field] = np.where(np.arange(500) == 3, value, data[field])
    wanted = status or (Status.BAD_INPUT if name == "implicit_als" else Status.NOT_FINITE)
    state, info = run(name, *data.values(), weights)
    assert (info.status, info.is_done) == (wanted, False)
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(state))


def test_options_that_make_no_sense_are_told():
    data = noisy(5)
    amounts = (*data[:2], np.abs(data[2]))

    def status(name, data, **given):
        _, info = run(name, *data, **given)
        assert not info.is_done
        return int(info.status)

    assert status("als", data) == Status.OUT_OF_STEPS
    assert status("als", data, l2=0.0) == Status.BAD_INPUT
    assert status("funk_svd", data, learning_rate=0.0) == Status.BAD_INPUT
    assert status("funk_svd", data, l2=-1.0) == Status.BAD_INPUT
    assert status("funk_svd", data, learning_rate=10.0) == Status.DIVERGED
    assert status("implicit_als", amounts, alpha=-1.0) == Status.BAD_INPUT
    assert status("implicit_als", amounts, l2=0.0) == Status.BAD_INPUT
    assert status("implicit_als", data) == Status.BAD_INPUT  # some are negative
    with pytest.raises(ValueError, match=r"als\.fit: num_factors is 0, not at least 1"):
        als.fit(KEY, *data, **SIZE | {"num_factors": 0})
    with pytest.raises(ValueError, match=r"funk_svd\.fit: batch_size is 0, not at least 1"):
        funk_svd.fit(KEY, *data, **SIZE, batch_size=0)
    with pytest.raises(ValueError, match=r"implicit_als\.fit: the number of ratings is 0"):
        implicit_als.fit(KEY, *(a[:0] for a in amounts), **SIZE)


def test_recommendations_leave_out_what_is_known():
    state, _ = run("als", *noisy(6))
    table = als.predict(state, *(a.ravel() for a in np.indices((40, 30)))).reshape(40, 30)
    asked = np.array([3, 8, 3, 40])
    found = als.recommend(state, asked, k=4)
    np.testing.assert_array_equal(found.items[:3], np.argsort(-table[asked[:3]], axis=1)[:, :4])
    np.testing.assert_array_equal(found.items[3], -1)
    assert jnp.isnan(found.scores[3]).all()
    # All but two items of user 3 are known, one of user 8; of others, and outside, no matter.
    left = np.sort(np.argsort(table[3])[10:12])
    seen = np.array([i for i in range(30) if i not in left])
    best = int(table[8].argmax())
    known_users = np.concatenate([np.full(28, 3), [8, 5, 40, -1, 8]])
    known_items = np.concatenate([seen, [best, 0, 1, 2, 30]])
    given = {"known_users": known_users, "known_items": known_items}
    found = als.recommend(state, asked, k=4, **given)
    np.testing.assert_array_equal(np.sort(found.items[0, :2]), left)
    np.testing.assert_array_equal(found.items[0, 2:], -1)
    np.testing.assert_array_equal(found.items[2], found.items[0])
    np.testing.assert_array_equal(found.items[1], np.argsort(-table[8])[1:5])
    np.testing.assert_array_equal(np.isneginf(found.scores[:3]), found.items[:3] == -1)


def test_recommendations_refuse_what_cannot_be():
    state = als.State(*(jnp.ones(shape) for shape in ((), 2, 3, (2, 1), (3, 1))))
    with pytest.raises(ValueError, match=r"als\.recommend: k is 4, not from 1 to the 3 items"):
        als.recommend(state, jnp.array([0]), k=4)
    with pytest.raises(ValueError, match=r"funk_svd\.recommend: known_items is None"):
        funk_svd.recommend(state, jnp.array([0]), k=1, known_users=jnp.array([0]))


@pytest.mark.parametrize("k", [3, 9])
@pytest.mark.parametrize("block_size", [None, 3])
def test_small_problems_in_tiles_and_blocks_are_those_of_full_matrices(k, block_size):
    rng = np.random.default_rng(k)
    groups = rng.choice(7, size=400, p=[0.6, 0.2, 0.1, 0, 0.05, 0.05, 0])
    others, table = rng.integers(0, 20, size=400), rng.normal(size=(20, k))
    a, b, ridge = rng.gamma(1.0, size=400), rng.normal(size=400), rng.uniform(1, 2, size=7)
    side = normal_equations.arrange(jnp.int32(groups), jnp.int32(others), num_groups=7)
    found = normal_equations.solutions(
        side, jnp.asarray(table), jnp.asarray(a)[side.order], jnp.asarray(b)[side.order],
        ridge=jnp.asarray(ridge), base=jnp.eye(k), block_size=block_size,
    )  # fmt: skip
    for g in range(7):
        Z, own = table[others[groups == g]], groups == g
        matrix = (Z.T * a[own]) @ Z + (1 + ridge[g]) * np.eye(k)
        np.testing.assert_allclose(found[g], np.linalg.solve(matrix, Z.T @ b[own]), rtol=1e-10)


def test_pairs_that_are_there_twice_share_what_counts_once():
    known = rating_table.entries(
        "here", jnp.array([1, 0, 1, 1]), jnp.array([0, 0, 0, 1]), jnp.ones(4), None,
        num_users=2, num_items=2,
    )  # fmt: skip
    order = normal_equations.arrange(known.users, known.items, num_groups=2).order
    parts = rating_table.parts(known, jnp.array([1.0, 5.0, 3.0, 0.0]), order)
    np.testing.assert_allclose(parts, [0.25, 1, 0.75, 0])


def test_a_grid_of_penalties_and_folds_is_one_program():
    users, items, ratings = noisy(7)
    folds = (np.arange(500)[None] % 3 != np.arange(2)[:, None]) * 1.0
    penalties = jnp.array([0.03, 1.0])

    def fit(weights, l2):
        return run("als", users, items, ratings, weights, l2=l2, rtol=0.1)

    states, infos = jax.vmap(fit)(folds, penalties)
    alone, info = fit(folds[1], penalties[1])
    assert infos.num_steps[1] == info.num_steps != infos.num_steps[0]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x[1], y, atol=1e-9), states, alone)
