"""Operations of an integrand, against counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.tree_util import Partial

from mastery_jax.numerics.quadrature.energy import operations


def horner(coefficients, x):
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


def polynomial(degree):
    return Partial(horner, tuple(jnp.ones(()) * (k + 1) for k in range(degree + 1)))


@pytest.mark.parametrize("degree", [2, 5, 10, 20])
@pytest.mark.parametrize("x64", [False, True])
def test_a_polynomial_takes_a_product_and_an_add_a_degree(degree, x64):
    with jax.enable_x64(x64):
        counted = operations.count(polynomial(degree), 0.5)
        bytes_each = jnp.result_type(float).itemsize
    assert counted.flops == 2 * degree
    assert counted.transcendentals == 0
    assert counted.bytes_moved == 2 * bytes_each  # the point and the value


def test_transcendentals_are_counted_apart():
    counted = operations.count(Partial(lambda x: jnp.exp(x) * jnp.sin(x) + jnp.log(x)), 0.5)
    assert (counted.flops, counted.transcendentals) == (2, 3)


def test_what_does_not_depend_on_the_point_is_not_charged():
    data = jnp.arange(100.0)
    counted = operations.count(Partial(lambda data, x: x * jnp.exp(data).sum(), data), 0.5)
    assert (counted.flops, counted.transcendentals, counted.bytes_held) == (1, 0, 400)
    assert counted.bytes_moved == pytest.approx(8, abs=0.1)


def test_a_point_of_a_box_is_counted_along_its_axes():
    counted = operations.count(Partial(lambda x: (x * x).sum()), np.zeros(4, np.float32))
    assert counted.flops in (7, 8)  # four products and three adds; XLA adds to zero first


def repeated(body, rounds):
    return Partial(lambda x: lax.fori_loop(0, rounds, lambda i, y: body(x, y), x))


def test_the_body_of_a_loop_counts_as_often_as_it_runs():
    one = repeated(lambda x, y: y * x + 1, 10)
    two = repeated(lambda x, y: lax.fori_loop(0, 5, lambda i, z: z * x + 1, y) + x, 10)
    series = Partial(lambda x: lax.scan(lambda y, a: (y * x + a, None), x, jnp.arange(7.0))[0])
    assert operations.count(one, 0.5).flops == 20
    assert operations.count(two, 0.5).flops == 10 * (5 * 2 + 1)
    assert operations.count(series, 0.5).flops == 14


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda x: lax.while_loop(lambda y: y < 9, lambda y: 2 * y + 1, x), "holds a while_loop"),
        (lambda x: jax.scipy.special.gammainc(2.0, x), "is a loop inside"),
        (lambda x: jnp.linalg.cholesky(x * jnp.eye(3)).sum(), "calls lapack_spotrf_ffi"),
    ],
)
def test_work_that_is_not_seen_is_refused(fn, said):
    with pytest.raises(ValueError, match=f"^operations.count: fn .*{said}"):
        operations.count(Partial(fn), 0.5)


def test_a_device_that_does_not_count_is_refused(monkeypatch):
    monkeypatch.setattr(jax.stages.Compiled, "cost_analysis", lambda compiled: None)
    with pytest.raises(ValueError, match=r"^operations.count: XLA gives \{\} on this device, not"):
        operations.count(Partial(jnp.exp), 0.5)
