"""The models of posteriordb's posteriors, written for NumPyro from their description in words.

``<name>_of(data)`` binds a model to the data of its page. A flat prior is an improper uniform. Only
differences of log densities are compared, so that constants are free.
"""

import jax
import jax.numpy as jnp
import numpyro
from jax.tree_util import Partial
from numpyro import distributions as dist
from numpyro.distributions import constraints

from experiments import posterior
from mastery_jax.numerics.ode import fixed_step

STEPS_A_YEAR = 25  # of Runge and Kutta; the log density is then within 1e-7 nats of the limit


def flat(name, *shape, support=constraints.real):
    return numpyro.sample(name, dist.ImproperUniform(support, (), shape))


def ordered(name, *priors, support=constraints.ordered_vector):
    """Sample numbers that rise, each with a prior; what the order cuts off is a constant."""
    x = flat(name, len(priors), support=support)
    numpyro.factor(f"{name}_prior", sum(p.log_prob(x[i]) for i, p in enumerate(priors)))
    return x


def columns(data, *names):
    return [jnp.asarray(data[name], float) for name in names]


def schools_of(data):
    scale = jnp.asarray(5.0)
    return Partial(posterior.groups, *columns(data, "y", "sigma"), scale, scale)


def autoregression(y, lags):
    alpha = numpyro.sample("alpha", dist.Normal(0, 10))
    beta = numpyro.sample("beta", dist.Normal(0, 10).expand([lags.shape[1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y)


def autoregression_of(data):
    y, order = jnp.asarray(data["y"], float), data["K"]
    lags = jnp.stack([y[order - k : len(y) - k] for k in range(1, order + 1)], axis=1)
    return Partial(autoregression, y[order:], lags)


def garch(y, first_sd):
    mu = flat("mu")
    alpha0 = flat("alpha0", support=constraints.positive)
    alpha1 = numpyro.sample("alpha1", dist.Uniform(0, 1))
    beta1 = numpyro.sample("beta1", dist.Uniform(0, 1 - alpha1))
    numpyro.factor("flat", jnp.log1p(-alpha1))  # on the triangle, and not on each of its rows

    def move(variance, y):
        following = alpha0 + alpha1 * (y - mu) ** 2 + beta1 * variance
        return following, following

    _, later = jax.lax.scan(move, first_sd**2, y[:-1])
    sd = jnp.sqrt(jnp.concatenate([first_sd[None] ** 2, later]))
    numpyro.sample("y", dist.Normal(mu, sd), obs=y)


def garch_of(data):
    return Partial(garch, *columns(data, "y", "sigma1"))


def kids(X, y):
    beta = flat("beta", X.shape[1])
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("y", dist.Normal(X @ beta, sigma), obs=y)


def kids_of(data):
    score, school, iq = columns(data, "kid_score", "mom_hs", "mom_iq")
    return Partial(kids, jnp.stack([jnp.ones_like(iq), school, iq, school * iq], axis=1), score)


def linear(X, y):
    beta = numpyro.sample("beta", dist.Normal(0, 10).expand([X.shape[1]]).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(10))
    numpyro.sample("y", dist.Normal(X @ beta, sigma), obs=y)


def linear_of(data):
    return Partial(linear, *columns(data, "X", "y"))


def gaussian_process(x, y):
    rho = numpyro.sample("rho", dist.Gamma(25, 4))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    cov = alpha**2 * jnp.exp(-((x[:, None] - x[None]) ** 2) / (2 * rho**2))
    # The page adds sigma itself to the diagonal, as a variance.
    numpyro.sample("y", dist.MultivariateNormal(0, cov + sigma * jnp.eye(x.size)), obs=y)


def gaussian_process_of(data):
    return Partial(gaussian_process, *columns(data, "x", "y"))


def forward(log_emissions, *rows):
    """Add the log likelihood of a hidden chain of two states, whose first state weighs nothing."""
    log_transition = jnp.log(jnp.stack(rows))

    def move(log_alpha, log_emission):
        reached = jax.nn.logsumexp(log_alpha[:, None] + log_transition, axis=0)
        return reached + log_emission, None

    last, _ = jax.lax.scan(move, log_emissions[0], log_emissions[1:])
    numpyro.factor("y", jax.nn.logsumexp(last))


def hidden_normal(y):
    flat_row = dist.Dirichlet(jnp.ones(2))
    rows = [numpyro.sample(name, flat_row) for name in ("theta1", "theta2")]
    priors = dist.Normal(3, 1), dist.Normal(10, 1)
    mu = ordered("mu", *priors, support=constraints.positive_ordered_vector)
    forward(dist.Normal(mu, 1).log_prob(y[:, None]), *rows)


def hidden_normal_of(data):
    return Partial(hidden_normal, *columns(data, "y"))


def mixture(y):
    """Two normals; half of the prior's mass has mu in order, which a constant does not show."""
    mu = ordered("mu", dist.Normal(0, 2), dist.Normal(0, 2))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2).expand([2]).to_event(1))
    theta = numpyro.sample("theta", dist.Beta(5, 5))
    weights = jnp.log(jnp.stack([theta, 1 - theta]))
    each = dist.Normal(mu, sigma).log_prob(y[:, None]) + weights
    numpyro.factor("y", jax.nn.logsumexp(each, axis=1).sum())


def mixture_of(data):
    return Partial(mixture, *columns(data, "y"))


def flat_regression(X, y):
    beta = flat("beta", X.shape[1])
    sigma = flat("sigma", support=constraints.positive)
    numpyro.sample("y", dist.Normal(X @ beta, sigma), obs=y)


def mesquite_of(data):
    names = ("diam1", "diam2", "canopy_height", "total_height", "density")
    weight, group, *sizes = columns(data, "weight", "group", *names)
    X = jnp.stack([jnp.ones_like(group), *map(jnp.log, sizes), group], axis=1)
    return Partial(flat_regression, X, jnp.log(weight))


def earnings_of(data):
    earn, height = columns(data, "earn", "height")
    return Partial(
        flat_regression, jnp.stack([jnp.ones_like(height), height], axis=1), jnp.log(earn)
    )


def predation(theta, t, populations):
    prey, hunters = populations
    growth = jnp.stack([theta[0] - theta[1] * hunters, -theta[2] + theta[3] * prey])
    return growth * populations


def lotka_volterra(times, first, y):
    means, sds = jnp.array([1, 0.05, 1, 0.05]), jnp.array([0.5, 0.05, 0.5, 0.05])
    theta = numpyro.sample("theta", dist.TruncatedNormal(means, sds, low=0).to_event(1))
    z_init = numpyro.sample("z_init", dist.LogNormal(jnp.log(10), 1).expand([2]).to_event(1))
    sigma = numpyro.sample("sigma", dist.LogNormal(-1, 1).expand([2]).to_event(1))
    z, _ = fixed_step.solve(Partial(predation, theta), z_init, times, num_substeps=STEPS_A_YEAR)
    numpyro.sample("y_init", dist.LogNormal(jnp.log(z_init), sigma), obs=first)
    numpyro.sample("y", dist.LogNormal(jnp.log(z[1:]), sigma), obs=y)


def lotka_volterra_of(data):
    times, first, y = columns(data, "ts", "y_init", "y")
    return Partial(lotka_volterra, jnp.concatenate([jnp.zeros(1), times]), first, y)


def hidden_drives(u, v, counts):
    rows = [numpyro.sample(f"theta{k + 1}", dist.Dirichlet(counts[k])) for k in range(2)]
    priors, positive = (dist.Normal(0, 1), dist.Normal(3, 1)), constraints.positive_ordered_vector
    rates = [ordered(name, *priors, support=positive) for name in ("phi", "lambda")]
    seen = zip(rates, (u, v), strict=True)
    forward(sum(dist.Exponential(rate).log_prob(x[:, None]) for rate, x in seen), *rows)


def hidden_drives_of(data):
    return Partial(hidden_drives, *columns(data, "u", "v", "alpha"))
