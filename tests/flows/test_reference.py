"""Real rows: a flow tells more of them than the normal distribution of their moments.

Not of ``energy``: three of its columns add up, so that no density of its rows exists.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.numerics.optimize import optimizers
from mastery_jax.probability.flows import chain, fit, spline_coupling

pytestmark = [pytest.mark.reference, pytest.mark.engine]
LAYERS = (spline_coupling,)


def standardized(folder, name):
    """Return rows to fit, to stop by, and held out, in units of the first ones' spread."""
    with np.load(folder / "uci_regression" / f"{name}.npz") as found:
        table = np.column_stack([found["X"], found["y"]])
        is_test = np.isin(np.arange(len(table)), found["test_idx"][0])
    table = table[:, table.std(axis=0) > 0]
    order = np.random.default_rng(0).permutation(np.flatnonzero(~is_test))
    train, valid = np.split(order, [int(0.85 * len(order))])
    center, scale = table[train].mean(axis=0), table[train].std(axis=0)
    return [jnp.asarray((table[i] - center) / scale, float) for i in (train, valid, is_test)]


@pytest.mark.parametrize("name", ["concrete", "wine-quality-red"])
def test_a_flow_beats_the_normal_distribution_by_a_nat_a_row_or_more(reference, name):
    train, valid, test = standardized(reference, name)
    dim = train.shape[1]
    keys = jax.random.split(jax.random.key(0), 6)
    draw = lambda key: spline_coupling.init(key, dim=dim, widths=(64,), interval=5.0)  # noqa: E731
    state, history = fit.maximum_likelihood(
        jax.random.key(1), (jax.vmap(draw)(keys),), train, valid, layers=LAYERS,
        rule=optimizers.make("adam", {"learning_rate": 2e-3}), num_epochs=60, batch_size=64,
    )  # fmt: skip
    found = jax.vmap(lambda x: chain.log_prob(state.params, x, layers=LAYERS))(test).mean()
    cov = np.cov(np.asarray(train, np.float64).T)
    gap = np.asarray(test, np.float64) - np.asarray(train, np.float64).mean(axis=0)
    square = np.einsum("ni,ij,nj->n", gap, np.linalg.inv(cov), gap).mean()
    normal = -(dim * np.log(2 * np.pi) + np.linalg.slogdet(cov)[1] + square) / 2
    said = json.dumps({"flow": float(found), "normal": normal, "best": int(history.best_epoch)})
    assert found > normal + 1, said
