import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.tree_util import Partial
from numpyro import distributions as dist
from scipy import stats

from mastery_jax.inference.mcmc import diagnostics, nuts, unconstrained, warmup
from tests.cases import filtering
from tests.contract import Case

rng = np.random.default_rng(0)


def log_gammas(shapes, x):
    """Log of gamma variables: skewed, one number of ``x`` for each of ``shapes``."""
    return jnp.sum(shapes * x - jnp.exp(x), axis=0)


shapes, position = np.array([2.0, 3.0]), np.array([0.4, 1.3])
value, slope = (shapes * position - np.exp(position)).sum(), shapes - np.exp(position)


def tuning(step_size, num_seen):
    """Return a warm-up that has seen ``num_seen`` draws, of mean ``position``, in its window."""
    ones = np.ones(2)
    return warmup.State(
        step_size=np.asarray(step_size),
        inverse_mass=ones,
        mass_root=ones,
        inverse_mass_root=ones,
        averaging=warmup.Averaging(
            log_step=np.array(0.0),
            log_step_mean=np.array(0.0),
            shortfall=np.array(0.0),
            num_seen=np.int32(num_seen),
            center=np.log(10 * step_size),
        ),
        moments=warmup.Moments(
            mean=position * (num_seen > 0), products=0 * ones, num_seen=np.int32(num_seen)
        ),
        window=np.int32(min(num_seen, 1)),
    )


def state(step_size, num_seen):
    return nuts.State(
        position=position,
        gradient=slope,
        log_density=value,
        num_steps=np.int32(num_seen),
        tuning=tuning(step_size, num_seen),
    )


def sample_history(*args, **options):
    return {"history": nuts.sample(*args, **options)}  # a dict: the draws are no next state


def normal_and_its_scale(y):
    scale = numpyro.sample("scale", dist.HalfNormal(2.0))
    mean = numpyro.sample("mean", dist.Normal(0.0, scale))
    numpyro.sample("y", dist.Normal(mean, scale), obs=y)


def rank_scores(x):
    """Return the normal scores of average ranks."""
    ranks = stats.rankdata(x).reshape(x.shape)
    return stats.norm.ppf((ranks - 3 / 8) / (x.size + 1 / 4))


def halves(x):
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, x.shape[1] - half :]])


def variances(x):
    n = x.shape[1]
    within = np.mean([np.sum((c - c.mean()) ** 2) / (n - 1) for c in x])
    return within, within * (n - 1) / n + np.var([c.mean() for c in x], ddof=1)


def plain_ess(x):
    """Sum autocorrelations, lag by lag, up to Geyer's initial monotone sequence."""
    n, (within, total) = x.shape[1], variances(x)

    def rho(lag):
        covs = [np.sum((c - c.mean())[: n - lag] * (c - c.mean())[lag:]) / n for c in x]
        return 1 - (within - np.mean(covs)) / total if lag else 1.0

    tau, lag, pair = -1.0, 0, np.inf
    while lag < n - 4 and rho(lag) + rho(lag + 1) > 0:
        pair = min(pair, rho(lag) + rho(lag + 1))
        tau += 2 * pair
        lag += 2
    tau += max(rho(lag), 0)
    return x.size / max(tau, 1 / np.log10(x.size))


def tail_ess(x):
    return min(plain_ess(halves(1.0 * (x <= np.quantile(x, p)))) for p in (0.05, 0.95))


def plain_rhat(x):
    within, total = variances(rank_scores(x))
    return np.sqrt(total / within)


def slow_rhat(x):
    x = halves(x)
    return max(plain_rhat(x), plain_rhat(np.abs(x - np.median(x))))


def of_each(fn):
    return lambda draws, **_: np.array([fn(draws[..., i]) for i in range(draws.shape[-1])])


noise = rng.normal(size=(3, 45, 3))
draws = np.stack([noise[..., 0], noise[..., 1].cumsum(axis=1), np.round(noise[..., 2], 1)], axis=-1)
RANKS = "ranks and cut-offs are steps: their slope is zero or a jump"

CASES = (
    *filtering.CASES,
    Case(
        "nuts.init",
        nuts.init,
        (position,),
        {"log_density": Partial(log_gammas, shapes), "step_size": 0.5},
        oracle=lambda position, **_: state(0.5, 0),
        engine=True,
        because="NumPyro mixes integers and floats",
    ),
    Case(
        "nuts.step",
        nuts.step,
        (jax.random.key(0), state(0.5, 20)),
        {"log_density": Partial(log_gammas, shapes), "target_accept": 0.8},
        {"num_warmup": 100, "max_tree_depth": 4},
        modes=(),
        engine=True,
        because="accepting is a jump; NumPyro mixes integers and floats",
    ),
    Case(
        "nuts.sample",
        sample_history,
        (jax.random.key(0), np.stack([position, -position])),
        {"log_density": Partial(log_gammas, shapes), "target_accept": 0.8, "step_size": 0.5},
        {"num_warmup": 2, "num_samples": 2, "max_tree_depth": 4},
        modes=(),
        engine=True,
        because="accepting is a jump; NumPyro mixes integers and floats",
    ),
    Case(
        "unconstrained.start",
        unconstrained.start,
        (jax.random.key(0),),
        {"model": Partial(normal_and_its_scale, position)},
        {"num_chains": 3},
        modes=(),
        engine=True,
        because="a start does not depend on the data; NumPyro mixes integers and floats",
    ),
    Case(
        "diagnostics.ess(bulk)",
        diagnostics.ess,
        (draws,),
        oracle=of_each(lambda x: plain_ess(rank_scores(halves(x)))),
        modes=(),
        because=RANKS,
    ),
    Case(
        "diagnostics.ess(tail)",
        diagnostics.ess,
        (draws,),
        static={"kind": "tail"},
        oracle=of_each(tail_ess),
        modes=(),
        because=RANKS,
    ),
    Case(
        "diagnostics.ess(mean)",
        diagnostics.ess,
        (draws,),
        static={"kind": "mean"},
        oracle=of_each(lambda x: plain_ess(halves(x))),
    ),
    Case(
        "diagnostics.rhat",
        diagnostics.rhat,
        (draws,),
        oracle=of_each(slow_rhat),
        modes=(),
        because=RANKS,
    ),
    Case(
        "diagnostics.mcse",
        diagnostics.mcse,
        (draws,),
        oracle=of_each(lambda x: x.std(ddof=1) / np.sqrt(plain_ess(halves(x)))),
    ),
    Case(
        "diagnostics.bfmi",
        diagnostics.bfmi,
        (noise[..., 0],),
        oracle=lambda energy: np.array(
            [np.sum(np.diff(e) ** 2) / np.sum((e - e.mean()) ** 2) for e in energy]
        ),
    ),
)
