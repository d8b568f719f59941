"""A chain as a transform of NumPyro: for guides, and for densities of its models.

    x = T(z),    log p(x) = log p_z(T⁻¹(x)) − log|det ∂T/∂z|

In a guide, ``TransformedDistribution(base, FlowTransform(params, layers))`` with ``params`` from
``numpyro.param``. In a model it makes a flow's density a prior. Sampled in z, a posterior that the
flow has learned is nearly normal (NeuTra): ``TransformReparam`` does that.

Source: Phan, Pradhan & Jankowiak (2019), *Composable Effects for Flexible and Accelerated
Probabilistic Programming in NumPyro*; Hoffman et al. (2019), *NeuTra-lizing Bad Geometry in
Hamiltonian Monte Carlo Using Neural Transport*, section 3.
"""

from collections.abc import Callable
from typing import Any

import jax
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform

from mastery_jax.probability.flows import chain

__all__ = ["FlowTransform"]


class FlowTransform(Transform):
    """A chain over vectors, any number of leading axes.

    Args:
        params: As in ``chain.forward``.
        layers: As in ``chain.forward``.
        context: One, for all points.

    Example:
        >>> import numpyro.distributions as dist
        >>> from mastery_jax.probability.flows import permutation
        >>> params = jax.vmap(lambda key: permutation.init(key, dim=2, kind="reverse"))(
        ...     jax.random.split(jax.random.key(0), 1)
        ... )
        >>> normal = dist.Normal(jax.numpy.array([0.0, 5.0]), 1.0).to_event(1)
        >>> flow = dist.TransformedDistribution(normal, FlowTransform((params,), (permutation,)))
        >>> round(float(flow.log_prob(jax.numpy.array([5.0, 0.0]))), 4)
        -1.8379
    """

    def __init__(
        self, params: tuple[Any, ...], layers: tuple[chain.Bijection, ...], context: Any = None
    ):
        self.params = params
        self.layers = tuple(layers)
        self.context = context

    @property
    def domain(self) -> Any:
        """Return where points come from: vectors."""
        return constraints.real_vector

    @property
    def codomain(self) -> Any:
        """Return where points go: vectors."""
        return constraints.real_vector

    def __call__(self, x: Any) -> Any:
        """Return the images of points."""
        return self.call_with_intermediates(x)[0]

    def call_with_intermediates(self, x: Any) -> tuple[Any, Any]:
        """Return the images of points, and the log dets, which need not be computed again."""
        return self._over(chain.forward, x)

    def _inverse(self, y: Any) -> Any:
        return self._over(chain.inverse, y)[0]

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """Return the log dets of the way from x to y, in nats."""
        return self._over(chain.forward, x)[1] if intermediates is None else intermediates

    def tree_flatten(self) -> Any:
        """Return what is traced, its names, and what is static."""
        return (self.params, self.context), (("params", "context"), {"layers": self.layers})

    def __eq__(self, other: object) -> bool:
        """Say whether another transform is this one: of the same layers and the same arrays."""
        if not isinstance(other, FlowTransform) or self.layers != other.layers:
            return False
        mine, theirs = ((t.params, t.context) for t in (self, other))
        return jax.tree.structure(mine) == jax.tree.structure(theirs) and all(
            a is b for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True)
        )

    def _over(self, way: Callable[..., Any], x: Any) -> tuple[Any, Any]:
        def one(point: Any) -> Any:
            return way(self.params, point, layers=self.layers, context=self.context)

        for _ in x.shape[:-1]:
            one = jax.vmap(one)
        return one(x)
