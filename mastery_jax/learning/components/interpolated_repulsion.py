"""The repulsion of all pairs of points of a plane map, interpolated on a grid.

    w_ij = 1 / (1 + |y_i − y_j|²),   F_i = Σ_j w_ij² (y_i − y_j),   Z = Σ_{i≠j} w_ij

Points give their mass to the nodes around them by Lagrange's polynomials; the kernels w and
w² (y_i − y_j) are convolved with the masses by fast Fourier transforms; points read the result off
the same nodes. Two things are other than in the source. The nodes slide with the point, which
stands amid its four by four, where the polynomials are good; so the grid may be coarser.
And the force is a kernel of its own: the difference y_i Σ w² − Σ w² y_j, by which it is usually
formed, loses digits far from the origin, and needs the masses of four charges, not of one.

The spacing is at most half the width of the kernel, 1: forces are then right to 1e-3 of their size
where points lie densely, to 5e-2 where the nearest is as far as the kernel is wide. The least grid
of ``SIZES`` is taken that covers the points so. Beyond the largest it is stretched, and the error
grows.

Source: Linderman, Rachh, Hoskins, Steinerberger & Kluger (2019), *Nature Methods* 16, methods,
section "FFT-accelerated interpolation".
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

__all__ = ["SIZES", "repulsion"]

SIZES = (64, 128, 192, 256, 384)  # nodes a side; the transforms are of twice as many
SPACING = 0.5
STENCIL = 4  # nodes a side about a point


def repulsion(Y: Array) -> tuple[Array, Array]:
    """Return the forces (2, n) on points (2, n), and Σ w of every point without its own 1.

    O(n + s² log s), s the nodes a side.
    """
    low, high = Y.min(axis=1), Y.max(axis=1)
    span = jnp.max(high - low)
    Z = Y - (low + high)[:, None] / 2
    index = sum((span > _reach(size)).astype(jnp.int32) for size in SIZES[:-1])

    def on_grid(size: int) -> tuple[Array, Array]:
        # A map of one point has some width too.
        spacing = jnp.maximum(span / _reach(size) * SPACING, 1e-4)
        return _on_grid(Z, spacing, size)

    return jax.lax.switch(index, [lambda size=size: on_grid(size) for size in SIZES])


def _reach(size: int) -> float:
    """Return the largest span that leaves half a stencil of nodes on either side."""
    return (size - STENCIL - 1) * SPACING


def _on_grid(Y: Array, spacing: Array, size: int) -> tuple[Array, Array]:
    place = Y / spacing + (size - 1) / 2
    cell = jnp.floor(place)
    weights = [_lagrange(x) for x in place - cell]  # of the nodes along both coordinates
    first = cell.astype(jnp.int32) - (STENCIL // 2 - 1)
    corner = first[0] * size + first[1]
    mass = jnp.zeros(size * size, Y.dtype)
    nodes = [(i, j) for i in range(STENCIL) for j in range(STENCIL)]
    for i, j in nodes:
        share = weights[0][i] * weights[1][j]
        mass = mass.at[corner + (i * size + j)].add(share, mode="promise_in_bounds")
    fields = _convolve(mass.reshape(size, size), spacing).reshape(3, -1)
    read = [jnp.zeros_like(Y[0])] * 3
    for i, j in nodes:
        share, slot = weights[0][i] * weights[1][j], corner + (i * size + j)
        read = [
            r + share * field.at[slot].get(mode="promise_in_bounds")
            for r, field in zip(read, fields, strict=True)
        ]
    return jnp.stack(read[1:]), read[0] - 1


def _lagrange(t: Array) -> list[Array]:
    """Return the polynomials that are 1 at one node and 0 at the others, between the middle two."""
    offsets = [k - (STENCIL // 2 - 1) for k in range(STENCIL)]
    weights = []
    for own in offsets:
        weight = jnp.ones_like(t)
        for other in offsets:
            if other != own:
                weight = weight * ((t - other) / (own - other))
        weights.append(weight)
    return weights


def _convolve(mass: Array, spacing: Array) -> Array:
    """Return the sums of w, w² Δx and w² Δy at every node, over the masses of all."""
    size = len(mass)
    steps = jnp.arange(2 * size, dtype=mass.dtype)
    offsets = jnp.where(steps < size, steps, steps - 2 * size) * spacing
    w = 1 / (1 + offsets[:, None] ** 2 + offsets[None, :] ** 2)
    kernels = jnp.stack([w, w**2 * offsets[:, None], w**2 * offsets[None, :]])
    spectrum = jnp.fft.rfft2(mass, s=(2 * size, 2 * size))
    products = jnp.fft.rfft2(kernels) * spectrum[None]
    return jnp.fft.irfft2(products, s=(2 * size, 2 * size))[:, :size, :size]
