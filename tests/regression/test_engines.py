"""Engines against the closed form, the density against one written by hand, and what is refused."""

import time
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.tree_util import Partial
from numpyro import distributions as dist
from numpyro.infer.util import log_density as numpyro_log_density

from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import unconstrained
from mastery_jax.inference.regression import (
    closed_form,
    estimate,
    markov,
    model,
    prior,
    side_by_side,
    simulated,
    variational,
)
from tests.regression.rows import NAMES, awkward, belief
from tests.test_nuts import count_compiles as counting

count_compiles = counting  # a fixture
pytestmark = pytest.mark.engine  # NumPyro and optax mix integers and floats

KEY = jax.random.key(0)
LIMIT = 5.5  # standard errors: of eight such numbers one is beyond it once in three million
ENGINES = {
    "exact": closed_form.engine,
    "hmc": markov.hmc,
    "laplace": variational.laplace,
    "mean field": variational.mean_field,
}
OF_NUMPYRO = {"nuts": markov.nuts, "numpyro svi": variational.numpyro_svi}


def every(names):
    """Return names of engines, those whose program NumPyro compiles left to the slow tests."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in OF_NUMPYRO else []) for name in names
    ]


def side_by_side_on_awkward_rows(engines):
    X, y = awkward(0)
    options = {"prior": belief(X, y), "names": NAMES, "clock": time.perf_counter}
    found = side_by_side.compare(engines, KEY, X, y, held_out=awkward(1, num_rows=400), **options)
    return {row.name: row for row in found}


@pytest.fixture(scope="module")
def own():
    """Return what our engines make of awkward rows, timed, with rows held out."""
    return side_by_side_on_awkward_rows(ENGINES)


@pytest.fixture
def rows(own, request):
    """Return the same, with the engines of NumPyro where one is asked for."""
    is_asked = getattr(request.node, "callspec", None) and request.node.callspec.params["name"]
    return {**own, **_of_numpyro()} if is_asked in OF_NUMPYRO else own


@cache
def _of_numpyro():
    return side_by_side_on_awkward_rows(OF_NUMPYRO)


@pytest.mark.parametrize("name", every(["exact", "hmc", "nuts"]))
def test_what_is_exact_agrees_with_the_closed_form(rows, name):
    row = rows[name]
    assert row.status == Status.CONVERGED
    assert row.distance.mean < LIMIT
    assert row.distance.sd < LIMIT
    assert 0.95 < row.distance.sd_ratio < 1.05
    assert row.coverage == pytest.approx(0.95, abs=0.06)
    assert min(each.ess for each in row.estimates.values()) > 1500
    low, high = row.estimates["far"].low, row.estimates["far"].high
    assert low < -2e-6 < high


def test_laplace_is_near_and_says_so(rows):
    row = rows["laplace"]
    assert row.status == Status.CONVERGED
    assert row.pareto_shape < 0.7
    assert 0.88 < row.distance.sd_ratio < 1
    # It leaves the skew of the noise out: of the order of 1/n.
    assert abs(row.log_evidence - rows["exact"].log_evidence) < 0.1


@pytest.mark.parametrize("name", every(["mean field", "numpyro svi"]))
def test_mean_field_is_shown_to_be_too_sure(rows, name):
    """The columns are correlated by 0.95: given each other, they are known three times as well."""
    row = rows[name]
    assert row.distance.sd_ratio < 0.5
    assert row.status != Status.CONVERGED
    assert row.pareto_shape > 0.7
    assert row.distance.sd > 20
    wide, narrow = (rows[each].estimates["far"] for each in ("exact", name))
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_time_is_told_apart_from_compilation(rows):
    for row in rows.values():
        assert row.seconds > 0
        assert row.compile_seconds >= 0
        least = min(each.ess for each in row.estimates.values())
        assert row.ess_per_second == pytest.approx(least / row.seconds)


@pytest.mark.parametrize("name", every([*ENGINES, *OF_NUMPYRO]))
def test_other_rows_of_the_shape_compile_nothing(rows, name, count_compiles):
    engine = {**ENGINES, **OF_NUMPYRO}[name]
    assert name in rows  # so that the engine has run on this shape
    made = [(jax.random.key(seed), *awkward(seed)) for seed in (2, 3)]
    calls = [(*each, belief(*each[1:])) for each in made]

    def call(key, X, y, known):
        jax.block_until_ready(engine(key, X, y, prior=known, family="normal"))

    call(*calls[0])  # caches may have been cleared since the engine ran
    count_compiles()
    call(*calls[1])
    assert not count_compiles()


@pytest.mark.parametrize("name", every([*ENGINES, *OF_NUMPYRO]))
def test_rows_without_an_answer_are_said(rows, name):
    X, y = awkward(4)
    engine, known = {**ENGINES, **OF_NUMPYRO}[name], belief(X, y)
    assert name in rows
    for X_bad, y_bad in ((X, y.at[3].set(jnp.nan)), (X.at[0, 1].set(jnp.nan), y)):
        draws, info = engine(KEY, X_bad, y_bad, prior=known, family="normal")
        assert info.status == Status.BAD_INPUT
        assert not np.isfinite(draws.weights).all()


def test_a_planted_bias_is_seen():
    X, y = awkward(5)
    state, _ = closed_form.fit(X, y, prior=belief(X, y))
    draws, info = closed_form.engine(KEY, X, y, prior=belief(X, y))
    center = draws.weights.mean(axis=(0, 1))
    wide = draws._replace(weights=center + 1.1 * (draws.weights - center))
    moved = draws._replace(noise=draws.noise * 1.02)
    honest, stretched, shifted = (
        estimate.distance(each, info, state) for each in (draws, wide, moved)
    )
    assert max(honest.mean, honest.sd) < LIMIT
    assert stretched.sd > LIMIT
    assert stretched.sd_ratio == pytest.approx(1.1, abs=0.04)
    assert shifted.mean > LIMIT


def _by_hand(family, known, X, y):
    """State the model in the weights themselves."""
    scale = 1.0
    if family == "normal":
        variance = numpyro.sample("variance", dist.InverseGamma(known.shape, known.rate))
        scale = jnp.sqrt(variance)
    cov = scale**2 * known.root @ known.root.T
    weights = numpyro.sample("weights", dist.MultivariateNormal(known.mean, cov))
    if family == "normal":
        numpyro.sample("y", dist.Normal(X @ weights, scale).to_event(1), obs=y)
    else:
        numpyro.sample("y", dist.Bernoulli(logits=X @ weights).to_event(1), obs=y)


@pytest.mark.parametrize("family", ["normal", "bernoulli"])
@pytest.mark.parametrize("coordinates", ["rotated", "columns"])
def test_the_density_is_that_of_the_model_written_by_hand(family, coordinates):
    """Equal, volume and constants included; and so is NumPyro's program."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(6)
        X, y = awkward(6, dtype="float64")
        X = X / jnp.asarray([1.0, 1e-3, 1e6])
        y = (y > y.mean()).astype(y.dtype) if family == "bernoulli" else y
        root = jnp.asarray(2 * np.eye(3) + 0.3 * rng.normal(size=(3, 3)))
        known = prior.Prior(jnp.asarray([0.5, -1.0, 0.2]), root, *map(jnp.asarray, (2.5, 1.7)))
        target = model.pose(X, y, prior=known, family=family, coordinates=coordinates)
        ours = model.log_density(target, family=family)
        program = unconstrained.from_numpyro(model.program(target, family=family)).log_density
        volume = jnp.linalg.slogdet(root @ target.spread)[1] + 3 * jnp.log(target.noise)
        gaps = []
        for _ in range(5):
            u, t = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal())
            is_normal = family == "normal"
            drawn = model.draws(target, u[None, None, :], t[None, None] if is_normal else None)
            values, jacobian = {"weights": drawn.weights[0, 0]}, volume
            if is_normal:
                values["variance"] = drawn.noise[0, 0] ** 2
                jacobian = volume + jnp.log(2 * values["variance"])
            by_hand = Partial(partial(_by_hand, family), known, X, y)
            density, _ = numpyro_log_density(by_hand, (), {}, values)
            position = {"u": u, "t": t} if is_normal else {"u": u}
            np.testing.assert_allclose(ours(position), density + jacobian, rtol=1e-10)
            free = {"u": u, "variance": 2 * t} if is_normal else {"u": u}
            gaps.append(float(ours(position) - program(free)))
    np.testing.assert_allclose(gaps, np.log(2) if family == "normal" else 0, atol=1e-10)


