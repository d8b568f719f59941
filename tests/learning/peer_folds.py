"""The folds of scikit-learn's splitters, as masks."""

import numpy as np

from mastery_jax.learning.selection.splits import Folds


def masks_of(splitter, *args):
    """Return the masks of a splitter of scikit-learn."""
    pairs = list(splitter.split(np.zeros(len(args[0])), *args))
    masks = np.zeros((2, len(pairs), len(args[0])), bool)
    for fold, rows in enumerate(pairs):
        for mask, chosen in zip(masks, rows, strict=True):
            mask[fold, chosen] = True
    return Folds(*masks)
