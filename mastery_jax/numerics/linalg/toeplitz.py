"""Convolution as a product with a Toeplitz matrix: constant along its diagonals.

    (k * x)_i = Σ_j k_{i−j} x_j = (T x)_i,    T_ij = k_{i−j}, 0 where the kernel has no such entry

In two dimensions T_{(i,p),(j,q)} = K_{i−j, p−q}: a Toeplitz matrix of Toeplitz blocks that acts on
the rows of the image, one after the other. ``full`` keeps every overlap, ``same`` as many from the
middle as x has, ``valid`` those where the kernel lies inside x.

The matrix is for reading, and for what matrices are for: transposes, ranks, solutions. It holds
size² numbers for a kernel of a few; a long signal is convolved by ``jnp.convolve``, whose cost is
m·size, or by an FFT.

Source: Golub & Van Loan (2013), *Matrix Computations*, section 4.7; blocks: Jain (1989),
*Fundamentals of Digital Image Processing*, section 2.8.
"""

import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = ["convolve", "convolve_2d", "matrix", "matrix_2d"]

Mode = Literal["full", "same", "valid"]


@partial(jax.jit, static_argnames=("size", "mode"))
@checked
def matrix(
    kernel: Float[Array, " m"], *, size: int, mode: Mode = "full"
) -> Float[Array, "out size"]:
    """Return T, so that T x is the convolution of x with a kernel. O(out size).

    Args:
        kernel: At least one entry.
        size: The length of x. Static.
        mode: ``full``: out = size + m − 1; ``same``: out = size; ``valid``: out = size − m + 1.
            Static.

    Raises:
        ValueError: another mode, or ``valid`` with a kernel longer than x.

    Example:
        >>> matrix(jnp.array([1.0, 2.0]), size=3)
        Array([[1., 0., 0.],
               [2., 1., 0.],
               [0., 2., 1.],
               [0., 0., 2.]], dtype=float32)
    """
    return _band("matrix", kernel, (size,), mode)


@partial(jax.jit, static_argnames=("mode",))
@checked
def convolve(
    x: Float[Array, " n"], kernel: Float[Array, " m"], *, mode: Mode = "full"
) -> Float[Array, " out"]:
    """Convolve by the product with T. O(n (n + m)); ``jnp.convolve`` takes O(n m).

    Raises:
        ValueError: another mode, or ``valid`` with a kernel longer than x.

    Example:
        >>> convolve(jnp.array([1.0, 0.0, 3.0]), jnp.array([1.0, 2.0]))
        Array([1., 2., 3., 6.], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        return _band("convolve", kernel, x.shape, mode) @ x


@partial(jax.jit, static_argnames=("shape", "mode"))
@checked
def matrix_2d(
    kernel: Float[Array, "m p"], *, shape: tuple[int, int], mode: Mode = "full"
) -> Float[Array, "out size"]:
    """Return T, so that T vec(image) is the convolution, both row after row. O(out size).

    Args:
        kernel: At least one row and column.
        shape: Rows and columns of the image. Static.
        mode: ``full``, ``same`` or ``valid``, along both axes. Static.

    Raises:
        ValueError: another mode, or ``valid`` with a kernel larger than the image.

    Example:
        >>> matrix_2d(jnp.array([[1.0, 2.0]]), shape=(2, 2), mode="valid")
        Array([[2., 1., 0., 0.],
               [0., 0., 2., 1.]], dtype=float32)
    """
    return _band("matrix_2d", kernel, shape, mode)


@partial(jax.jit, static_argnames=("mode",))
@checked
def convolve_2d(
    image: Float[Array, "h w"], kernel: Float[Array, "m p"], *, mode: Mode = "full"
) -> Float[Array, "out_h out_w"]:
    """Convolve by the product with T. O(out h w), where a direct sum takes O(out m p).

    Raises:
        ValueError: another mode, or ``valid`` with a kernel larger than the image.

    Example:
        >>> convolve_2d(jnp.ones((3, 3)), jnp.ones((2, 2)), mode="valid")
        Array([[4., 4.],
               [4., 4.]], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        flat = _band("convolve_2d", kernel, image.shape, mode) @ image.ravel()
    sizes = zip(image.shape, kernel.shape, strict=True)
    return flat.reshape([len(_kept("convolve_2d", n, m, mode)) for n, m in sizes])


def _band(where: str, kernel: Array, shape: tuple[int, ...], mode: str) -> Array:
    """Return T for a kernel of any number of axes."""
    kept = [_kept(where, n, m, mode) for n, m in zip(shape, kernel.shape, strict=True)]
    entry, is_inside = [], jnp.ones([1] * 2 * len(shape), bool)
    for axis, (out, size) in enumerate(zip(kept, shape, strict=True)):
        # Which entry of the kernel a pair of an output and an input asks for, along this axis.
        lag = jnp.arange(out.start, out.stop)[:, None] - jnp.arange(size)[None, :]
        lag = jnp.expand_dims(lag, [i for i in range(2 * len(shape)) if i % len(shape) != axis])
        is_inside = is_inside & (lag >= 0) & (lag < kernel.shape[axis])
        entry.append(lag.clip(0, kernel.shape[axis] - 1))
    return jnp.where(is_inside, kernel[tuple(entry)], 0).reshape(-1, math.prod(shape))


def _kept(where: str, size: int, width: int, mode: str) -> range:
    """Return which overlaps of the full convolution a mode keeps."""
    first = {"full": 0, "same": (width - 1) // 2, "valid": width - 1}
    last = {"full": size + width - 1, "same": (width - 1) // 2 + size, "valid": size}
    if mode not in first:
        raise ValueError(f"toeplitz.{where}: mode is {mode!r}, not 'full', 'same' or 'valid'")
    if min(size, width) < 1 or first[mode] >= last[mode]:
        raise ValueError(
            f"toeplitz.{where}: a kernel of {width} on {size} entries leaves nothing {mode!r}"
        )
    return range(first[mode], last[mode])
