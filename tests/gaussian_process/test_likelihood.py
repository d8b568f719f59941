"""The marginal likelihood and its slopes are those of scikit-learn, and its maximum is one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as theirs

from mastery_jax.core.status import Status
from mastery_jax.probability.gaussian_process import hyperparameters, kernels, marginal_likelihood

rng = np.random.default_rng(3)
X, y = rng.uniform(-2, 2, (9, 2)), rng.normal(size=9)

PAIRS = {
    "rbf": (kernels.RBF(np.array([0.8, 1.5])), theirs.RBF([0.8, 1.5])),
    "matern12": (kernels.Matern12(0.9), theirs.Matern(0.9, nu=0.5)),
    "matern32": (kernels.Matern32(np.array([0.7, 1.2])), theirs.Matern([0.7, 1.2], nu=1.5)),
    "matern52": (kernels.Matern52(1.1), theirs.Matern(1.1, nu=2.5)),
    "sum": (
        kernels.Sum((kernels.RBF(0.6), kernels.Matern32(1.7))),
        theirs.RBF(0.6) + theirs.Matern(1.7, nu=1.5),
    ),
    "product": (
        kernels.Product((kernels.Constant(1.3), kernels.RBF(0.6), kernels.Matern52(2.0))),
        theirs.ConstantKernel(1.3) * theirs.RBF(0.6) * theirs.Matern(2.0, nu=2.5),
    ),
}


def of_sklearn(kernel, X, y, noise):
    """Return the log likelihood and its slope in the logarithm of every hyperparameter."""
    kernel = kernel + theirs.WhiteKernel(noise)
    model = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(X, y)
    return model.log_marginal_likelihood(kernel.theta, eval_gradient=True)


def of_ours(kernel, X, y, noise):
    kernel = kernels.Sum((kernel, kernels.White(noise)))
    kernel = jax.tree.map(lambda leaf: jnp.asarray(leaf, X.dtype), kernel)
    value, slope = jax.value_and_grad(marginal_likelihood.log_prob)(
        kernel, jnp.asarray(X), jnp.asarray(y)
    )
    logs = jax.tree.map(lambda leaf, s: jnp.atleast_1d(leaf * s), kernel, slope)
    return value, np.concatenate(jax.tree.leaves(logs))


@pytest.mark.parametrize("name", PAIRS)
def test_value_and_slope_are_those_of_sklearn(name):
    ours, sklearn = PAIRS[name]
    with jax.enable_x64(True):
        value, slope = of_ours(ours, X, y, 0.3)
    expected, their_slope = of_sklearn(sklearn, X, y, 0.3)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    np.testing.assert_allclose(slope, their_slope, rtol=1e-8, atol=1e-8)


def test_periodic_on_a_line_is_that_of_sklearn():
    with jax.enable_x64(True):
        value, slope = of_ours(kernels.Periodic(period=1.9, lengthscale=1.2), X[:, :1], y, 0.3)
    sklearn = theirs.ExpSineSquared(length_scale=1.2, periodicity=1.9)
    expected, their_slope = of_sklearn(sklearn, X[:, :1], y, 0.3)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    np.testing.assert_allclose(slope[[1, 0, 2]], their_slope, rtol=1e-8, atol=1e-8)


def test_linear_is_that_of_sklearn():
    """Its DotProduct has variance 1, and a constant that is added: sigma_0²."""
    both = kernels.Sum((kernels.Linear(1.0), kernels.Constant(0.49)))
    with jax.enable_x64(True):
        value, slope = of_ours(both, X, y, 0.3)
    expected, their_slope = of_sklearn(theirs.DotProduct(sigma_0=0.7), X, y, 0.3)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    # d/d log sigma_0 is twice d/d log sigma_0²
    np.testing.assert_allclose([2 * slope[1], slope[2]], their_slope, rtol=1e-8, atol=1e-8)


def test_rows_that_fill_up_change_nothing():
    kernel = kernels.RBF(0.8)
    with jax.enable_x64(True):
        alone = marginal_likelihood.log_prob(kernel, X, y, noise=0.2, mean=0.4)
        filled = marginal_likelihood.log_prob(
            kernel,
            np.vstack([X[:4], np.full((3, 2), np.inf), X[4:]]),
            np.concatenate([y[:4], [np.nan] * 3, y[4:]]),
            noise=0.2,
            mean=0.4,
            is_observed=np.array([True] * 4 + [False] * 3 + [True] * 5),
        )
    np.testing.assert_allclose(filled, alone, rtol=1e-12)


def test_what_is_not_positive_definite_is_nan():
    twice = jnp.zeros((2, 1))
    assert jnp.isnan(marginal_likelihood.log_prob(kernels.RBF(1.0), twice, jnp.ones(2)))
    _, info = marginal_likelihood.maximize(
        jax.random.key(0), kernels.RBF(1.0), twice, jnp.ones(2), num_starts=2
    )
    assert info.status == Status.NOT_FINITE
    assert not info.is_done


@pytest.mark.slow
def test_maximum_is_flat_inside_and_no_worse_than_sklearns():
    values = np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=9)
    start = kernels.Sum((kernels.RBF(1.0), kernels.White(0.1)))
    with jax.enable_x64(True):
        kernel, info = marginal_likelihood.maximize(
            jax.random.key(0), start, X, values, lower=1e-3, upper=1e2, num_starts=4
        )
        slope = of_ours(kernel.parts[0], X, values, kernel.parts[1].variance)[1]
    model = GaussianProcessRegressor(
        theirs.RBF(1.0, (1e-3, 1e2)) + theirs.WhiteKernel(0.1, (1e-3, 1e2)),
        alpha=0.0,
        n_restarts_optimizer=3,
        random_state=0,
    ).fit(X, values)
    found = np.array([float(leaf) for leaf in jax.tree.leaves(kernel)])
    is_inside = (found > 1.01e-3) & (found < 99)
    assert float(info.log_prob) > model.log_marginal_likelihood_value_ - 1e-6
    np.testing.assert_allclose(np.asarray(slope)[is_inside], 0, atol=1e-3)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"marginal_likelihood.maximize: num_starts is 0, not at"):
        marginal_likelihood.maximize(
            jax.random.key(0), kernels.RBF(1.0), jnp.zeros((2, 1)), jnp.zeros(2), num_starts=0
        )
    with pytest.raises(ValueError, match=r"a hyperparameter has shape \[3\], neither \[\] nor"):
        kernels.gram(kernels.RBF(jnp.ones(3)), jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="a kernel is tuple, not one of this module"):
        kernels.gram.__wrapped__((1.0,), jnp.zeros((2, 2)))


def test_rows_that_are_not_observed_may_hold_anything():
    X, y = jnp.array([[0.0], [1.0], [jnp.nan]]), jnp.array([0.0, 1.0, jnp.nan])
    seen = jnp.array([True, True, False])

    def both(length, size):
        options = {"noise": 0.1, "is_observed": seen[:size]}
        return marginal_likelihood.log_prob(kernels.RBF(length), X[:size], y[:size], **options)

    for of in (both, jax.grad(both)):
        np.testing.assert_allclose(of(1.0, 3), of(1.0, 2), rtol=1e-5)


@pytest.mark.slow
def test_a_start_has_the_scale_that_makes_the_values_likeliest():
    """Searching for a factor of all variances from there gains nothing."""
    with jax.enable_x64(True):
        start = kernels.Sum((kernels.Product((kernels.Constant(1e4), kernels.RBF(0.7))),) * 2)
        start = kernels.Sum((start, kernels.White(3e3)))
        space = hyperparameters.make("here", start, 1e-9, 1e9, jnp.zeros(()).dtype)
        along = hyperparameters.scaling(start, jnp.zeros(()).dtype)
        fn = Partial(marginal_likelihood._loss, None, start, space, X, y, 0.0, 0.0, None)
        (logs,) = marginal_likelihood._starts(jax.random.key(0), fn, 1, 1)
        slope, curvature = (g(lambda s: fn(logs + s * along))(0.0) for g in (jax.grad, hessian))
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    np.testing.assert_allclose(curvature, len(y) / 2, rtol=1e-9)


def hessian(fn):
    return jax.grad(jax.grad(fn))


@pytest.mark.parametrize(
    ("kernel", "wanted"),
    [
        (kernels.Product((kernels.RBF(1.0), kernels.Constant(1.0), kernels.White(1.0))), [0, 1, 0]),
        (kernels.Sum((kernels.Linear(np.ones(2)), kernels.White(1.0))), [1, 1, 1]),
        (kernels.Sum((kernels.RBF(1.0), kernels.White(1.0))), [0, 0]),
        (kernels.Product((kernels.RBF(1.0), kernels.Matern12(1.0))), [0, 0]),
    ],
)
def test_which_variances_scale_a_kernel(kernel, wanted):
    along = hyperparameters.scaling(kernel, jnp.zeros(()).dtype)
    assert along.tolist() == wanted
    if any(wanted):
        logs, back = ravel_pytree(jax.tree.map(jnp.asarray, kernel))
        doubled = back(logs * 2**along)
        inputs = jnp.asarray(X, along.dtype)
        twice = 2 * kernels.gram(kernel, inputs)
        np.testing.assert_allclose(kernels.gram(doubled, inputs), twice, rtol=1e-6)


def learn(kernel, **options):
    options = {"noise": 0.1, "num_starts": 2, "max_steps": 40} | options
    inputs, values = jnp.asarray(X, jnp.zeros(()).dtype), jnp.asarray(y, jnp.zeros(()).dtype)
    return marginal_likelihood.maximize(jax.random.key(0), kernel, inputs, values, **options)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (kernels.RBF(1.0), {"lower": -1.0}),
        (kernels.RBF(1.0), {"lower": 2.0, "upper": 1.0}),
        (kernels.RBF(1.0), {"noise": -0.1}),
        (kernels.RBF(-1.0), {}),
        (kernels.RBF(1.0), {"lower": jnp.nan}),
    ],
)
def test_what_is_not_positive_is_bad_input_and_the_kernel_comes_back(kernel, options):
    found, info = learn(kernel, **options)
    assert info.status == Status.BAD_INPUT
    assert not info.is_done
    assert found.lengthscale == kernel.lengthscale


def test_what_is_no_hyperparameter_is_named():
    def bump(index, scale, x, z, is_same):
        return scale * x[..., 0] * z[..., 0]

    with pytest.raises(
        ValueError, match=r"maximize: kernel holds int32\[3\], and a hyperparameter"
    ):
        learn(Partial(bump, jnp.arange(3), 1.0))
    with pytest.raises(
        ValueError, match="maximize: lower is RBF, neither a number nor a kernel of"
    ):
        learn(kernels.Sum((kernels.RBF(1.0), kernels.White(0.1))), lower=kernels.RBF(1e-3))


def test_a_bound_that_stops_a_search_is_said_and_one_that_holds_is_not():
    infinite = kernels.RBF(jnp.array([1.0, jnp.inf]))
    low, high = infinite._replace(lengthscale=jnp.array([1e-3, jnp.inf])), infinite
    kernel, info = learn(
        kernels.Sum((infinite, kernels.White(0.1))),
        lower=kernels.Sum((low, kernels.White(2.0))),
        upper=kernels.Sum((high._replace(lengthscale=low.lengthscale * 1e6), kernels.White(9.0))),
    )
    smooth, white = info.is_at_bound.parts
    assert kernel.parts[0].lengthscale[1] == jnp.inf
    assert info.status in (Status.CONVERGED, Status.STALLED)
    assert white.variance  # the values have variance 1, and the bound is 2
    assert kernel.parts[1].variance == pytest.approx(2.0)
    assert not smooth.lengthscale[1]


def test_a_negative_noise_has_no_likelihood():
    assert jnp.isnan(marginal_likelihood.log_prob(kernels.RBF(1.0), X, y, noise=-1e-3))
