"""Twelve posteriors of posteriordb as NumPyro models, and how far NUTS is from their reference.

``MASTERY_DATA=<folder> python -m tests.posteriors`` draws all twelve and writes docs/POSTERIORS.md.
Its table says of the worst parameter how many standard errors its mean lies from the reference's
(z), and by how much its standard deviation differs.
"""

import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from mastery_jax.workflow import launch

if __name__ == "__main__":
    launch.prepare()  # before jax is imported

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from numpyro.infer.util import unconstrain_fn

from mastery_jax.inference.mcmc import diagnostics, nuts, unconstrained
from tests import posterior_models as models

NUM_CHAINS, NUM_WARMUP, NUM_SAMPLES = 4, 1000, 1500
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "POSTERIORS.md"
HEAD = f"""# Posteriors

NUTS against the reference draws of posteriordb (Stan, about 10,000 effective draws each). The model
is right first: at stored points its log density differs as published (`tests/test_posteriordb.py`).
Then {NUM_CHAINS} chains of {NUM_WARMUP} + {NUM_SAMPLES} transitions in single precision are held
against the means and standard deviations. z is the distance of a mean from the reference's, in
standard errors of both; each column says the worst parameter. Seconds of one CPU shared with other
work, compilation included. `python -m tests.posteriors` writes this page.

| posterior | parameters | max z | worst sd ratio | max R-hat | min ESS | divergences | seconds |
|---|---|---|---|---|---|---|---|
"""


class Posterior(NamedTuple):
    """One posterior as its page in posteriordb's MODELS describes it."""

    folder: str
    model: Callable[[Any], Partial]  # data -> NumPyro model
    latents: Callable[[Any], Any]  # published parameters by name -> the model's latent values
    published: Callable[[Any], Any]  # the model's values -> published parameters by name
    is_dear: bool = False  # minutes of draws
    starts_at_draws: bool = False  # of the reference: from elsewhere a chain may find another mode
    dense_mass: bool = False  # its parameters are strongly correlated


class Judgement(NamedTuple):
    """What the draws of a posterior are worth."""

    z: dict[str, float]  # by parameter
    sd_ratio: dict[str, float]
    rhat: dict[str, float]
    ess: dict[str, float]
    min_sd: float  # of a parameter in a chain: 0 where a chain stood still
    min_step_size: float
    num_divergent: int


def vector(values, name, size):
    return jnp.stack([values[f"{name}[{i + 1}]"] for i in range(size)])


def scalars(values, *names):
    return {
        f"{name}[{i + 1}]": values[name][..., i]
        for name in names
        for i in range(values[name].shape[-1])
    }


def pick(values, *names):
    return {name: values[name] for name in names}


def groups_of(*sizes, scalar=()):
    """Return the way from published parameters to latent vectors and numbers of those names."""
    return lambda p: {name: vector(p, name, n) for name, n in sizes} | pick(p, *scalar)


def shares_of(latents, *names):
    """Let vectors add to one again, which rounding has taken from what is stored."""
    return lambda p: {k: v / v.sum() if k in names else v for k, v in latents(p).items()}


def names_of(*vectors, scalar=()):
    """Return the way back."""
    return lambda v: scalars(v, *vectors) | pick(v, *scalar)


def schools_latents(p):
    theta = vector(p, "theta", 8)
    return {"mu": p["mu"], "tau": p["tau"], "z": (theta - p["mu"]) / p["tau"]}


