"""The drawings of the page on causal effects: balance and overlap of synthetic patients."""

import pathlib

import jax

from docs.draw.common import squeeze
from mastery_jax.inference.causal import balance, propensity, synthetic, weighting
from mastery_jax.plots import causal


def patients() -> synthetic.Data:
    """Return the patients of the page."""
    return synthetic.sample(jax.random.key(0), 1.0, num_units=2000)


def love_plot(file: pathlib.Path) -> None:
    """Draw the differences between the arms before and after weighting."""
    data = patients()
    scores, _ = propensity.estimate(data.X, data.treatment)
    found = balance.measure(data.X, data.treatment, weighting.weigh(data.treatment, scores))
    before, after = found.smd_before.tolist(), found.smd_after.tolist()
    squeeze(causal.love(synthetic.FEATURES, before, after, file=file))


def score_overlap(file: pathlib.Path) -> None:
    """Draw the arms' scores."""
    data = patients()
    scores, _ = propensity.estimate(data.X, data.treatment)
    found = balance.overlap(scores, data.treatment)
    edges, control, treated = (part.tolist() for part in found[:3])
    squeeze(causal.overlap(edges, control, treated, file=file))


PICTURES = (love_plot, score_overlap)
