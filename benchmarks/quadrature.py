"""Adaptive quadrature over many parameter values: ours by one vmap against scipy and quadax.

Two families on [0, 1], one peak at a random place c of a random width s, in double precision:
Lorentzian, s / ((x − c)² + s²), s in [0.001, 1], and Gaussian, exp(−(x − c)² / 2s²), s in [0.05, 1]
(a narrower one falls between the first nodes of every contestant). scipy.integrate.quad
calls a Python function of ``math``, which is faster there than one of NumPy, in a loop over the
parameters; quadax is ``quadgk`` under ``jit(vmap)``. All ask for 1.5e-8, scipy's default, relative
and absolute, and every answer must be within that of the closed form before anything is timed.
"""

import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "quadrature"
SIZES = (1000, 10_000)
ROUNDS = 7
TOLERANCE = 1.49e-8


class Family(NamedTuple):
    """One integrand, for scipy and for jax, and its integral."""

    name: str
    narrowest: float
    python: Callable[[float, float, float], float]
    traced: Callable[[Any, Any], Any]
    exact: Callable[[Any, Any], Any]


def families() -> list[Family]:
    import jax.numpy as jnp
    import numpy as np
    from scipy.special import erf

    def lorentzian(x: float, c: float, s: float) -> float:
        return s / ((x - c) ** 2 + s * s)

    def gaussian(x: float, c: float, s: float) -> float:
        return math.exp(-((x - c) ** 2) / (2 * s * s))

    def bell(c: Any, s: Any) -> Any:
        root = s * math.sqrt(2)
        return s * math.sqrt(math.pi / 2) * (erf((1 - c) / root) + erf(c / root))

    return [
        Family(
            "Lorentzian",
            1e-3,
            lorentzian,
            lambda p, x: p[1] / ((x - p[0]) ** 2 + p[1] ** 2),
            lambda c, s: np.arctan((1 - c) / s) + np.arctan(c / s),
        ),
        Family(
            "Gaussian",
            0.05,
            gaussian,
            lambda p, x: jnp.exp(-((x - p[0]) ** 2) / (2 * p[1] ** 2)),
            bell,
        ),
    ]


def contestants(family: Family, c: Any, s: Any) -> dict[str, Callable[[], Any]]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.tree_util import Partial
    from quadax import quadgk
    from scipy.integrate import quad

    from mastery_jax.numerics.quadrature import gauss_kronrod

    def one(p: Any) -> Any:
        fn = Partial(family.traced, p)
        return gauss_kronrod.integrate(fn, 0.0, 1.0, rtol=TOLERANCE, atol=TOLERANCE)[0]

    def of_quadax(p: Any) -> Any:
        ends = jnp.array([0.0, 1.0])
        wanted = {"epsabs": TOLERANCE, "epsrel": TOLERANCE, "max_ninter": 64}
        return quadgk(lambda x: family.traced(p, x), ends, **wanted)[0]

    pairs = list(zip(c.tolist(), s.tolist(), strict=True))
    p = jnp.asarray(c), jnp.asarray(s)
    ours, theirs = jax.jit(jax.vmap(one)), jax.jit(jax.vmap(of_quadax))
    return {
        "ours": lambda: jax.block_until_ready(ours(p)),
        "scipy.integrate.quad": lambda: np.array(
            [quad(family.python, 0.0, 1.0, args=pair)[0] for pair in pairs]
        ),
        "quadax": lambda: jax.block_until_ready(theirs(p)),
    }


def main() -> None:
    """Check every answer against the closed form, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    import numpy as np

    rows, notes = [], []
    for family in families():
        for size in SIZES:
            rng = np.random.default_rng(0)
            c, s = (
                rng.uniform(0.1, 0.9, size),
                10 ** rng.uniform(math.log10(family.narrowest), 0, size),
            )
            every = contestants(family, c, s)
            exact, said = family.exact(c, s), []
            for name, call in every.items():
                off = float(np.abs(np.asarray(call()) - exact).max())
                if not off < TOLERANCE * (1 + float(exact.max())):
                    raise RuntimeError(f"{name}: an integral is off by {off:.2g}")
                said.append(f"{name} {off:.1g}")
            _, again = in_turn(every, rounds=ROUNDS)
            what = f"{size:,} {family.name} peaks"
            rows += [
                Row(what, peer, 1e3 * again["ours"].cpu, 1e3 * again[peer].cpu, "ms CPU", goal)
                for peer, goal in (("scipy.integrate.quad", 30), ("quadax", 1))
            ]
            notes.append(f"{what}: largest errors {', '.join(said)}.")
    save(FAMILY, "Adaptive quadrature", rows, notes=notes)


if __name__ == "__main__":
    main()
