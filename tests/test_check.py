"""What ``checked`` lets through, and what it says when it does not."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked


class State(NamedTuple):
    mean: Float[Array, " d"]
    cov: Float[Array, "d d"]


class Other(NamedTuple):
    mean: Float[Array, " d"]
    cov: Float[Array, "d d"]


@jax.jit
@checked
def fit(X: Float[Array, "n d"], y: Float[Array, " n"], *, l2: Scalar = 0.1):
    return X.T @ y * l2


@jax.jit
@checked
def step(
    key: Key[Array, ""],
    state: State,
    y: Float[Array, " d"] | Int[Array, " d"],
    *,
    kind: Literal["a", "b"] = "a",
):
    return state.mean + y


X, y = np.ones((40, 3), np.float32), np.ones(40, np.float32)
KEY, STATE = jax.random.key(0), State(mean=y[:2], cov=np.eye(2, dtype=np.float32))


def test_what_fits_passes():
    np.testing.assert_allclose(fit(X, y, l2=0.5), 20.0)
    assert step(KEY, STATE, y[:2]).tolist() == [2, 2]


@pytest.mark.parametrize(
    "l2", [2, 2.0, np.float32(2), np.float64(2), jnp.asarray(2.0), jnp.asarray(2)]
)
def test_a_number_is_a_number_however_it_is_written(l2):
    with jax.numpy_dtype_promotion("standard"):
        assert fit(X, y, l2=l2).tolist() == [80, 80, 80]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fit(X, y[:39]),
            "fit: y is float32[39], not Float[Array, 'n']; given X: float32[40,3]",
        ),
        (
            lambda: fit(X[0], y),
            "fit: X is float32[3], not Float[Array, 'n d']; given y: float32[40]",
        ),
        (lambda: fit(X, y.astype(int)), "fit: y is int32[40], not Float[Array, 'n']"),
        (lambda: fit(X, y, l2=y[:1]), "fit: l2 is float32[1], not "),
        (lambda: fit(X, y, l2=np.int32(1)), "fit: l2 is int32[], not "),
        (lambda: fit(X, y, l2=True), "fit: l2 is bool[], not "),
        (lambda: step(y[:2], STATE, y[:2]), "step: key is float32[2], not Key[Array, '']"),
        (
            lambda: step(KEY, STATE._replace(cov=X[:3]), y[:2]),
            "step: state.cov is float32[3,3], not Float[Array, 'd d']",
        ),
        (lambda: step(KEY, STATE, y), "step: y is float32[40], not "),
        (lambda: step(KEY, Other(*STATE), y[:2]), "step: state is Other("),
        (
            lambda: step(KEY, STATE.mean, y[:2]),
            "step: state is float32[2], not a tests.test_check.S",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=r"^test_check\.") as raised:
        call()
    assert str(raised.value).removeprefix("test_check.").startswith(message)


def test_a_size_is_the_same_across_arguments_but_not_across_calls():
    assert fit(X[:, :2], y).shape == (2,)
    assert fit(X[:5], y[:5]).shape == (3,)


def test_a_compiled_call_pays_nothing_and_numbers_share_one_program():
    count = 0

    @checked
    def counted(x: Float[Array, " n"], *, l2: Scalar):
        nonlocal count
        count += 1
        return x * l2

    compiled = jax.jit(counted)
    for l2 in (0.5, 1.0, 2.0):
        compiled(y, l2=l2)
    assert count == 1


def test_a_checked_function_keeps_its_name_and_signature():
    assert (fit.__name__, fit.__module__) == ("fit", __name__)
    assert list(fit.__wrapped__.__annotations__) == ["X", "y", "l2"]
