"""A Flax module as two pure functions: what is trained, what is carried, what is random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mastery_jax.core.functional import functional

pytestmark = pytest.mark.engine


class Net(nnx.Module):
    """One of everything that has a state of its own."""

    def __init__(self, *, rngs):
        self.inner = nnx.List([nnx.Linear(3, 4, rngs=rngs)])
        self.norm = nnx.BatchNorm(4, momentum=0.5, rngs=rngs)
        self.dropout = nnx.Dropout(0.5)
        self.outer = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x, *, rngs=None):
        x = self.norm(self.inner[0](x))
        return self.outer(self.dropout(jnp.tanh(x), rngs=rngs))


X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def net():
    made = functional(lambda rngs: Net(rngs=rngs))
    return made, *made.init(KEY)


def shapes(tree):
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="/"): x.shape for p, x in leaves}


def test_the_state_is_a_dict_of_arrays(net):
    _, params, state = net
    assert type(params) is dict
    assert shapes(params) == {
        "inner/0/bias": (4,),
        "inner/0/kernel": (3, 4),
        "norm/bias": (4,),
        "norm/scale": (4,),
        "outer/bias": (2,),
        "outer/kernel": (4, 2),
    }
    assert shapes(state) == {"norm/mean": (4,), "norm/var": (4,)}


def test_the_key_decides_the_parameters(net):
    made, params, _ = net
    again, other = made.init(KEY)[0], made.init(jax.random.key(1))[0]
    np.testing.assert_array_equal(again["outer"]["kernel"], params["outer"]["kernel"])
    assert not np.array_equal(other["outer"]["kernel"], params["outer"]["kernel"])


def test_training_moves_the_statistics_and_evaluation_does_not(net):
    made, params, state = net
    hidden = X @ params["inner"][0]["kernel"] + params["inner"][0]["bias"]
    _, moved = made.apply(params, state, X, key=KEY, train=True)
    np.testing.assert_allclose(moved["norm"]["mean"], 0.5 * hidden.mean(axis=0), atol=1e-6)
    _, kept = made.apply(params, state, X)
    jax.tree.map(np.testing.assert_array_equal, kept, state)


def test_dropout_follows_its_key_and_rests_without_training(net):
    made, params, state = net
    apply = jax.jit(made.apply, static_argnames="train")
    one, again, other = (
        apply(params, state, X, key=jax.random.key(seed), train=True)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    quiet = apply(params, state, X)[0]
    np.testing.assert_array_equal(apply(params, state, X, key=KEY)[0], quiet)


def test_many_networks_are_one_vmap(net):
    made, _, _ = net
    keys = jax.random.split(KEY, 3)
    params, state = jax.vmap(made.init)(keys)
    y, _ = jax.vmap(made.apply, in_axes=(0, 0, None))(params, state, X)
    alone, _ = made.apply(*made.init(keys[1]), X)
    np.testing.assert_allclose(y[1], alone, rtol=1e-5)


def test_the_gradient_is_a_dict_like_the_parameters(net):
    made, params, state = net
    grads = jax.grad(lambda p: made.apply(p, state, X)[0].sum())(params)
    assert shapes(grads) == shapes(params)
    np.testing.assert_allclose(grads["outer"]["bias"], [8.0, 8.0], rtol=1e-6)
