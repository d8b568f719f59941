"""What is true of networks and of training beyond the contract."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from mastery_jax.core import loop
from mastery_jax.core.functional import functional
from mastery_jax.networks import training
from mastery_jax.networks.dropout import dropout
from mastery_jax.networks.mlp import MLP

KEY = jax.random.key(0)
KINDS = ("adam", "adamw", "sgd")


def quadratic(_, params, statistics, batch):
    return ((params["w"] - batch) ** 2).sum() / 2, statistics


def steps(learning_rate, *, kind, num_steps=5, weight_decay=0.1):
    optimizer = training.optimizer(kind, learning_rate=learning_rate, weight_decay=weight_decay)
    state = training.init({"w": jnp.arange(1.0, 4.0)}, {}, optimizer=optimizer)
    step = partial(training.step, loss=Partial(quadratic), optimizer=optimizer)
    return loop.scan(lambda key, s: step(key, s, jnp.ones(3)), state, key=KEY, num_steps=num_steps)


def test_dropout_keeps_the_mean_and_drops_the_share():
    """200,000 numbers: a share within five standard deviations of the rate."""
    x = jnp.ones(200_000)
    rates = jnp.array([0.0, 0.2, 0.9])
    dropped = jax.vmap(lambda rate: dropout(KEY, x, rate=rate))(rates)
    share = (dropped == 0).mean(axis=1)
    sd = jnp.sqrt(rates * (1 - rates) / x.size)
    assert (jnp.abs(share - rates) <= 5 * sd).all()
    np.testing.assert_allclose(dropped.mean(axis=1), 1, atol=5 * (0.9 / 0.1 / x.size) ** 0.5)
    np.testing.assert_array_equal(dropped[0], x)


def test_mlp_draws_he_weights_and_drops_only_with_a_key():
    init, apply = functional(lambda rngs: MLP(400, (500,), 2, rngs=rngs))
    params, statistics = init(KEY)
    assert statistics == {}
    kernel = params["hidden"][0]["kernel"]
    assert abs(kernel.var() / (2 / 400) - 1) < 0.05
    x = jax.random.normal(KEY, (8, 400))
    plain, _ = apply(params, {}, x)
    keyless, _ = apply(params, {}, x, 0.5, train=True)
    np.testing.assert_array_equal(plain, keyless)
    first, _ = apply(params, {}, x, 0.5, key=jax.random.key(1), train=True)
    second, _ = apply(params, {}, x, 0.5, key=jax.random.key(2), train=True)
    assert (first != plain).all()
    assert (first != second).all()


def test_mlp_without_hidden_layers_is_linear():
    init, apply = functional(lambda rngs: MLP(3, (), 2, rngs=rngs))
    params, _ = init(KEY)
    x = jax.random.normal(KEY, (5, 3))
    expected = x @ params["output"]["kernel"]
    np.testing.assert_allclose(apply(params, {}, x)[0], expected, rtol=1e-6)


def test_mlp_names_an_unknown_activation():
    with pytest.raises(ValueError, match=r"mlp\.MLP: activation is 'swish2', not one of relu"):
        functional(lambda rngs: MLP(3, (4,), 2, activation="swish2", rngs=rngs))


@pytest.mark.engine
@pytest.mark.parametrize("kind", KINDS)
def test_step_is_optax(kind):
    rule = {
        "adam": optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.2)),
        "adamw": optax.adamw(0.2, weight_decay=0.1),
        "sgd": optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.2)),
    }[kind]
    params = {"w": jnp.arange(1.0, 4.0)}
    opt_state = rule.init(params)
    for _ in range(5):
        updates, opt_state = rule.update({"w": params["w"] - 1}, opt_state, params)
        params = optax.apply_updates(params, updates)
    state, info = steps(0.2, kind=kind)
    np.testing.assert_allclose(state.params["w"], params["w"], rtol=1e-6)
    np.testing.assert_allclose([info.loss[0], info.grad_norm[0]], [2.5, 5**0.5], rtol=1e-6)


@pytest.mark.engine
def test_learning_rates_are_lanes_of_one_program():
    count = 0

    def run(rate):
        nonlocal count
        count += 1
        return steps(rate, kind="adamw")[0].params["w"]

    rates = jnp.array([0.01, 0.1, 1.0])
    compiled = jax.jit(run)
    alone = jnp.stack([compiled(rate) for rate in rates])
    assert count == 1
    np.testing.assert_allclose(jax.vmap(run)(rates), alone, rtol=1e-6)
    assert len(np.unique(alone)) == alone.size


@pytest.mark.engine
def test_any_optax_constructor_serves():
    optimizer = Partial(optax.lion, learning_rate=0.1)
    state = training.init({"w": jnp.zeros(3)}, {}, optimizer=optimizer)
    batch = jnp.array([1.0, -1.0, 2.0])
    state, _ = training.step(KEY, state, batch, loss=Partial(quadratic), optimizer=optimizer)
    np.testing.assert_allclose(state.params["w"], [0.1, -0.1, 0.1], rtol=1e-6)


@pytest.mark.engine
def test_mlp_learns_what_no_line_can():
    """Exclusive or: the loss of any linear model is at least log 2."""
    X = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = jnp.array([0, 1, 1, 0])
    init, apply = functional(lambda rngs: MLP(2, (16,), 2, activation="tanh", rngs=rngs))

    def loss(key, params, statistics, batch):
        logits, statistics = apply(params, statistics, batch[0], 0.1, key=key, train=True)
        nll = optax.softmax_cross_entropy_with_integer_labels(logits, batch[1])
        return nll.mean(), statistics

    optimizer = training.optimizer("adam", learning_rate=0.03)
    state = training.init(*init(KEY), optimizer=optimizer)

    def step(key, state):
        batch = training.minibatch(key, (X, y), size=8)
        return training.step(key, state, batch, loss=Partial(loss), optimizer=optimizer)

    state, _ = jax.jit(lambda s: loop.scan(step, s, key=KEY, num_steps=300))(state)
    logits, _ = apply(state.params, {}, X)
    assert (logits.argmax(axis=1) == y).all()
    assert optax.softmax_cross_entropy_with_integer_labels(logits, y).mean() < 0.1


def test_minibatch_draws_whole_rows_evenly():
    """30,000 draws of 10 rows: every row comes within five standard deviations of 3,000."""
    data = {"a": jnp.arange(10), "b": jnp.arange(10.0)[:, None] * jnp.ones((1, 2))}
    rows = training.minibatch(KEY, data, size=30_000)
    np.testing.assert_array_equal(rows["a"], rows["b"][:, 1])
    counts = np.bincount(rows["a"], minlength=10)
    assert np.abs(counts - 3000).max() < 5 * (30_000 * 0.1 * 0.9) ** 0.5


def test_optimizer_names_an_unknown_kind():
    with pytest.raises(ValueError, match=r"training\.optimizer: kind is 'lbfgs', not one of"):
        training.optimizer("lbfgs", learning_rate=0.1)
