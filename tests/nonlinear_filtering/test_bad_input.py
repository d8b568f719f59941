"""Filters that make a model linear: what they refuse, and what has no answer."""

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import Partial

from mastery_jax.inference.filtering import cubature, extended, unscented
from tests.nonlinear_filtering.models import linear, radar

MODULES = {"extended": extended, "unscented": unscented, "cubature": cubature}
by_module = pytest.mark.parametrize("name", MODULES)


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


@by_module
def test_what_has_no_answer_is_nan(name):
    state, _, functions, ys, _ = linear(0)
    broken = functions._replace(emission_cov=-100 * jnp.eye(2))
    found, info = MODULES[name].step(state, ys[0], model=broken)
    assert all(jnp.isnan(leaf).all() for leaf in (*found, info.log_likelihood))


@pytest.mark.parametrize("options", [{"kappa": -3.0}, {"kappa": -4.0}, {"alpha": 0.0}])
def test_points_that_have_no_place_are_nan(options):
    state, _, functions, ys, _ = linear(0)
    found, info = unscented.step(state, ys[0], model=functions, **options)
    assert all(jnp.isnan(leaf).all() for leaf in (*found, info.log_likelihood))


@by_module
def test_what_does_not_fit_is_refused(name):
    module, (state, model, ys, pushes, _) = MODULES[name], radar(0)
    with pytest.raises(ValueError, match=r"nonlinear.Model: emission gives float64\[4\], not"):
        module.filter(state, ys, model=model._replace(emission=model.transition), inputs=pushes)
    half = model._replace(transition=Partial(lambda x, push: x.astype(jnp.float32)))
    with pytest.raises(ValueError, match=r"transition gives float32\[4\], not float64\[4\]"):
        module.predict(state, model=half, inputs=pushes[0])
    with pytest.raises(ValueError, match=rf"{name}: inputs is float64\[5,1\], not 6 along"):
        module.filter(state, ys, model=model, inputs=pushes[1:])
    changing = model._replace(process_cov=jnp.ones((6, 4, 4)))
    with pytest.raises(
        ValueError, match=rf"{name}: model.process_cov is .*\[6,4,4\], with an axis of steps"
    ):
        module.predict(state, model=changing, inputs=pushes[0])
    with pytest.raises(ValueError, match=rf"{name}.filter: ys is float64\[2\]"):
        module.filter(state, ys[0], model=model, inputs=pushes)
