"""Hares and lynxes of posteriordb: the stored densities need the path to six digits."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from mastery_jax.numerics.ode import dopri5, fixed_step, rodas4

FOLDER = "hudson_lynx_hare-lotka_volterra"


def pelts(rates, t, y):
    hares, lynxes = y
    return jnp.stack(
        [(rates[0] - rates[1] * lynxes) * hares, (rates[3] * hares - rates[2]) * lynxes]
    )


def log_density(params, data, solve):
    """Return the log joint density of the model as posteriordb's MODELS describes it."""
    rates, start, spread = (
        np.array([params[f"{name}[{i + 1}]"] for i in range(count)])
        for name, count in (("theta", 4), ("z_init", 2), ("sigma", 2))
    )
    times = jnp.array([0.0, *data["ts"]])
    path = np.asarray(solve(Partial(pelts, jnp.asarray(rates)), jnp.asarray(start), times))
    means, widths = np.array([1.0, 0.05, 1.0, 0.05]), np.array([0.5, 0.05, 0.5, 0.05])
    measured = np.array([data["y_init"], *data["y"]])
    return (
        stats.truncnorm.logpdf(rates, -means / widths, np.inf, means, widths).sum()
        + stats.lognorm.logpdf(spread, 1.0, scale=np.exp(-1.0)).sum()
        + stats.lognorm.logpdf(start, 1.0, scale=10.0).sum()
        + stats.lognorm.logpdf(measured, spread, scale=path).sum()
    )


def tight(module):
    return lambda *given: module.solve(*given, rtol=1e-10, atol=1e-10)[0]


@pytest.mark.reference
@pytest.mark.parametrize(
    "solve",
    [
        tight(dopri5),
        tight(rodas4),
        lambda *given: fixed_step.solve(*given, num_substeps=200)[0],
    ],
    ids=["dopri5", "rodas4", "rk4"],
)
def test_densities_are_those_that_posteriordb_stores(reference, solve):
    folder = reference / "posteriordb" / FOLDER
    data = json.loads((folder / "data.json").read_text())
    points = json.loads((folder / "logdensity.json").read_text())["points"]
    with jax.enable_x64(True):
        found = [log_density(point["params"], data, solve) for point in points]
    expected = [point["log_density"] for point in points]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