def test_what_is_not_of_the_family_is_refused():
    X, y = awkward(7)
    known = belief(X, y)
    target = model.pose(X, y, prior=known, family="bernoulli")
    assert target.is_bad
    for call, said in (
        (lambda: markov.hmc(KEY, X, y, prior=known, num_steps=0), "markov.hmc: num_steps is 0"),
        (lambda: markov.nuts(KEY, X, y, prior=known, num_chains=0), "markov.nuts: num_chains is 0"),
        (
            lambda: markov.hmc(KEY, X, y, prior=known, num_draws=3),
            "markov.hmc: num_draws is 3, not",
        ),
        (
            lambda: variational.laplace(KEY, X, y, prior=known, family="poisson"),
            "model.pose: family is 'poisson', not one of normal, bernoulli",
        ),
        (
            lambda: variational.numpyro_svi(KEY, X, y, prior=known, guide="flow"),
            "variational.numpyro_svi: guide is 'flow', not mean_field or full_rank",
        ),
        (lambda: markov.hmc(KEY, X, y[:3], prior=known), "markov.hmc: y is "),
    ):
        with pytest.raises(ValueError, match=f"^{said}"):
            call()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "options"),
    [
        (variational.mean_field, {"coordinates": "rotated"}),
        (variational.numpyro_svi, {"coordinates": "rotated"}),
        (variational.numpyro_svi, {"guide": "full_rank"}),
    ],
)
def test_coordinates_or_a_covariance_mend_the_guide(fn, options):
    X, y = awkward(0)
    engines = {"guide": partial(fn, **options)}
    [row] = side_by_side.compare(engines, KEY, X, y, prior=belief(X, y))
    assert 0.85 < row.distance.sd_ratio < 1.1
    assert row.pareto_shape < 0.7
    evidence = closed_form.fit(X, y, prior=belief(X, y))[1].log_evidence
    assert abs(row.log_evidence - evidence) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("coordinates", ["rotated", "columns"])
