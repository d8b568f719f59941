"""Leapfrog runs back and keeps its energy; a step of it is Langevin's; Barker is fair."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from mastery_jax.inference.mcmc import barker, elliptical_slice, hmc, mala
from tests.mcmc.targets import FACTOR, SIZES, SKEWED

POSITION = {"x": np.array([0.3, -0.8]), "y": np.array(0.5)}
MOMENTUM = np.array([0.7, -1.1, 0.4])
FACTORS = {"number": 0.7, "sizes": np.asarray(SIZES), "matrix": np.asarray(FACTOR)}


def in_double(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, float), tree)


def trajectory(factor, *, time, num_steps):
    start = hmc.Phase(hmc.init(in_double(POSITION), log_density=target()), in_double(MOMENTUM))
    options = {"log_density": target(), "num_steps": num_steps, "factor": in_double(factor)}
    return start, hmc.leapfrog(start, step_size=time / num_steps, **options), options


def target():
    return jax.tree.map(lambda x: x.astype(float), SKEWED)


def energy(phase):
    return phase.momentum @ phase.momentum / 2 - phase.state.log_density


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
def test_a_trajectory_runs_back(factor):
    with jax.enable_x64(True):
        start, end, options = trajectory(factor, time=2.0, num_steps=25)
        back = hmc.leapfrog(end._replace(momentum=-end.momentum), step_size=2.0 / 25, **options)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12),
            back,
            start._replace(momentum=-start.momentum),
        )
        again = hmc.leapfrog(end, step_size=-2.0 / 25, **options)
        np.testing.assert_allclose(again.momentum, start.momentum, atol=1e-12)


def test_a_trajectory_runs_back_in_single_precision():
    f = Partial(lambda x: -jnp.sum(x**2) / 2 - jnp.sum(x**4) / 4)
    start = hmc.Phase(hmc.init(jnp.array([0.3, -0.8]), log_density=f), jnp.array([0.7, -1.1]))
    options = {"log_density": f, "num_steps": 20}
    end = hmc.leapfrog(start, step_size=0.1, **options)
    back = hmc.leapfrog(end, step_size=-0.1, **options)
    np.testing.assert_allclose(back.state.position, start.state.position, atol=1e-6)
    np.testing.assert_allclose(back.momentum, start.momentum, atol=1e-6)


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
def test_the_error_of_the_energy_is_of_second_order(factor):
    with jax.enable_x64(True):
        errors = []
        for num_steps in (40, 80, 160, 320):
            start, end, _ = trajectory(factor, time=1.5, num_steps=num_steps)
            errors.append(abs(float(energy(end) - energy(start))))
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2, atol=0.1)


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
def test_one_step_is_langevins(factor):
    with jax.enable_x64(True):
        at = mala.init(in_double(POSITION), log_density=target())
        options = {"log_density": target(), "step_size": 0.9, "factor": in_double(factor)}
        num_accepted = 0
        for key in jax.random.split(jax.random.key(0), 20):
            moved, info = mala.step(key, at, **options)
            z = jax.random.normal(jax.random.split(key)[0], (3,), float)
            end = hmc.leapfrog(hmc.Phase(at, z), num_steps=1, **options)
            growth = energy(end) - energy(hmc.Phase(at, z))
            np.testing.assert_allclose(info.accept_prob, np.exp(min(0.0, -growth)), rtol=1e-12)
            expected = end.state if info.is_accepted else at
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), moved, expected)
            num_accepted += int(info.is_accepted)
        assert 0 < num_accepted < 20, "both ends were seen"


def test_the_mass_moves_as_it_says():
    """With M the inverse of L Lᵀ, x moves by ε M⁻¹ r, where r = L⁻ᵀ p is the momentum of x."""
    with jax.enable_x64(True):
        covariance = FACTOR.astype(float) @ FACTOR.astype(float).T
        mass = jnp.linalg.inv(covariance)
        x, eps = jnp.array([0.3, -0.8, 0.5]), 0.1

        def f(x):
            return SKEWED({"x": x[:2], "y": x[2]})

        p = in_double(MOMENTUM)
        r = jnp.linalg.solve(FACTOR.astype(float).T, p)
        half = r + eps / 2 * jax.grad(f)(x)
        expected = x + eps * jnp.linalg.solve(mass, half)
        start = hmc.Phase(hmc.init(x, log_density=Partial(f)), p)
        end = hmc.leapfrog(
            start,
            log_density=Partial(f),
            step_size=eps,
            num_steps=1,
            factor=FACTOR.astype(float),
        )
        np.testing.assert_allclose(end.state.position, expected, rtol=1e-9)


def test_barkers_acceptance_is_that_of_its_proposal():
    """The density of a jump w is 2 φ(w / ε) / (1 + exp(−w c)), with c the slope at its start."""

    def log_proposal(w, slope):
        return -0.5 * (w / 2.5) ** 2 - np.logaddexp(0, -w * slope)

    with jax.enable_x64(True):
        f = Partial(lambda x: jnp.sum(2 * x - jnp.exp(x)))
        at, seen = barker.init(jnp.array([1.7]), log_density=f), []
        for key in jax.random.split(jax.random.key(0), 40):
            moved, info = barker.step(key, at, log_density=f, step_size=2.5)
            if info.is_accepted:
                w = float(moved.position[0] - at.position[0])
                back = log_proposal(-w, float(moved.gradient[0]))
                ratio = moved.log_density - at.log_density + back
                ratio -= log_proposal(w, float(at.gradient[0]))
                seen.append(float(info.accept_prob))
                np.testing.assert_allclose(seen[-1], np.exp(min(0.0, float(ratio))), rtol=1e-10)
        assert min(seen) < 0.9, "some were uncertain"
        assert len(seen) > 10


def test_barkers_walk_bears_a_slope_that_throws_langevins():
    f = Partial(lambda x: -jnp.sum(x**4))
    for module, is_thrown in ((mala, True), (barker, False)):
        at = module.init(jnp.full(2, 30.0), log_density=f)
        infos = []
        for key in jax.random.split(jax.random.key(0), 30):
            at, info = module.step(key, at, log_density=f, step_size=0.5)
            infos.append(info)
        assert any(info.is_divergent for info in infos) is is_thrown
        assert bool((at.position == 30).all()) is is_thrown


def test_jitter_leaves_a_period():
    f = Partial(lambda x: -x @ x / 2)
    at = hmc.init(jnp.ones(1), log_density=f)
    steps = {"log_density": f, "step_size": 2 * np.pi / 64, "num_steps": 64}
    still, _ = hmc.step(jax.random.key(0), at, **steps)
    np.testing.assert_allclose(still.position, 1, atol=0.05)
    keys = jax.random.split(jax.random.key(0), 20)
    moved = jax.vmap(lambda key: hmc.step(key, at, jitter=0.5, **steps)[0].position)(keys)
    assert moved.std() > 0.3


@pytest.mark.parametrize("module", [hmc, mala, barker])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_nowhere_is_never_walked_to(module, value):
    f = Partial(lambda x: jnp.where(x.sum() > 0.1, value, -x @ x / 2))
    options = {"num_steps": 3} if module is hmc else {}
    at, num_refused = module.init(jnp.zeros(2), log_density=f), 0
    for key in jax.random.split(jax.random.key(0), 30):
        at, info = module.step(key, at, log_density=f, step_size=0.8, **options)
        num_refused += int(~info.is_accepted)
        assert jnp.isfinite(at.log_density)
    assert num_refused > 3


@pytest.mark.parametrize("module", [hmc, mala, barker])
def test_a_slope_without_bound_is_never_walked_to(module):
    """Downhill from there it would look like a slope that Barker's walk is sure to follow."""

    @jax.custom_jvp
    def flat(x):
        return 0 * x.sum()

    flat.defjvp(lambda at, move: (flat(*at), (jnp.where(at[0] < 0, jnp.inf, 0) * move[0]).sum()))
    options = {"num_steps": 3} if module is hmc else {}
    given = {"log_density": Partial(flat), "step_size": 3.0, **options}
    at = module.init(jnp.ones(1), log_density=Partial(flat))
    keys = jax.random.split(jax.random.key(0), 30)
    moved, info = jax.vmap(lambda key: module.step(key, at, **given))(keys)
    assert (moved.position >= 0).all()
    assert 0 < info.is_accepted.sum() < 30


def test_slices_that_find_nothing_stay():
    lost = Partial(lambda x: x.sum() * jnp.nan)
    at = elliptical_slice.init(jnp.ones(2), log_density=lost)
    moved, info = elliptical_slice.step(jax.random.key(0), at, log_density=lost, max_evals=7)
    assert (moved.position == 1).all()
    assert (int(info.num_evals), bool(info.is_accepted)) == (7, False)
    outside = Partial(lambda x: jnp.where(x[0] > 0, 0.0, -jnp.inf))
    at = elliptical_slice.init(jnp.array([-1.0, 0.0]), log_density=outside)
    for key in jax.random.split(jax.random.key(0), 9):
        at, _ = elliptical_slice.step(key, at, log_density=outside)
    assert at.position[0] > 0, "it finds its way into the support, and stays there"
