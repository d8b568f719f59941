"""Whether requests are traced: as the settings say, or OpenTelemetry's own variables."""

import os
import typing
import urllib.parse
from collections.abc import Mapping

from mastery_jax.workflow.errors import ConfigError

if typing.TYPE_CHECKING:
    from serving.monitor.spans import Tracing

__all__ = ["is_wanted", "start"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Say whether the standard variables ask for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if named:
        return named == "otlp"
    return any(environment.get(name) for name in ENDPOINTS)


def start(url: str | None) -> "Tracing | None":
    """Return the spans of an application; None where nobody wants them.

    Args:
        url: A collector; None for what OTEL_* variables say.

    Raises:
        ConfigError: it is no address, or the extra is not installed.
    """
    if url is None and not is_wanted(os.environ):
        return None
    if url is not None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"otel: {url!r} is no address, as http://127.0.0.1:4318 is one")
    try:
        from serving.monitor import spans
    except ImportError:
        raise ConfigError(
            "otel: OpenTelemetry is not installed: pip install 'mastery-jax[otel]'"
        ) from None
    return spans.Tracing(spans.exporter(url))