@pytest.mark.parametrize("fn", [markov.hmc, markov.nuts])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chains_of_both_widths_where_columns_outnumber_rows(fn, coordinates, dtype):
    with jax.enable_x64(dtype == "float64"):
        X, y = awkward(8, num_rows=6, dtype=dtype)
        X = jnp.concatenate([X, X[:, 1:2], X[:, 1:] ** 2, X[:, 1:2] * X[:, 2:]], axis=1)
        engines = {"chain": partial(fn, coordinates=coordinates)}
        [row] = side_by_side.compare(engines, KEY, X, y, prior=belief(X, y))
        draws, _ = engines["chain"](KEY, X, y, prior=belief(X, y))
    assert draws.weights.dtype == dtype
    assert draws.weights.shape[-1] == 7 > len(X)
    if coordinates == "columns":  # short trajectories do not get along them, and it is said
        assert row.status != Status.CONVERGED
        return
    assert row.status == Status.CONVERGED
    assert row.distance.mean < LIMIT
    # The tails are Student's with few degrees of freedom: errors of a spread are rough.
    assert 0.8 < row.distance.sd_ratio < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("fn", [markov.hmc, markov.nuts])
def test_logistic_weights_agree_with_quadrature(fn):
    data = simulated.sample(KEY, jnp.array([0.5, -1.5]), num_rows=30, family="bernoulli")
    known = belief(data.X, data.y, family="bernoulli")
    draws, info = fn(KEY, data.X, data.y, prior=known, family="bernoulli", num_draws=4000)
    assert draws.noise is None
    grid = np.stack(np.meshgrid(np.linspace(-6, 6, 481), np.linspace(-10, 6, 641)), axis=-1)
    X, y, root = (np.asarray(each, float) for each in (data.X, data.y, known.root))
    logits = grid @ X.T
    z = np.linalg.solve(root, grid.reshape(-1, 2).T).reshape(2, *grid.shape[:2])
    log_weights = (y * logits - np.logaddexp(0, logits)).sum(axis=-1) - (z**2).sum(axis=0) / 2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = (weights[..., None] * grid).sum(axis=(0, 1))
    sd = np.sqrt((weights[..., None] * (grid - mean) ** 2).sum(axis=(0, 1)))
    away = (np.asarray(draws.weights) - mean) / sd
    flat = away.reshape(-1, 2)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=LIMIT / np.sqrt(3000))
    np.testing.assert_allclose(flat.std(axis=0), 1, atol=LIMIT / np.sqrt(3000))
    assert info.status == Status.CONVERGED
