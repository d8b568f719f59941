"""The bound is below the evidence, and comes up to it where the guide can follow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from experiments import posterior
from mastery_jax.core.status import Status
from mastery_jax.inference.mcmc import unconstrained
from mastery_jax.inference.vi import elbo, fit, flow_guide, full_rank, low_rank, mean_field, trust
from mastery_jax.probability.flows import affine_coupling, planar
from tests.test_nuts import count_compiles as counting
from tests.vi.posteriors import (
    COV,
    KEY,
    LOG_EVIDENCE,
    MEAN,
    NORMAL,
    ORIGIN,
    adam,
    numbers,
    settling,
)

count_compiles = counting  # a fixture

pytestmark = pytest.mark.engine  # optax mixes integers and floats


@pytest.mark.parametrize(
    ("guide", "start"),
    [(full_rank, full_rank.init(ORIGIN)), (low_rank, low_rank.init(KEY, ORIGIN, rank=1))],
)
def test_a_guide_that_holds_the_posterior_finds_it(guide, start):
    params, info = fit.fit(
        KEY, start, guide=guide, log_density=NORMAL, rule=settling(0.05, 2000), num_steps=2000
    )
    assert info.is_done
    value, error = elbo.estimate(KEY, params, guide=guide, log_density=NORMAL)
    np.testing.assert_allclose(numbers(params.mean), MEAN, atol=1e-2)
    np.testing.assert_allclose(value, LOG_EVIDENCE, atol=1e-3)
    assert error < 1e-3  # the landing: nothing is left to vary


def test_mean_field_is_each_number_given_the_others():
    rule = settling(0.05, 2000)
    start = mean_field.init(ORIGIN)
    params, _ = fit.fit(KEY, start, guide=mean_field, log_density=NORMAL, rule=rule)
    conditional = 1 / np.sqrt(np.diag(np.linalg.inv(COV)))
    np.testing.assert_allclose(np.exp(params.log_scale), conditional, rtol=0.05)
    exact = 1.5 * np.log(2 * np.pi) + np.log(conditional).sum()
    value, error = elbo.estimate(KEY, params, guide=mean_field, log_density=NORMAL)
    assert exact - 0.01 - 5 * error < value < exact + 5 * error


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean_field", "flow"])
def test_the_bound_of_the_eight_schools_is_below_their_evidence(kind):
    effect = jnp.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    error = jnp.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    model = Partial(posterior.groups, effect, error, jnp.array(5.0), jnp.array(5.0))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        density = unconstrained.from_numpyro(model).log_density
        start = unconstrained.start(KEY, model=model, num_chains=1)
        start = jax.tree.map(lambda leaf: 0 * leaf[0], start)
        guide, params = mean_field, mean_field.init(start)
        if kind == "flow":
            init = lambda key: affine_coupling.init(key, dim=10, widths=(8,))  # noqa: E731
            guide = flow_guide.Guide((affine_coupling,))
            params = flow_guide.init(start, (jax.vmap(init)(jax.random.split(KEY, 2)),), scale=0.5)
        rule = settling(0.02, 1000)
        params, info = fit.fit(
            KEY, params, guide=guide, log_density=density, rule=rule, num_steps=1000
        )
        report = trust.assess(KEY, params, guide=guide, log_density=density, num_draws=4000)
    assert info.status in (Status.CONVERGED, Status.OUT_OF_STEPS)
    assert report.elbo - 5 * report.elbo_error < -31.31135  # its log evidence, by quadrature
    assert report.elbo > -31.31135 - {"mean_field": 0.7, "flow": 0.3}[kind]
    np.testing.assert_allclose(report.log_evidence, -31.31135, atol=0.1)


def _prior(w):
    return -(w**2).sum() / 2


def _row(w, row):
    x, y = row
    return -((y - x @ w) ** 2) / 2


def regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)).astype(np.float32)
    y = (X @ [1.0, -1.0] + rng.normal(size=200)).astype(np.float32)
    cov = np.linalg.inv(X.T @ X + np.eye(2))
    return fit.Rows(Partial(_row), (jnp.asarray(X), jnp.asarray(y))), cov @ X.T @ y, cov


def test_batches_lead_where_all_rows_do():
    rows, mean, cov = regression()
    params, _ = fit.fit(
        KEY,
        full_rank.init(jnp.zeros(2)),
        guide=full_rank,
        log_density=Partial(_prior),
        rule=settling(0.05, 2000),
        rows=rows,
        batch_size=20,
    )
    np.testing.assert_allclose(params.mean, mean, atol=0.02)
    factor = full_rank.factor(params)
    np.testing.assert_allclose(factor @ factor.T, cov, atol=0.1 * cov.max())


def test_a_batch_is_unbiased():
    """The mean over many batches is the sum over all rows, within five standard errors."""
    rows, mean, _ = regression()
    w = jnp.asarray(mean) + 0.3
    X, y = rows.data
    whole = _prior(w) - ((y - X @ w) ** 2).sum() / 2

    def one(key):
        return fit._batched(Partial(_prior), *fit._batch(key, rows, 20), w)

    each = jax.vmap(one)(jax.random.split(KEY, 2000))
    assert abs(each.mean() - whole) < 5 * each.std() / 2000**0.5


def test_leaving_out_what_has_mean_zero_changes_the_noise_alone():
    params = full_rank.from_factor(
        {"a": jnp.asarray(MEAN[:2]), "b": jnp.asarray(MEAN[2])}, jnp.linalg.cholesky(COV)
    )

    def slope(key, is_stuck):
        def bound(params):
            options = {"log_density": NORMAL, "num_draws": 1, "is_stuck": is_stuck}
            return elbo.gains(key, params, guide=full_rank, **options)[1].mean()

        return jax.grad(bound)(params).log_factor

    keys = jax.random.split(KEY, 2000)
    stuck, plain = (jax.vmap(lambda k, s=s: slope(k, s))(keys) for s in (True, False))
    assert jnp.abs(stuck).max() < 1e-4  # at the posterior itself
    error = np.asarray(plain.std(axis=0)) / 2000**0.5
    assert (np.abs(plain.mean(axis=0)) <= 5 * error + 1e-6).all()
    assert error.max() > 0.01


def test_the_bound_is_of_the_draws_where_the_way_back_has_lost_its_digits():
    flat = planar.Params(u=jnp.array([[-14.0, 0.0]]), w=jnp.ones((1, 2)), b=jnp.zeros(1))
    params = flow_guide.init(jnp.zeros(2), (flat,), scale=1.0)
    bell = Partial(lambda x: -(x**2).sum() / 2)
    options = {"guide": flow_guide.Guide((planar,)), "log_density": bell, "num_draws": 50}
    stuck, plain = (elbo.gains(KEY, params, is_stuck=s, **options) for s in (True, False))
    np.testing.assert_allclose(stuck[1], plain[1], rtol=1e-5)
    back = jax.vmap(lambda x: options["guide"].log_prob(params, x))(stuck[0])
    assert jnp.abs(jax.vmap(bell)(stuck[0]) - back - plain[1]).max() > 1e-3


def test_a_climb_that_went_down_says_so():
    down = Partial(optax.sgd, learning_rate=-1e-3)
    _, info = fit.fit(KEY, mean_field.init(ORIGIN), guide=mean_field, log_density=NORMAL, rule=down)
    assert info.status == Status.DIVERGED


def test_a_climb_that_is_not_over_says_so():
    start = mean_field.init(ORIGIN)
    _, info = fit.fit(KEY, start, guide=mean_field, log_density=NORMAL, rule=adam(1e-4))
    assert info.status == Status.OUT_OF_STEPS
    assert info.gain > 0


def _cliff(x):
    return jnp.where(x["b"] > 0.3, jnp.nan, -jnp.square(x["b"] - 1))


def test_steps_that_are_lost_are_counted_and_not_taken():
    """Half of the draws meet NaN: the parameters stay finite, and the status tells."""
    start = mean_field.init(ORIGIN)
    params, info = fit.fit(
        KEY, start, guide=mean_field, log_density=Partial(_cliff), rule=adam(0.05), num_steps=400
    )
    assert info.status == Status.NOT_FINITE
    assert 0 < info.steps.is_lost.sum() <= 400
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_a_density_that_is_nowhere_positive_is_not_finite():
    nowhere = Partial(lambda x: -jnp.inf + 0 * x["b"])
    start = mean_field.init(ORIGIN)
    params, info = fit.fit(KEY, start, guide=mean_field, log_density=nowhere, rule=adam(0.1))
    assert info.status == Status.NOT_FINITE
    np.testing.assert_array_equal(params.log_scale, start.log_scale)
    value, _ = elbo.estimate(KEY, start, guide=mean_field, log_density=nowhere)
    assert value == -jnp.inf


def _shifted(center, x):
    return -((x - center) ** 2).sum() / 2


def test_other_data_compiles_nothing(count_compiles):
    def run(center):
        density = Partial(_shifted, jnp.full(2, center))
        start = mean_field.init(jnp.zeros(2))
        return fit.fit(
            KEY, start, guide=mean_field, log_density=density, rule=adam(0.1), num_steps=400
        )[0].mean

    run(1.0)
    count_compiles()
    np.testing.assert_allclose(run(2.0), 2, atol=0.05)
    assert count_compiles() == 0


def test_many_posteriors_are_climbed_at_once():
    def one(center):
        density = Partial(_shifted, center)
        start = mean_field.init(jnp.zeros(2))
        return fit.fit(
            KEY, start, guide=mean_field, log_density=density, rule=adam(0.1), num_steps=400
        )[0].mean

    centers = jnp.array([[0.0, 1.0], [3.0, -2.0]])
    np.testing.assert_allclose(jax.vmap(one)(centers), centers, atol=0.05)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_steps": 4}, "num_steps is 4, not at least 8"),
        ({"num_draws": 0}, "num_draws is 0, not at least 1"),
        ({"batch_size": 5}, "batch_size is 5, not 0 without rows"),
        ({"rows": regression()[0]}, "batch_size is 0, not at least 1"),
        ({"log_density": Partial(lambda x: x)}, r"log_density has shape \(2,\), not of a scalar"),
    ],
)
def test_what_cannot_be_climbed_is_refused(options, said):
    given = {"log_density": Partial(_prior), "rule": adam(0.1), "guide": mean_field} | options
    with pytest.raises(ValueError, match=said):
        fit.fit(KEY, mean_field.init(jnp.zeros(2)), **given)


def test_a_step_refuses_what_a_climb_does():
    given = {"guide": mean_field, "log_density": Partial(_prior), "rule": adam(0.1)}
    rows, none = regression()[0], regression()[0]._replace(data=jnp.zeros(0))
    start = fit.init(mean_field.init(jnp.zeros(2)), rule=given["rule"])
    with pytest.raises(ValueError, match=r"^fit.step: batch_size is 0, not at least 1"):
        fit.step(KEY, start, rows=rows, **given)
    with pytest.raises(ValueError, match=r"^fit.step: rows have data of no rows"):
        fit.step(KEY, start, rows=none, batch_size=3, **given)


def test_too_few_draws_are_refused():
    given = {"guide": mean_field, "log_density": Partial(_prior)}
    with pytest.raises(ValueError, match=r"^elbo.estimate: num_draws is 1, not at least 2"):
        elbo.estimate(KEY, mean_field.init(jnp.zeros(2)), num_draws=1, **given)
