"""Any bijection the other way round: what was slow becomes fast, and the other way too.

    forward = f⁻¹,    inverse = f

Source: Kingma et al. (2016), *Improved Variational Inference with Inverse Autoregressive Flow*,
eq. 10, where a masked autoregressive flow is taken so; Papamakarios et al. (2021), JMLR 22(57),
section 3.1.
"""

from typing import Any, NamedTuple

__all__ = ["Inverted"]


class Inverted(NamedTuple):
    """A bijection out of another one; parameters are those of the other.

    Two of the same layer are equal, so that a compiled chain knows it again.

    Example:
        >>> import jax
        >>> from mastery_jax.probability.flows import autoregressive
        >>> params = autoregressive.init(jax.random.key(0), dim=3, widths=(8,), scale=1.0)
        >>> iaf = Inverted(autoregressive)
        >>> y, log_det = iaf.forward(params, jax.numpy.ones(3))
        >>> autoregressive.forward(params, y)[0].round(4)
        Array([1., 1., 1.], dtype=float32)
    """

    layer: Any  # chain.Bijection

    def forward(self, params: Any, x: Any, *, context: Any = None) -> tuple[Any, Any]:
        """Return what the layer's ``inverse`` does."""
        return self.layer.inverse(params, x, context=context)

    def inverse(self, params: Any, y: Any, *, context: Any = None) -> tuple[Any, Any]:
        """Return what the layer's ``forward`` does."""
        return self.layer.forward(params, y, context=context)
