"""Metrics that decide something: ``METRIC:max`` or ``METRIC:min``."""

from collections.abc import Iterable, Sequence

from mastery_jax.workflow import spelling
from mastery_jax.workflow.errors import ConfigError

__all__ = ["confirm_measured", "direction"]


def direction(best: str) -> tuple[str, int]:
    """Read ``METRIC:max`` or ``METRIC:min``; return the metric, and the sign that makes it grow.

    Raises:
        ConfigError: it is neither.
    """
    metric, _, mode = best.partition(":")
    if mode not in ("max", "min") or not metric:
        raise ConfigError(f"best is {best!r}, wanted METRIC:max or METRIC:min")
    return metric, 1 if mode == "max" else -1


def confirm_measured(field: str, wanted: Iterable[str], measured: Sequence[str]) -> None:
    """Refuse a metric that no evaluation has.

    Args:
        field: Where it was asked for.
        wanted: Each ``METRIC:max`` or ``METRIC:min``.
        measured: The metrics of an evaluation.

    Raises:
        ConfigError: it is not there, or not of that form.
    """
    for text in wanted:
        if (metric := direction(text)[0]) not in measured:
            hint, known = spelling.hint(metric, measured), ", ".join(sorted(measured))
            raise ConfigError(f"{field}: {metric} is not measured{hint} (there is {known})")