POSTERIORS = [
    Posterior(
        "eight_schools-eight_schools_noncentered",
        models.schools_of,
        schools_latents,
        names_of("theta", scalar=("mu", "tau")),
    ),
    Posterior(
        "arK-arK",
        models.autoregression_of,
        groups_of(("beta", 5), scalar=("alpha", "sigma")),
        names_of("beta", scalar=("alpha", "sigma")),
    ),
    Posterior(
        "garch-garch11",
        models.garch_of,
        lambda p: pick(p, "mu", "alpha0", "alpha1", "beta1"),
        lambda v: pick(v, "mu", "alpha0", "alpha1", "beta1"),
        is_dear=True,
    ),
    Posterior(
        "kidiq-kidscore_interaction",
        models.kids_of,
        groups_of(("beta", 4), scalar=("sigma",)),
        names_of("beta", scalar=("sigma",)),
        dense_mass=True,
    ),
    Posterior(
        "sblrc-blr",
        models.linear_of,
        groups_of(("beta", 5), scalar=("sigma",)),
        names_of("beta", scalar=("sigma",)),
    ),
    Posterior(
        "gp_pois_regr-gp_regr",
        models.gaussian_process_of,
        lambda p: pick(p, "rho", "alpha", "sigma"),
        lambda v: pick(v, "rho", "alpha", "sigma"),
        is_dear=True,
    ),
    Posterior(
        "hmm_example-hmm_example",
        models.hidden_normal_of,
        shares_of(groups_of(("theta1", 2), ("theta2", 2), ("mu", 2)), "theta1", "theta2"),
        names_of("theta1", "theta2", "mu"),
    ),
    Posterior(
        "low_dim_gauss_mix-low_dim_gauss_mix",
        models.mixture_of,
        groups_of(("mu", 2), ("sigma", 2), scalar=("theta",)),
        names_of("mu", "sigma", scalar=("theta",)),
    ),
    Posterior(
        "mesquite-logmesquite",
        models.mesquite_of,
        groups_of(("beta", 7), scalar=("sigma",)),
        names_of("beta", scalar=("sigma",)),
        dense_mass=True,
    ),
    Posterior(
        "earnings-logearn_height",
        models.earnings_of,
        groups_of(("beta", 2), scalar=("sigma",)),
        names_of("beta", scalar=("sigma",)),
        dense_mass=True,
    ),
    Posterior(
        "hudson_lynx_hare-lotka_volterra",
        models.lotka_volterra_of,
        groups_of(("theta", 4), ("z_init", 2), ("sigma", 2)),
        names_of("theta", "z_init", "sigma"),
        is_dear=True,
        starts_at_draws=True,
    ),
    Posterior(
        "bball_drive_event_0-hmm_drive_0",
        models.hidden_drives_of,
        shares_of(
            groups_of(("theta1", 2), ("theta2", 2), ("phi", 2), ("lambda", 2)), "theta1", "theta2"
        ),
        names_of("theta1", "theta2", "phi", "lambda"),
        is_dear=True,
        starts_at_draws=True,
    ),
]


def read(reference, this, name):
    return json.loads((reference / "posteriordb" / this.folder / name).read_text())


def starts(reference, this, model):
    """Return where the chains begin: anywhere, or at draws of the reference's first chains."""
    if not this.starts_at_draws:
        return unconstrained.start(jax.random.key(0), model=model, num_chains=NUM_CHAINS)
    stored = np.load(reference / "posteriordb" / this.folder / "draws.npz")
    at = [
        dict(zip(map(str, stored["names"]), jnp.asarray(stored["draws"][chain, 0]), strict=True))
        for chain in range(NUM_CHAINS)
    ]
    positions = [unconstrain_fn(model, (), {}, this.latents(p)) for p in at]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *positions)


def draw(reference, this):
    """Run the chains; return values by published name, each (chain, draw), and what happened."""
    model = this.model(read(reference, this, "data.json"))
    density, constrain = unconstrained.from_numpyro(model)
    draws, info = nuts.sample(
        jax.random.key(1),
        starts(reference, this, model),
        log_density=density,
        num_warmup=NUM_WARMUP,
        num_samples=NUM_SAMPLES,
        target_accept=0.9,
        step_size=0.1,
        dense_mass=this.dense_mass,
    )
    return this.published(jax.jit(jax.vmap(jax.vmap(constrain)))(draws)), info


def judge(reference, this):
    """Draw a posterior, and hold it against the reference."""
    values, info = draw(reference, this)
    z, ratio, rhat, ess, least = {}, {}, {}, {}, np.inf
    for name, expected in read(reference, this, "reference.json")["summary"].items():
        chains = values[name]
        each = np.asarray(chains, np.float64)
        error = np.hypot(diagnostics.mcse(chains), expected["mcse_mean"])
        z[name] = float((each.mean() - expected["mean"]) / error)
        ratio[name] = float(each.std() / expected["sd"])
        rhat[name], ess[name] = float(diagnostics.rhat(chains)), float(diagnostics.ess(chains))
        least = min(least, float(each.std(axis=1).min()))
    return Judgement(
        z, ratio, rhat, ess, least, float(info.step_size.min()), int(info.is_divergent.sum())
    )


def row(this, judged, seconds):
    """Return a line of the table."""
    z = max(map(abs, judged.z.values()))
    ratio = max(judged.sd_ratio.values(), key=lambda r: abs(r - 1)) - 1
    return (
        f"| {this.folder.split('-')[1]} | {len(judged.z)} | {z:.2f} | {100 * ratio:+.1f} % "
        f"| {max(judged.rhat.values()):.4f} | {min(judged.ess.values()):.0f} "
        f"| {judged.num_divergent} | {seconds:.0f} |\n"
    )


def main():
    """Write the page."""
    reference = pathlib.Path(os.environ["MASTERY_DATA"])
    page = HEAD
    for this in POSTERIORS:
        begun = time.perf_counter()
        judged = judge(reference, this)
        page += row(this, judged, time.perf_counter() - begun)
        sys.stderr.write(page.splitlines()[-1] + "\n")
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
