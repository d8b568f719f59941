"""Flows that learn: what they reach, what they keep, and how they say that they ended."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import optimizers
from mastery_jax.probability.flows import (
    affine_coupling,
    base,
    chain,
    continuous,
    fit,
    linear,
    spline_coupling,
)

pytestmark = pytest.mark.engine


def adam(rate):
    return optimizers.make("adam", {"learning_rate": rate})


def moons(seed, count):
    """Return points along two half circles, with noise of 0.1."""
    rng = np.random.default_rng(seed)
    angle, side = np.pi * rng.random(count), rng.integers(0, 2, count)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(side[:, None] == 1, [1, 0.5] - x, x)
    return jnp.asarray(x + 0.1 * rng.normal(size=(count, 2)), jnp.float32)


def stacked(layer, repeats, **options):
    keys = jax.random.split(jax.random.key(0), repeats)
    return (jax.vmap(lambda key: layer.init(key, **options))(keys),)


def normal(rows, count):
    """Return rows of a normal distribution that is neither centred nor round."""
    z = jax.random.normal(jax.random.key(rows), (count, 2))
    return z @ jnp.array([[2.0, 0.0], [1.0, 0.5]]) + jnp.array([3.0, -1.0])


def mixture_of_moons(x):
    """Return the density that ``moons`` draws from, by summing over its angles."""
    angles = np.pi * (np.arange(400) + 0.5) / 400
    upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centers = np.concatenate([upper, [1, 0.5] - upper])
    square = ((np.asarray(x)[:, None] - centers[None]) ** 2).sum(axis=-1)
    return np.exp(-square / 0.02).mean(axis=1) / (2 * np.pi * 0.01)


@pytest.mark.slow
def test_moons_are_learned_to_almost_their_entropy():
    """Held out, within 0.15 nats of the true density; a normal distribution is 0.9 away."""
    layers, options = (spline_coupling,), {"dim": 2, "widths": (32, 32), "interval": 3.0}
    state, history = fit.maximum_likelihood(
        jax.random.key(1),
        stacked(spline_coupling, 6, **options),
        moons(0, 4000),
        moons(1, 1000),
        layers=layers,
        rule=adam(3e-3),
        num_epochs=40,
        batch_size=200,
    )
    held_out = moons(2, 2000)
    truth = np.log(mixture_of_moons(held_out)).mean()
    log_probs = jax.vmap(lambda x: chain.log_prob(state.params, x, layers=layers))(held_out)
    cov = np.cov(np.asarray(held_out).T)
    gaussian = -(2 * (1 + np.log(2 * np.pi)) + np.linalg.slogdet(cov)[1]) / 2
    assert truth - 0.15 < log_probs.mean() < truth + 0.02
    assert gaussian < truth - 0.8
    assert history.train_losses[history.num_epochs - 1] < history.train_losses[0] - 0.5
    np.testing.assert_array_equal(state.params[0].interval.value, 3.0)


@pytest.mark.slow
def test_the_best_parameters_are_kept_and_the_search_stops():
    """A large network on 40 rows learns them by heart: the loss on others falls, then rises."""
    rows, others = moons(3, 40), moons(4, 400)
    params = stacked(affine_coupling, 4, dim=2, widths=(64, 64))
    options = {"layers": (affine_coupling,), "rule": adam(3e-3), "num_epochs": 300}
    state, history = fit.maximum_likelihood(
        jax.random.key(0), params, rows, others, batch_size=20, patience=15, **options
    )
    taken, best = int(history.num_epochs), int(history.best_epoch)
    assert history.status == Status.CONVERGED
    assert history.is_done
    assert 0 < best == taken - 15 < 300 - 15
    losses = np.asarray(history.valid_losses)
    assert np.isfinite(losses[: taken + 1]).all()
    assert np.isnan(losses[taken + 1 :]).all()
    assert np.isnan(np.asarray(history.train_losses)[taken:]).all()
    assert losses[best] == np.nanmin(losses) < losses[taken]
    found = -jax.vmap(lambda x: chain.log_prob(state.params, x, layers=options["layers"]))(others)
    np.testing.assert_allclose(found.mean(), losses[best], rtol=1e-5)


def test_a_start_that_nothing_improves_is_returned():
    rows = normal(0, 200)
    params = stacked(linear, 1, dim=2)
    state, history = fit.maximum_likelihood(
        jax.random.key(0), params, rows, rows, layers=(linear,), rule=adam(-0.01),
        num_epochs=6, batch_size=50, patience=3,
    )  # fmt: skip
    assert history.best_epoch == 0
    assert history.num_epochs == 3
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_not_finite_ends_the_search_and_says_so():
    rows = normal(0, 100).at[7, 0].set(jnp.nan)
    _, history = fit.maximum_likelihood(
        jax.random.key(0), stacked(linear, 1, dim=2), rows, normal(1, 50), layers=(linear,),
        rule=adam(0.01), num_epochs=5, batch_size=100,
    )  # fmt: skip
    assert history.status == Status.NOT_FINITE
    assert history.num_epochs == 1
    assert not history.is_done


@pytest.mark.slow
def test_tails_are_learned_by_their_base():
    """Degrees of freedom of 10,000 rows are found to three tenths; a normal base fits worse."""
    rows = jax.random.t(jax.random.key(0), 3.0, (12_000, 2))
    options = {"layers": (linear,), "rule": adam(0.02), "num_epochs": 40, "batch_size": 500}
    run = partial(
        fit.maximum_likelihood, jax.random.key(1), stacked(linear, 1, dim=2), rows[:10_000],
        rows[10_000:], **options,
    )  # fmt: skip
    heavy, heavy_history = run(base=base.init(family="student_t", dim=2, df=10.0))
    _, light_history = run(base=base.init(family="normal", dim=2))
    np.testing.assert_allclose(jnp.exp(heavy.base.log_df), 3, atol=0.5)
    assert heavy_history.valid_losses[heavy_history.best_epoch] < np.nanmin(
        light_history.valid_losses
    )


def test_a_context_is_learned():
    """Rows around the context, at a distance of 0.1: the entropy is that of the noise, -1.77."""
    key, noise_key = jax.random.split(jax.random.key(0))
    context = jax.random.uniform(key, (1200, 1), minval=-2.0, maxval=2.0)
    rows = jnp.concatenate([context, context**2], axis=1)
    rows += 0.1 * jax.random.normal(noise_key, rows.shape)
    params = stacked(affine_coupling, 6, dim=2, widths=(32,), context_dim=1)
    state, _ = fit.maximum_likelihood(
        jax.random.key(1), params, rows[:1000], rows[1000:], layers=(affine_coupling,),
        rule=adam(3e-3), num_epochs=100, batch_size=100, context=context[:1000],
        context_valid=context[1000:], patience=20,
    )  # fmt: skip
    log_probs = jax.vmap(
        lambda x, c: chain.log_prob(state.params, x, layers=(affine_coupling,), context=c)
    )(rows[1000:], context[1000:])
    entropy = 1 + np.log(2 * np.pi) + 2 * np.log(0.1)
    assert -log_probs.mean() < entropy + 0.4 < -1.3


@pytest.mark.slow
def test_probes_are_drawn_anew_in_each_step():
    """A continuous flow with one probe learns; its last probes are those of its start."""
    params = stacked(continuous, 1, dim=2, widths=(16,), num_probes=1)
    rows = normal(0, 256) / 3
    state, history = fit.maximum_likelihood(
        jax.random.key(0), params, rows, rows, layers=(continuous,), rule=adam(0.02),
        num_epochs=8, batch_size=128,
    )  # fmt: skip
    assert np.nanmin(history.valid_losses) < history.valid_losses[0] - 0.2
    kept, given = (jax.random.key_data(p[0].probes.value) for p in (state.params, params))
    np.testing.assert_array_equal(kept, given)


def gaussian(precision, mean, x):
    return 1.7 - (x - mean) @ precision @ (x - mean) / 2


PRECISION = jnp.array([[2.0, 0.8], [0.8, 1.0]])
TARGET = Partial(gaussian, PRECISION, jnp.array([1.0, -2.0]))
LOG_Z = 1.7 + np.log(2 * np.pi) - np.log(2.0 - 0.64) / 2


@pytest.mark.parametrize("gradient", ["path", "total"])
def test_a_normal_density_is_met(gradient):
    """By ``path`` exactly: the spread of the weights vanishes, so KL is 0 and log Z is known."""
    state, match = fit.reverse_kl(
        jax.random.key(0), stacked(linear, 1, dim=2), TARGET, layers=(linear,), dim=2,
        rule=adam(0.03), num_steps=1500, gradient=gradient, spread=1e-2,
    )  # fmt: skip
    exact = gradient == "path"
    assert (match.status == Status.CONVERGED) or not exact
    np.testing.assert_allclose(match.log_evidence, LOG_Z, atol=1e-2)
    np.testing.assert_allclose(match.elbo, LOG_Z, atol=2e-3 if exact else 5e-2)
    assert match.effective_share > (0.999 if exact else 0.9)
    moved = jax.vmap(lambda e: chain.forward(state.params, e, layers=(linear,))[0])(jnp.eye(2))
    start = chain.forward(state.params, jnp.zeros(2), layers=(linear,))[0]
    spread = (moved - start[None]).T
    tolerance = 2e-2 if exact else 0.2
    np.testing.assert_allclose(start, [1.0, -2.0], atol=tolerance)
    np.testing.assert_allclose(spread @ spread.T, np.linalg.inv(PRECISION), atol=tolerance)


def test_the_path_gradient_vanishes_where_the_flow_is_right():
    """There each sample's own gradient is 0, which the total one is only on average."""
    params = stacked(linear, 1, dim=2)
    standard = Partial(lambda x: -(x**2).sum() / 2)  # a rotation of a normal vector is one
    options = {"layers": (linear,), "dim": 2, "num_steps": 1, "num_samples": 8, "spread": -1.0}
    moves = {}
    for gradient in ("path", "total"):
        rule = optimizers.make("gradient_descent", {"learning_rate": 1.0})
        state, _ = fit.reverse_kl(
            jax.random.key(3), params, standard, rule=rule, gradient=gradient, **options
        )
        leaves = zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True)
        moves[gradient] = max(float(jnp.abs(a - b).max()) for a, b in leaves)
    assert moves["path"] < 1e-5 < 1e-2 < moves["total"]


