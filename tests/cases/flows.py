"""Normalizing flows: every layer both ways, chains and their bases, and what fits them.

Oracles follow the definitions in NumPy; an inverse's is a root finder on the forward's.
"""

from itertools import pairwise

import jax
import numpy as np
from jax.tree_util import Partial

from mastery_jax.numerics.optimize import optimizers
from mastery_jax.probability.flows import (
    affine_coupling,
    autoregressive,
    base,
    chain,
    continuous,
    fit,
    linear,
    permutation,
    planar,
    radial,
    spline,
    spline_coupling,
    sylvester,
)
from mastery_jax.probability.flows.frozen import Frozen
from tests.contract import Case
from tests.flows import definitions

rng = np.random.default_rng(3)
KEY = jax.random.key(0)
POINT = rng.normal(size=3)
NESTED = "params are nested dicts or stacked pytrees, whose leaves are free in rank"
CONSTANTS = "what is frozen is of any shape; the layer itself insists on it where it matters"


def dense(sizes, *lead):
    return {
        "layers": {
            i: {"kernel": rng.normal(size=(*lead, a, b)), "bias": rng.normal(size=(*lead, b))}
            for i, (a, b) in enumerate(pairwise(sizes))
        }
    }


PLANAR = planar.Params(u=rng.normal(size=3), w=rng.normal(size=3), b=rng.normal())
PLANARS = (planar.Params(*(rng.normal(size=(4, *np.shape(leaf))) for leaf in PLANAR)),)
RADIAL = radial.Params(rng.normal(size=3), np.float64(0.3), np.float64(1.2))
SYLVESTER = sylvester.Params(*(rng.normal(size=shape) for shape in ((3, 2), (2, 2), (2, 2), (2,))))
COUPLING = dense((1, 5, 4))
COUPLINGS = (dense((1, 5, 4), 2),)
SPLINE = spline.Params(
    *rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 3)), Frozen(np.float64(2.0))
)
SPLINES = spline_coupling.Params(dense((1, 5, 22)), Frozen(np.float64(3.0)))
MAF = autoregressive.Params(dense((3, 5, 6)), None)
MAF_SPLINE = autoregressive.Params(dense((3, 5, 24)), Frozen(np.float64(3.0)))
CONTINUOUS = continuous.Params(dense((4, 5, 3)), None)
ORDER = permutation.Params(Frozen(np.array([2, 0, 1])))
LINEAR = linear.Params(
    *rng.normal(size=(2, 3, 3)), *rng.normal(size=(2, 3)),
    Frozen(np.array([1, 2, 0])), Frozen(np.array([1.0, -1.0, 1.0])),
)  # fmt: skip
NORMAL = base.Normal(*rng.normal(size=(2, 3)))
STUDENT = base.StudentT(*rng.normal(size=(3, 3)))
BOX = base.Uniform(Frozen(-3 - rng.random(3)), Frozen(3 + rng.random(3)))


def both(module, params, forward, inverse, **granted):
    name = module.__name__.rpartition(".")[2]
    label = granted.pop("label", "")
    return [
        Case(
            name=f"{name}.{way}{label}",
            fn=getattr(module, way),
            args=(params, POINT),
            oracle=oracle,
            **granted,
        )
        for way, oracle in (("forward", forward), ("inverse", inverse))
    ]


def drawn(module, **static):
    name = module.__name__.rpartition(".")[2]
    hyper = {} if module is permutation else {"scale": np.float64(0.3)}
    return Case(name=f"{name}.init", fn=module.init, args=(KEY,), hyper=hyper, static=static)


RULE = optimizers.make("adam", {"learning_rate": np.float64(0.01)})
SEARCH = {
    "modes": (),
    "unchecked": ("1",),
    "engine": True,
    "because": NESTED + "; a search ends where it ends, and optax promotes",
}
ROWS, VALID = rng.normal(size=(12, 3)), rng.normal(size=(6, 3))
TARGET = Partial(lambda center, x: -((x - center) ** 2).sum() / 2, np.ones(3))
FREE = {"unchecked": ("0",), "because": NESTED}

