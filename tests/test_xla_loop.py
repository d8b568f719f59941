"""The launch setting that makes small loops fast still does its work, seen in the compiled text.

XLA compiles a whole loop into one kernel when it moves the loop into a call that carries the
attribute ``xla_cpu_small_call``. A release of jaxlib that drops the setting, or a LAPACK call or
a dot that slips into the filter's step, fails here and not first in a benchmark.
"""

import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.tree_util import Partial

from mastery_jax.inference.filtering import kalman, rts
from mastery_jax.numerics.quadrature import gauss_kronrod
from mastery_jax.workflow import launch

STEPS, STATE, OBS = 50, 4, 2
CALL = re.compile(r"call\(.*to_apply=(%[\w.\-]+).*xla_cpu_small_call=\"true\"")


def filtered():
    model = kalman.Model(
        transition=0.9 * jnp.eye(STATE),
        process_cov=jnp.eye(STATE),
        emission=jnp.eye(OBS, STATE),
        emission_cov=jnp.eye(OBS),
    )
    state = kalman.State(jnp.zeros(STATE), jnp.eye(STATE))
    return kalman.filter.lower(state, jnp.zeros((STEPS, OBS)), model=model).compile().as_text()


def smoothed():
    beliefs = kalman.Beliefs(
        jnp.zeros((STEPS, STATE)), jnp.ones((STEPS, 1, 1)) * jnp.eye(STATE)[None]
    )
    model = kalman.Model(jnp.eye(STATE), jnp.eye(STATE), jnp.eye(OBS, STATE), jnp.eye(OBS))
    return rts.smooth.lower(beliefs, model=model).compile().as_text()


def integrated():
    def one(scale):
        fn = Partial(lambda scale, x: jnp.exp(-scale * x), scale)
        return gauss_kronrod.integrate(fn, 0.0, 1.0)[0]

    return jax.jit(jax.vmap(one)).lower(jnp.ones(10_000)).compile().as_text()


def loops(text):
    """Return the names of the computations that hold a loop, and of those in one kernel."""
    holding, name = set(), ""
    for line in text.splitlines():
        if opened := re.match(r"(?:ENTRY )?(%[\w.\-]+) .*\{$", line):
            name = opened[1]
        elif re.search(r"\swhile\(", line):
            holding.add(name)
    return holding, set(CALL.findall(text))


@pytest.mark.parametrize("program", [filtered, smoothed, integrated], ids=lambda f: f.__name__)
def test_the_loop_is_one_kernel(program):
    text = program()
    holding, in_one_kernel = loops(text)
    assert holding
    assert holding <= in_one_kernel
    assert "custom-call" not in text


def test_a_lapack_call_in_the_step_is_seen():
    step = jax.jit(lambda xs: jax.lax.scan(lambda c, x: (jnp.linalg.cholesky(c + x), x), xs[0], xs))
    assert "custom-call" in step.lower(jnp.zeros((STEPS, STATE, STATE))).compile().as_text()


def test_it_is_the_setting_that_does_it():
    """With a threshold of one byte the loop is many kernels; the default differs by jaxlib."""
    flags = os.environ["XLA_FLAGS"]
    least = re.sub(rf"{launch.SMALL_LOOP}=\d+", f"{launch.SMALL_LOOP}=1", flags)
    assert least != flags
    code = "from tests import test_xla_loop as t; print(t.loops(t.filtered()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[1],
        env=os.environ | {"XLA_FLAGS": least},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"\(\{'%[^}]+'\}, set\(\)\)", done.stdout.strip()), done.stdout
