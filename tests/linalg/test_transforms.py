"""Maps of space, and convolution as a matrix: what they keep, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from mastery_jax.numerics.linalg import matrices, toeplitz, transforms

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
modes = st.sampled_from(["full", "same", "valid"])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@few
@given(seeds)
def test_rotations_form_a_group_and_keep_their_axis(seed):
    rng = np.random.default_rng(seed)
    axis, (a, b) = rng.normal(size=3), rng.normal(size=2)
    first, second = (transforms.rotation_about(axis, jnp.array(angle)) for angle in (a, b))
    both = transforms.rotation_about(axis, jnp.array(a + b))
    np.testing.assert_allclose(matrices.multiply(first, second), both, atol=1e-14)
    np.testing.assert_allclose(first @ first.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(first @ axis, axis, atol=1e-14)
    np.testing.assert_allclose(np.trace(first), 1 + 2 * np.cos(a), atol=1e-14)
    plane = transforms.rotation_about(jnp.array([0.0, 0.0, 2.0]), jnp.array(a))[:2, :2]
    np.testing.assert_allclose(plane, transforms.rotation(jnp.array(a)), atol=1e-15)


@few
@given(seeds)
def test_two_reflections_are_a_rotation_by_twice_the_angle(seed):
    a, b = np.random.default_rng(seed).normal(size=2)
    mirrors = [transforms.reflection(jnp.array([np.cos(t), np.sin(t)])) for t in (a, b)]
    turned = transforms.rotation(jnp.array(2 * (b - a)))
    np.testing.assert_allclose(mirrors[1] @ mirrors[0], turned, atol=1e-14)
    np.testing.assert_allclose(mirrors[0] @ mirrors[0], np.eye(2), atol=1e-14)


def test_maps_are_composed_by_products_and_undone_by_inverses():
    points = jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    turn = transforms.homogeneous(transforms.rotation(jnp.array(jnp.pi / 2)), jnp.zeros(2))
    shift = transforms.homogeneous(jnp.eye(2), jnp.array([1.0, 0.0]))
    moved = transforms.apply(matrices.multiply(turn, shift), points)
    np.testing.assert_allclose(moved, [[0, 1], [0, 2], [-2, 2]], atol=1e-15)
    back, _ = matrices.inverse(matrices.multiply(turn, shift))
    np.testing.assert_allclose(transforms.apply(back, moved), points, atol=1e-15)
    stretch = matrices.multiply(transforms.scaling(jnp.array([2.0, 3.0])), jnp.eye(2))
    np.testing.assert_array_equal(
        transforms.apply(stretch, points), points * np.array([[2.0, 3.0]])
    )


def test_what_has_no_direction_gives_nan():
    assert jnp.isnan(transforms.reflection(jnp.zeros(2))).all()
    assert jnp.isnan(transforms.rotation_about(jnp.zeros(3), jnp.array(1.0))).all()


@few
@given(seeds, modes, st.sampled_from([(5, 3), (4, 4)]))
def test_convolution_in_one_dimension_is_that_of_numpy(seed, mode, sizes):
    rng = np.random.default_rng(seed)
    x, kernel = (rng.normal(size=size) for size in sizes)
    found = toeplitz.convolve(x, kernel, mode=mode)
    np.testing.assert_allclose(found, np.convolve(x, kernel, mode=mode), atol=1e-14)
    T = toeplitz.matrix(kernel, size=len(x), mode=mode)
    np.testing.assert_array_equal(T[1:, 1:], T[:-1, :-1])  # constant along its diagonals


@few
@given(seeds, modes, st.just((2, 3)))
def test_convolution_in_two_dimensions_is_that_of_scipy(seed, mode, shape):
    rng = np.random.default_rng(seed)
    image, kernel = rng.normal(size=(4, 5)), rng.normal(size=shape)
    wanted = signal.convolve2d(image, kernel, mode=mode)
    np.testing.assert_allclose(toeplitz.convolve_2d(image, kernel, mode=mode), wanted, atol=1e-14)


def test_the_transpose_of_a_convolution_is_a_correlation():
    kernel, x = jnp.array([1.0, 2.0, -1.0]), jnp.arange(7.0)
    T = toeplitz.matrix(kernel, size=5)
    np.testing.assert_array_equal(T.T @ x, np.correlate(x, kernel, mode="valid"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: toeplitz.convolve(x, x, mode="half"), "mode is 'half', not 'full'"),
        (lambda x: toeplitz.matrix(x, size=2, mode="valid"), "a kernel of 3 on 2 entries leaves"),
        (lambda x: toeplitz.matrix(x, size=0), "a kernel of 3 on 0 entries leaves nothing 'full'"),
        (lambda x: transforms.shear(x[0], along=1), "along and by are 1 and 1, not two of the 2"),
        (lambda x: transforms.apply(jnp.eye(5), x[None]), "matrix has 5 rows, and a point of 3"),
        (lambda x: transforms.rotation_about(x[:2], x[0]), "axis is float64\\[2\\], not Float"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(jnp.ones(3))


def test_a_direction_has_no_length_that_could_be_lost():
    angle = jnp.asarray(0.3)
    axis = jnp.array([1.0, 2.0, 2.0])
    there = transforms.rotation_about(axis, angle)
    for unit in (1e-200, 1e200):
        np.testing.assert_allclose(transforms.rotation_about(unit * axis, angle), there, atol=1e-15)
        np.testing.assert_allclose(
            transforms.reflection(unit * axis), transforms.reflection(axis), atol=1e-15
        )
