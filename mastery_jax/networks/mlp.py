"""Multilayer perceptron: dense layers with an activation between them.

    h₀ = x,    h_i = dropout(activation(W_i h_{i−1} + b_i)),    y = W h + b

Hidden weights are normal, cut at two deviations, of variance 2/fan-in, which keeps the size of a
signal through relu.

Source: He et al. (2015), *Delving Deep into Rectifiers*, section 2.2 (initialisation).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import jax
from flax import nnx

from mastery_jax.core.check import Scalar
from mastery_jax.networks.dropout import dropout
from mastery_jax.numerics import activations

__all__ = ["MLP", "Activation"]

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid"]


class MLP(nnx.Module):
    """The network; use it through ``core.functional``.

    Args:
        num_inputs: Size of the last axis of ``x``.
        widths: Units of each hidden layer.
        num_outputs: Size of the last axis of the output.
        activation: Name of a function in ``numerics.activations``.
        rngs: Where the weights are drawn from.

    Raises:
        ValueError: ``activation`` is not one of :data:`Activation`.

    Example:
        >>> import jax
        >>> from mastery_jax.core.functional import functional
        >>> init, apply = functional(lambda rngs: MLP(4, (8,), 3, rngs=rngs))
        >>> params, statistics = init(jax.random.key(0))
        >>> y, _ = apply(params, statistics, jax.numpy.ones((5, 4)))
        >>> y.shape
        (5, 3)
    """

    def __init__(
        self,
        num_inputs: int,
        widths: Sequence[int],
        num_outputs: int,
        *,
        activation: Activation = "relu",
        rngs: nnx.Rngs,
    ):
        if activation not in get_args(Activation):
            wanted = ", ".join(get_args(Activation))
            raise ValueError(f"mlp.MLP: activation is {activation!r}, not one of {wanted}")
        self.activation = getattr(activations, activation)
        sizes, he = (num_inputs, *widths), nnx.initializers.he_normal()
        # The dtype ``float`` is jax's default: float64 under x64, where Linear's own is float32.
        self.hidden = nnx.List(
            nnx.Linear(a, b, kernel_init=he, param_dtype=float, rngs=rngs)
            for a, b in pairwise(sizes)
        )
        self.output = nnx.Linear(sizes[-1], num_outputs, param_dtype=float, rngs=rngs)

    def __call__(
        self, x: jax.Array, rate: Scalar | None = None, *, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Return the outputs, linear in the last layer, for ``x`` of any leading axes.

        Args:
            x: Features along the last axis.
            rate: Dropout after every hidden layer, in [0, 1); ``None`` leaves it out.
            rngs: Randomness of dropout; ``None`` means that nothing is dropped.
        """
        for layer in self.hidden:
            x = self.activation(layer(x))
            if rate is not None and rngs is not None:
                x = dropout(rngs.dropout(), x, rate=rate)
        return self.output(x)
