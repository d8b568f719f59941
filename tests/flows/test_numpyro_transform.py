"""A chain inside NumPyro is the same density, and serves as a guide and as new coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.reparam import TransformReparam

from mastery_jax.core import loop
from mastery_jax.probability.flows import affine_coupling, chain, frozen, linear, planar
from mastery_jax.probability.flows.numpyro_transform import FlowTransform

pytestmark = pytest.mark.engine
LAYERS = (affine_coupling, planar)


def params():
    keys = jax.random.split(jax.random.key(0), 3)
    coupling = lambda key: affine_coupling.init(key, dim=3, widths=(8,), scale=1.0)  # noqa: E731
    return jax.vmap(coupling)(keys), jax.vmap(lambda key: planar.init(key, dim=3))(keys)


@pytest.mark.slow
def test_its_density_and_its_samples_are_ours():
    own, flow = params(), FlowTransform(params(), LAYERS)
    known = dist.TransformedDistribution(dist.Normal(jnp.zeros(3), 1.0).to_event(1), flow)
    xs = jax.random.normal(jax.random.key(1), (5, 4, 3))
    ours = jax.vmap(jax.vmap(lambda x: chain.log_prob(own, x, layers=LAYERS)))(xs)
    np.testing.assert_allclose(known.log_prob(xs), ours, rtol=1e-4, atol=1e-4)
    assert known.event_shape == (3,)
    z, way = known.sample_with_intermediates(jax.random.key(2), (6,))
    np.testing.assert_allclose(known.log_prob(z, way), known.log_prob(z), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(flow.inv(flow(xs)), xs, atol=1e-3)


def test_it_is_a_tree_that_can_be_traced_and_mapped():
    flow, x = FlowTransform(params(), LAYERS), jnp.ones(3)
    np.testing.assert_allclose(jax.jit(lambda flow, x: flow(x))(flow, x), flow(x), rtol=1e-5)
    again = jax.tree.unflatten(jax.tree.structure(flow), jax.tree.leaves(flow))
    assert again == flow
    assert flow != FlowTransform(params(), (planar, affine_coupling))
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), flow)
    assert jax.vmap(lambda flow: flow(x))(two).shape == (2, 3)


def test_a_guide_of_it_finds_a_correlated_posterior():
    """The ELBO reaches the evidence, 0, of a normalized density; a diagonal one cannot."""
    cov = jnp.array([[2.0, 1.5], [1.5, 1.3]])
    start = jax.tree.map(lambda leaf: leaf[None], linear.init(jax.random.key(0), dim=2))

    def model():
        numpyro.sample("x", dist.MultivariateNormal(jnp.array([1.0, -1.0]), cov))

    own, join = frozen.split(start)  # the order and the signs are not trained

    def guide():
        moved = numpyro.param("flow", own)
        normal = dist.Normal(jnp.zeros(2), 1.0).to_event(1)
        numpyro.sample(
            "x", dist.TransformedDistribution(normal, FlowTransform((join(moved),), (linear,)))
        )

    svi = SVI(model, guide, optax.adam(0.02), Trace_ELBO(num_particles=16))

    @jax.jit
    def run(key):
        return loop.scan(svi.update, svi.init(key), num_steps=1500)[1]

    losses = run(jax.random.key(0))
    assert abs(losses[-100:].mean()) < 2e-2
    assert losses[0] > 0.5


def test_a_model_can_be_sampled_in_its_coordinates():
    """Reparametrized, the site is a standard normal, and x its image."""
    flow = FlowTransform(params(), LAYERS)

    def model():
        normal = dist.Normal(jnp.zeros(3), 1.0).to_event(1)
        return numpyro.sample("x", dist.TransformedDistribution(normal, flow))

    moved = numpyro.handlers.reparam(model, config={"x": TransformReparam()})
    trace = numpyro.handlers.trace(numpyro.handlers.seed(moved, jax.random.key(0))).get_trace()
    z = trace["x_base"]["value"]
    np.testing.assert_allclose(
        trace["x"]["value"], chain.forward(params(), z, layers=LAYERS)[0], rtol=1e-5
    )
