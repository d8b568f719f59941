"""Sweeps in few words, for the tests of spaces."""

from mastery_jax.workflow import config
from tests.test_config import HEAD

RATE = "optimizer.learning_rate"
SAMPLER = ("search.sampler=tpe", "search.metrics=[val_accuracy:max]")


def write(folder, text):
    """Write a config with more lines."""
    (folder / "swept.yaml").write_text(f"{HEAD}{text}\n")
    return folder / "swept.yaml"


def load(path, *arguments, samples=0, **options):
    """Load a sweep of so many draws."""
    drawn = [f"search.num_samples={samples}"] if samples else []
    return config.load_sweep(path, [*arguments, *drawn], **options)


def column(sweep, field):
    """Return the values of one field, of every lane."""
    return tuple(point[field] for point in sweep.points)
