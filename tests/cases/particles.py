"""Particles: indices by exact fractions, and a filter whose particles move without chance."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.inference.filtering import particle, particle_smoother, resampling
from tests.contract import Case

rng = np.random.default_rng(0)
LOG_WEIGHTS = np.array([-0.3, -np.inf, 1.2, 0.4, -2.0, -np.inf])
NUM = 7
RATES = np.array([0.8, 0.3])
START = particle.State(
    particles=rng.normal(size=(5, 2)), log_weights=np.log(np.array([0.12, 0.33, 0.17, 0.26, 0.12]))
)
YS = rng.normal(size=(3, 1))
SEEN = np.array([[True], [False], [True]])


def fractions_of(key, num):
    """Return the draws in [0, 1) that ``resampling`` takes from a key, exact."""
    high, low = np.asarray(jax.random.bits(key, (2, num), jnp.uint32), object)
    return [
        Fraction(int(a) * 2**21 + int(b) // 2**11, 2**53) for a, b in zip(high, low, strict=True)
    ]


def cumulative(weights):
    return np.cumsum([Fraction(float(w)) for w in weights] + [Fraction(0)])[:-1]


def find(weights, shares):
    """Return the first index at which the cumulative share exceeds each of ``shares``."""
    sums = cumulative(weights)
    return [next(i for i, s in enumerate(sums) if s > u * sums[-1]) for u in shares]


def by_comb(key, log_weights, *, num):
    bits = np.asarray(jax.random.bits(key, (2,), jnp.uint32), object)
    shift = Fraction(int(bits[0]) * 2**21 + int(bits[1]) // 2**11, 2**53)
    return np.array(find(np.exp(log_weights), [(k + shift) / num for k in range(num)]))


def by_strata(key, log_weights, *, num):
    draws = fractions_of(key, num)
    return np.array(find(np.exp(log_weights), [(k + u) / num for k, u in enumerate(draws)]))


def by_residuals(key, log_weights, *, num):
    weights = np.exp(log_weights)
    shares = num * weights / weights.sum()
    copies = np.repeat(np.arange(len(shares)), np.floor(shares).astype(int))
    drawn = find(shares - np.floor(shares), fractions_of(key, num))
    return np.array([*copies, *drawn[len(copies) :]])


def by_chance(key, log_weights, *, num):
    return np.array(find(np.exp(log_weights), fractions_of(key, num)))


def turn(rates, key, x):
    """Move without chance, so that weights are all that is left to compute."""
    return jnp.stack([rates[0] * x[0] - rates[1] * x[1], rates[0] * x[1] + jnp.sin(x[0])])


def fit_of(rates, x, y, is_observed=None):
    return -(jnp.abs(y[0] - x[0] * x[1]) ** 2) / rates[0]


def jitter(rates, key, x):
    return x * rates[0] + rates[1] * jax.random.normal(key, x.shape, x.dtype)


def log_jitter(rates, later, x):
    return -(((later - rates[0] * x) / rates[1]) ** 2).sum() / 2


def aim(rates, key, x, y):
    return x * rates[0] + y + jax.random.normal(key, x.shape, x.dtype)


def log_aim(rates, later, x, y):
    return -((later - rates[0] * x - y) ** 2).sum() / 2


CERTAIN = particle.Model(Partial(turn, RATES), Partial(fit_of, RATES))
NOISY = particle.Model(Partial(jitter, RATES), Partial(fit_of, RATES), Partial(log_jitter, RATES))
AIMED = particle.Proposal(Partial(aim, RATES), Partial(log_aim, RATES))


def one_step(particles, weights, y, seen):
    """Return particles and weights after a step, and Σ w p(y | x)."""
    a, b = RATES
    x, z = particles.T
    particles = np.stack([a * x - b * z, a * z + np.sin(x)], axis=1)
    fit = np.exp(-((y[0] - particles[:, 0] * particles[:, 1]) ** 2) / a) if seen else 1.0
    total = (weights * fit).sum()
    return particles, weights * fit / total, total


def weigh(key, state, y, *, model, ess_fraction):
    particles, weights, total = one_step(state.particles, np.exp(state.log_weights), y, True)
    info = particle.Info(np.log(total), 1 / (weights**2).sum(), np.array(False))
    return particle.State(particles, np.log(weights)), info


def weigh_along(key, state, ys, *, model, ess_fraction, is_observed, keep_particles):
    particles, weights, rows = state.particles, np.exp(state.log_weights), []
    for y, seen in zip(ys, is_observed, strict=True):
        particles, weights, total = one_step(particles, weights, y, seen[0])
        cov = np.cov(particles.T, aweights=weights, ddof=0)
        beliefs = particle.Beliefs(weights @ particles, cov, particles, np.log(weights))
        info = particle.Info(np.log(total), 1 / (weights**2).sum(), np.array(False))
        rows.append((beliefs, info))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


CLOUD = particle.Beliefs(
    mean=rng.normal(size=(3, 2)),
    cov=np.ones((3, 1, 1)) * np.eye(2),
    particles=rng.normal(size=(3, 5, 2)),
    log_weights=np.log(rng.dirichlet(np.ones(5), size=3)),
)

CASES = (
    Case(
        "resampling.effective_size",
        resampling.effective_size,
        (LOG_WEIGHTS[np.isfinite(LOG_WEIGHTS)],),
        oracle=lambda x: np.exp(x).sum() ** 2 / np.exp(2 * x).sum(),
    ),
    *(
        Case(
            f"resampling.{scheme}",
            getattr(resampling, scheme),
            (jax.random.key(1), LOG_WEIGHTS),
            static={"num": NUM},
            oracle=oracle,
        )
        for scheme, oracle in (
            ("systematic", by_comb),
            ("stratified", by_strata),
            ("residual", by_residuals),
            ("multinomial", by_chance),
        )
    ),
    Case(
        "particle.init",
        particle.init,
        (START.particles,),
        oracle=lambda particles: (particles, np.full(5, -np.log(5))),
    ),
    Case(
        "particle.step",
        particle.step,
        (jax.random.key(0), START, YS[0]),
        {"model": CERTAIN, "ess_fraction": np.float64(0)},
        oracle=weigh,
    ),
    Case(
        "particle.step by a proposal",
        particle.step,
        (jax.random.key(0), START, YS[0]),
        {"model": NOISY, "proposal": AIMED, "ess_fraction": np.float64(2)},
        {"scheme": "residual"},
    ),
    Case(
        "particle.filter",
        particle.filter,
        (jax.random.key(0), START, YS),
        {"model": CERTAIN, "ess_fraction": np.float64(0), "is_observed": SEEN},
        {"keep_particles": True},
        oracle=weigh_along,
    ),
    Case(
        "particle.filter drawing anew",
        particle.filter,
        (jax.random.key(0), START, YS),
        {"model": NOISY, "ess_fraction": np.float64(2)},
        {"scheme": "stratified"},
    ),
    Case(
        "particle_smoother.sample",
        particle_smoother.sample,
        (jax.random.key(0), CLOUD),
        {"model": NOISY},
        {"num_paths": 4},
    ),
)
