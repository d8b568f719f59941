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
    squeeze(causal.love(synthetic.FEATURES, found.smd_before, found.smd_after, file=file))


def score_overlap(file: pathlib.Path) -> None:
    """Draw the arms' scores."""
    data = patients()
    scores, _ = propensity.estimate(data.X, data.treatment)
    found = balance.overlap(scores, data.treatment)
    squeeze(causal.overlap(*found[:3], file=file))


PICTURES = (love_plot, score_overlap)