def test_a_density_that_is_not_finite_ends_the_match():
    wall = Partial(lambda x: jnp.where(x[0] > 0, -jnp.inf, -(x**2).sum()))
    params = stacked(linear, 1, dim=2)
    state, match = fit.reverse_kl(
        jax.random.key(0), params, wall, layers=(linear,), dim=2, rule=adam(0.1), num_steps=9
    )
    assert match.status == Status.NOT_FINITE
    assert match.num_steps == 1
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)


ROWS = jnp.zeros((4, 2))
LEARN = {"layers": (linear,), "rule": adam(0.1), "num_epochs": 1, "batch_size": 2}
MATCH = {"layers": (linear,), "rule": adam(0.1), "dim": 2, "num_steps": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_epochs": 0}, "num_epochs is 0, not at least 1"),
        ({"patience": 0}, "patience is 0, not at least 1"),
        ({"batch_size": 5}, "batch_size is 5, not from 1 to 4 rows"),
        ({"X_valid": ROWS[:0]}, "X_valid has no rows, not at least one"),
        ({"params": ({},)}, "params and base have no float to train"),
        ({"context": ROWS}, "context is given, and context_valid is not"),
        ({"context_valid": ROWS}, "context_valid is given, and context is not"),
    ],
)
def test_a_fit_refuses_what_it_cannot_do(changes, said):
    given = {"params": stacked(linear, 1, dim=2), "X_valid": ROWS} | LEARN | changes
    with pytest.raises(ValueError, match=rf"fit\.maximum_likelihood: {said}"):
        fit.maximum_likelihood(jax.random.key(0), given.pop("params"), ROWS, **given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_steps": 0}, "num_steps is 0, not at least 1"),
        ({"params": ({},)}, "params and base have no float to train"),
        ({"num_samples": 1}, "num_samples is 1, not at least 2"),
        ({"num_draws": 1}, "num_draws is 1, not at least 2"),
        ({"gradient": "score"}, "gradient is 'score', not 'path' or 'total'"),
    ],
)
def test_a_match_refuses_what_it_cannot_do(changes, said):
    given = {"params": stacked(linear, 1, dim=2)} | MATCH | changes
    with pytest.raises(ValueError, match=rf"fit\.reverse_kl: {said}"):
        fit.reverse_kl(jax.random.key(0), given.pop("params"), TARGET, **given)
