"""The network of a layer: dense layers with tanh between them, masked where order matters.

    h₀ = (x, context),    h_l = tanh(h_l−1 W_l + b_l),    out = h_L−1 W_L + b_L

Masked, coordinates have the degrees 1 … d and the context has 0; a hidden unit of degree m sees
what has degree m or less, and coordinate i of the output sees what has degree less than i. Degrees
of hidden units go round from 1 to d − 1, and from 0 where there is a context. They follow from
the sizes of the network: masks are constants of the program, never parameters.

Source: Germain, Gregor, Murray & Larochelle (2015), *MADE: Masked Autoencoder for Distribution
Estimation*, eq. 8-14; the bounded scale: Dinh, Sohl-Dickstein & Bengio (2017), section 4.1.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["apply", "draw", "join", "scale_and_shift", "shift_and_scale"]

BOUND = 2.0


def draw(key: Any, sizes: Sequence[int], scale: Any) -> dict[str, Any]:
    """Return a network at random. O(number of its weights).

    Weights and biases of a layer are uniform within ±1/√n, n its numbers in. Without biases a
    network begins as an odd function, and flows of tables end a nat a row or more behind.

    Args:
        key: Consumed.
        sizes: Numbers in, of each hidden layer, and out.
        scale: Factor of the last layer; its dtype is that of the network.
    """
    dtype, keys = jnp.result_type(scale), jax.random.split(key, len(sizes) - 1)
    layers = {}
    for i, (key, (a, b)) in enumerate(zip(keys, pairwise(sizes), strict=True)):
        reach = max(a, 1) ** -0.5
        shapes = {"kernel": (a, b), "bias": (b,)}
        draws = {
            name: jax.random.uniform(key, shape, dtype, -reach, reach)
            for key, (name, shape) in zip(jax.random.split(key), shapes.items(), strict=True)
        }
        is_last = i == len(sizes) - 2
        layers[i] = {name: scale * x for name, x in draws.items()} if is_last else draws
    return {"layers": layers}


def join(x: Any, context: Any) -> Any:
    """Return what a network is given: the coordinates, and then the context if there is one."""
    return x if context is None else jnp.concatenate([x, context.astype(x.dtype)])


def apply(where: str, params: Any, x: Any, context: Any, num_outputs: int, masked: int = 0) -> Any:
    """Return the network's output at a point. O(number of its weights).

    Args:
        where: The module that asks, which begins the sentence of an error.
        params: From :func:`draw`.
        x: What is known of the point.
        context: What is known besides, or None.
        num_outputs: How many numbers are wanted; ``masked`` of them for each coordinate.
        masked: Outputs of each coordinate, which may depend on those before it alone; 0 masks
            nothing.

    Raises:
        ValueError: ``params`` were made for other sizes.
    """
    given = join(x, context)
    layers = [params["layers"][i] for i in range(len(params["layers"]))]
    sizes = (layers[0]["kernel"].shape[0], *(layer["kernel"].shape[1] for layer in layers))
    if (sizes[0], sizes[-1]) != (given.size, num_outputs):
        raise ValueError(
            f"{where}: params map {sizes[0]} numbers to {sizes[-1]}, this point with a context of "
            f"{given.size - x.size} needs {given.size} to {num_outputs}; were they made for "
            "another dim or context_dim?"
        )
    masks = _masks(sizes, x.size, masked) if masked else (None,) * len(layers)
    for i, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
        kernel = layer["kernel"] if mask is None else jnp.where(mask, layer["kernel"], 0)
        given = (jnp.tanh(given) if i else given) @ kernel + layer["bias"]
    return given


def _masks(sizes: Sequence[int], dim: int, per: int) -> list[np.ndarray]:
    num_context = sizes[0] - dim
    lowest = 0 if num_context else min(1, dim - 1)
    ring = np.arange(lowest, max(dim, lowest + 1))
    degrees = [np.r_[np.arange(1, dim + 1), np.zeros(num_context, int)]]
    degrees += [np.resize(ring, size) for size in sizes[1:-1]]
    last = np.repeat(np.arange(1, dim + 1), per)
    masks = [a[:, None] <= b[None, :] for a, b in pairwise(degrees)]
    return [*masks, degrees[-1][:, None] < last[None, :]]


def scale_and_shift(shift: Any, raw: Any, x: Any) -> tuple[Any, Any]:
    """Return x exp(s) + t and s, for s = 2 tanh(raw / 2): no coordinate grows by more than e²."""
    log_scale = BOUND * jnp.tanh(raw / BOUND)
    return x * jnp.exp(log_scale) + shift, log_scale


def shift_and_scale(shift: Any, raw: Any, y: Any) -> tuple[Any, Any]:
    """Return (y − t) exp(−s) and s: what :func:`scale_and_shift` did is undone."""
    log_scale = BOUND * jnp.tanh(raw / BOUND)
    return (y - shift) * jnp.exp(-log_scale), log_scale
