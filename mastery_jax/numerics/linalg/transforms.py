"""Linear and affine maps of space as matrices: rotation, scaling, shear, reflection, translation.

    rotation by θ        [[cos θ, −sin θ], [sin θ, cos θ]]
    about a unit axis k  I + sin θ K + (1 − cos θ) K²,  K x = k × x
    reflection           I − 2 n nᵀ / nᵀn, in the plane through 0 whose normal is n
    homogeneous          [[A, t], [0, 1]], which maps (x, 1) to (A x + t, 1)

Points are columns of the formulas and rows of ``apply``. ``matrices.multiply(B, A)`` does first A,
then B; translations join in as homogeneous matrices.

Source: Foley, van Dam, Feiner & Hughes (1990), *Computer Graphics: Principles and Practice*,
sections 5.1-5.6; about an axis: Rodrigues (1840), *Journal de Mathématiques Pures et Appliquées* 5.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["apply", "homogeneous", "reflection", "rotation", "rotation_about", "scaling", "shear"]


@jax.jit
@checked
def rotation(angle: Float[Array, ""]) -> Float[Array, "2 2"]:
    """Return the rotation of the plane by an angle in radians, counterclockwise. O(1).

    Example:
        >>> rotation(jnp.array(jnp.pi / 2)).round(3) @ jnp.array([1.0, 0.0])
        Array([0., 1.], dtype=float32)
    """
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])])


@jax.jit
@checked
def rotation_about(axis: Float[Array, "3"], angle: Float[Array, ""]) -> Float[Array, "3 3"]:
    """Return the rotation of space about an axis through 0. O(1).

    Args:
        axis: Its direction, of any length. Seen against it, the rotation is counterclockwise.
        angle: In radians.

    Returns:
        The matrix; NaN where the axis is 0.

    Example:
        >>> turn = rotation_about(jnp.array([0.0, 0.0, 2.0]), jnp.array(jnp.pi / 2))
        >>> turn.round(3) @ jnp.array([1.0, 0.0, 0.0])
        Array([0., 1., 0.], dtype=float32)
    """
    unit = _unit(axis)
    identity = jnp.eye(3, dtype=axis.dtype)
    across = jnp.cross(unit[None, :], identity).T  # column j is k × e_j
    c, s = jnp.cos(angle), jnp.sin(angle)
    # I + K² = k kᵀ for a unit axis: no product of matrices, and nothing that cancels.
    return c * identity + s * across + (1 - c) * unit[:, None] * unit[None, :]


@jax.jit
@checked
def scaling(factors: Float[Array, " n"]) -> Float[Array, "n n"]:
    """Return the map that stretches each axis by its own factor. O(n²).

    Example:
        >>> scaling(jnp.array([2.0, 3.0]))
        Array([[2., 0.],
               [0., 3.]], dtype=float32)
    """
    return jnp.diag(factors)


@partial(jax.jit, static_argnames=("size", "along", "by"))
@checked
def shear(
    factor: Float[Array, ""], *, size: int = 2, along: int = 0, by: int = 1
) -> Float[Array, "n n"]:
    """Return the map that moves points along one axis in proportion to another coordinate. O(n²).

    Args:
        factor: How far for each unit of the coordinate ``by``.
        size: The dimension of the space. Static.
        along: The axis that points move along. Static.
        by: The coordinate that says how far; not ``along``. Static.

    Raises:
        ValueError: the two axes are one, or not axes of that space.

    Example:
        >>> shear(jnp.array(0.5))
        Array([[1. , 0.5],
               [0. , 1. ]], dtype=float32)
    """
    if along == by or not {along, by} <= set(range(size)):
        raise ValueError(
            f"transforms.shear: along and by are {along} and {by}, not two of the {size} axes"
        )
    return jnp.eye(size, dtype=factor.dtype).at[along, by].set(factor)


@jax.jit
@checked
def reflection(normal: Float[Array, " n"]) -> Float[Array, "n n"]:
    """Return the reflection in the plane through 0 that has a normal. O(n²).

    Args:
        normal: At a right angle to the mirror, of any length.

    Returns:
        The matrix; NaN where the normal is 0.

    Example:
        >>> reflection(jnp.array([0.0, 5.0]))
        Array([[ 1.,  0.],
               [ 0., -1.]], dtype=float32)
    """
    unit = _unit(normal)
    return jnp.eye(len(normal), dtype=normal.dtype) - 2 * unit[:, None] * unit[None, :]


@jax.jit
@checked
def homogeneous(
    matrix: Float[Array, "n n"], translation: Float[Array, " n"]
) -> Float[Array, "n_plus_1 n_plus_1"]:
    """Return the homogeneous matrix of x ↦ A x + t. O(n²).

    Raises:
        ValueError: the matrix is not square, or the translation has another dimension.

    Example:
        >>> homogeneous(jnp.eye(2), jnp.array([3.0, 4.0]))
        Array([[1., 0., 3.],
               [0., 1., 4.],
               [0., 0., 1.]], dtype=float32)
    """
    last = jnp.zeros_like(translation, shape=(1, len(translation) + 1)).at[0, -1].set(1)
    return jnp.append(jnp.append(matrix, translation[:, None], axis=1), last, axis=0)


@jax.jit
@checked
def apply(matrix: Float[Array, "k k"], points: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """Map points, one a row. O(m k²).

    Args:
        matrix: Linear, with as many rows as a point has coordinates; or homogeneous, with one more.
        points: One a row.

    Returns:
        The points mapped; a homogeneous matrix may be a projection, whose last coordinate divides.

    Raises:
        ValueError: the matrix is of neither size.

    Example:
        >>> moved = homogeneous(2 * jnp.eye(2), jnp.array([3.0, 4.0]))
        >>> apply(moved, jnp.array([[0.0, 0.0], [1.0, 1.0]]))
        Array([[3., 4.],
               [5., 6.]], dtype=float32)
    """
    extra = len(matrix) - points.shape[1]
    if extra not in (0, 1):
        raise ValueError(
            f"transforms.apply: matrix has {len(matrix)} rows, and a point of {points.shape[1]} "
            f"coordinates needs as many, or one more"
        )
    with jax.default_matmul_precision("highest"):
        if not extra:
            return points @ matrix.T
        mapped = jnp.append(points, jnp.ones_like(points[:, :1]), axis=1) @ matrix.T
    return mapped[:, :-1] / mapped[:, -1:]


def _unit(v: Array) -> Array:
    """Return v at length 1, whatever its length was; NaN for 0."""
    v = v / power_of_two(jnp.abs(v).max())
    return v / jnp.sqrt((v**2).sum())