CASES: tuple[Case, ...] = (
    drawn(planar, dim=3),
    drawn(radial, dim=3),
    drawn(sylvester, dim=3, num_ridges=2),
    drawn(affine_coupling, dim=3, widths=(5,)),
    drawn(spline_coupling, dim=3, widths=(5,), num_bins=4),
    drawn(autoregressive, dim=3, widths=(5,)),
    drawn(continuous, dim=3, widths=(5,)),
    drawn(spline, dim=3, num_bins=4),
    drawn(permutation, dim=3),
    drawn(linear, dim=3),
    *both(
        planar, PLANAR, definitions.planar_forward, definitions.by_root(definitions.planar_forward)
    ),
    *both(
        radial, RADIAL, definitions.radial_forward, definitions.by_root(definitions.radial_forward)
    ),
    *both(
        sylvester,
        SYLVESTER,
        definitions.sylvester_forward,
        definitions.by_root(definitions.sylvester_forward),
    ),
    *both(
        affine_coupling,
        COUPLING,
        definitions.coupling_forward,
        definitions.coupling_inverse,
        **FREE,
    ),
    *both(
        spline,
        SPLINE,
        definitions.bend,
        definitions.by_root(definitions.bend),
        unchecked=("0/interval",),
        because=CONSTANTS,
    ),
    *both(
        spline_coupling,
        SPLINES,
        definitions.spline_coupling_forward,
        definitions.by_root(definitions.spline_coupling_forward),
        **FREE,
    ),
    *both(autoregressive, MAF, definitions.maf_forward, definitions.maf_inverse, **FREE),
    *both(
        autoregressive,
        MAF_SPLINE,
        definitions.by_root(definitions.maf_spline_inverse),
        definitions.maf_spline_inverse,
        label=" spline",
        **FREE,
    ),
    *both(
        continuous,
        CONTINUOUS,
        None,  # at the tolerance that is meant for it: tests/flows holds it against SciPy, tightly
        None,
        modes=(),
        rtol32=1e-2,
        unchecked=("0",),
        because=NESTED + "; steps that adapt are as exact as their tolerance, and so are slopes",
    ),
    *both(permutation, ORDER, lambda p, x: (x[[2, 0, 1]], 0.0), lambda p, y: (y[[1, 2, 0]], 0.0)),
    *both(
        linear,
        LINEAR,
        definitions.linear_forward,
        definitions.linear_inverse,
        unchecked=("0/order", "0/signs"),
        because=CONSTANTS,
    ),
    *(
        Case(
            name=f"chain.{fn.__name__}{label}",
            fn=fn,
            args=(PLANARS, POINT),
            hyper=hyper,
            static={"layers": (planar,)},
            oracle=oracle,
            unchecked=("0", "base"),
            because=NESTED,
        )
        for fn, oracle, label, hyper in (
            (chain.forward, definitions.chain_forward, "", {}),
            (chain.inverse, definitions.chain_inverse, "", {}),
            (chain.log_prob, definitions.chain_log_prob, "", {}),
            (chain.log_prob, definitions.chain_log_prob, " student_t", {"base": STUDENT}),
        )
    ),
    *(
        Case(
            name=f"chain.{fn.__name__}",
            fn=fn,
            args=(KEY, COUPLINGS),
            static={"layers": (affine_coupling,), "dim": 3, "shape": (2,)},
            unchecked=("1",),
            because=NESTED,
        )
        for fn in (chain.sample, chain.sample_and_log_prob)
    ),
    Case(
        name="base.init",
        fn=base.init,
        args=(),
        hyper={"scale": np.float64(2.0), "df": np.float64(4.0)},
        static={"family": "student_t", "dim": 3},
        oracle=lambda **_: (np.zeros(3), np.full(3, np.log(2)), np.full(3, np.log(4))),
    ),
    *(
        Case(
            name=f"base.log_prob {kind}",
            fn=base.log_prob,
            args=(of, POINT),
            oracle=definitions.base_log_prob,
        )
        for kind, of in (("normal", NORMAL), ("student_t", STUDENT), ("uniform", BOX))
    ),
    *(
        Case(
            name=f"base.sample {kind}",
            fn=base.sample,
            args=(KEY, of),
            static={"shape": (2,)},
        )
        for kind, of in (("normal", NORMAL), ("uniform", BOX))
    ),
    Case(
        name="fit.maximum_likelihood",
        fn=fit.maximum_likelihood,
        args=(KEY, COUPLINGS, ROWS, VALID),
        hyper={"rule": RULE},
        static={"layers": (affine_coupling,), "num_epochs": 2, "batch_size": 5},
        **SEARCH,
    ),
    Case(
        name="fit.reverse_kl",
        fn=fit.reverse_kl,
        args=(KEY, COUPLINGS, TARGET),
        hyper={"rule": RULE},
        static={
            **{"layers": (affine_coupling,), "dim": 3},
            **{"num_steps": 2, "num_samples": 4, "num_draws": 5},
        },
        **SEARCH,
    ),
)
