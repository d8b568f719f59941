"""The commands of models: out of a run, under a label, behind HTTP."""

import pathlib
from typing import Literal

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, KEYS, MODELS, QUIET, RUNS, STORE
from mastery_jax.commands.options import store as store_of

__all__ = ["export", "promote", "serve"]


@click.command()
@click.argument("source", metavar="RUN_OR_SWEEP")
@click.option("--name", required=True, help="The name under which the model will be served.")
@click.option("--best", metavar="METRIC:max|min", help="The best lane, or the best checkpoint.")
@click.option(
    "--explain", "with_slopes", is_flag=True, help="Publish a prediction's slopes in its features."
)
@MODELS
@RUNS
@QUIET
@JSON
def export(
    source: str,
    name: str,
    best: str | None,
    with_slopes: bool,
    models: pathlib.Path,
    runs: pathlib.Path,
    quiet: bool,
    as_json: bool,
) -> int:
    """Publish a run, or the best lane of a sweep, as a model to be served."""
    from mastery_jax.workflow import export as exporting
    from mastery_jax.workflow import launch, records
    from mastery_jax.workflow.progress import Progress

    found = records.find(source, runs)
    launch.prepare()
    folder = exporting.export(
        found.folder,
        name=name,
        models=models,
        best=best,
        with_slopes=with_slopes,
        progress=Progress(quiet),
    )
    return output.show({"folder": str(folder)} if as_json else str(folder))


@click.command()
@MODELS
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen at; 0 is any that is free.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that answer, each with all models.",
)
@click.option(
    "--server",
    type=click.Choice(["uvicorn", "granian"]),
    default="uvicorn",
    show_default=True,
    help="What speaks HTTP.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0, 3600),
    help="From the word to stop to the end of taking connections; 5, or 0 on loopback.",
)
@click.option("--check", is_flag=True, help="Say what is wrong, and stop; bind nothing.")
@click.option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    help="The lines of the log; by default text on a terminal, JSON elsewhere.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged; debug has a line for every request.",
)
@click.option(
    "--slow-ms",
    type=click.FloatRange(0, min_open=True),
    default=1000.0,
    show_default=True,
    help="A request that takes longer is logged.",
)
@click.option(
    "--otel",
    metavar="URL",
    help="An OpenTelemetry collector, as http://127.0.0.1:4318; or set OTEL_* variables.",
)
@STORE
@click.option("--no-store", is_flag=True, help="Record no predictions.")
@click.option(
    "--keep-days",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long a recorded prediction is kept.",
)
@click.option(
    "--cache",
    metavar="URL",
    envvar="MASTERY_CACHE",
    help="Redis (redis://HOST:6379/0) for the answers of models that allow it, shared by servers; "
    "by default memory alone. MASTERY_CACHE may hold it.",
)
@KEYS
@click.option(
    "--no-keys", "--open", "is_open", is_flag=True, help="Ask for no keys; on loopback only."
)
@click.option("--public-metrics", is_flag=True, help="Ask for no key at /metrics.")
@click.option(
    "--proxy",
    "proxies",
    metavar="ADDRESS",
    multiple=True,
    help="A proxy, or a network of them, whose X-Forwarded-For is believed.",
)
def serve(
    models: pathlib.Path,
    host: str,
    port: int,
    workers: int,
    server: Literal["uvicorn", "granian"],
    drain_seconds: float | None,
    check: bool,
    log_format: Literal["json", "text"] | None,
    log_level: Literal["debug", "info", "warning", "error"],
    slow_ms: float,
    otel: str | None,
    store: str | None,
    no_store: bool,
    keep_days: float,
    cache: str | None,
    keys: pathlib.Path | None,
    is_open: bool,
    public_metrics: bool,
    proxies: tuple[str, ...],
) -> int:
    """Serve a folder of models until Ctrl-C.

    On 127.0.0.1 no key is asked for until `mastery keys add` has made one; elsewhere always.
    """
    from serving import main as serving
    from serving.access import terms
    from serving.settings import Settings

    access = terms.Access(
        keys=terms.settle(host, keys, is_open=is_open),
        public_metrics=public_metrics,
        proxies=proxies,
    )
    settings = Settings(
        models=models,
        host=host,
        port=port,
        is_tried=True,
        workers=workers,
        server=server,
        drain_seconds=drain_seconds,
        log_format=log_format,
        log_level=log_level,
        slow_seconds=slow_ms / 1000,
        otel=otel,
        store=None if no_store else store_of(store, models),
        keep_days=keep_days,
        cache=cache,
        access=access,
    )
    if check:
        from serving.process import check as checking

        return checking.check(settings, click.echo)
    return serving.run(settings)


@click.command()
@click.argument("model", metavar="NAME[@VERSION]")
@click.argument("version", required=False, type=click.IntRange(min=1))
@click.option("--label", help="What to move there: stable, canary or another word.")
@click.option("--remove", is_flag=True, help="Take the label away.")
@MODELS
@JSON
def promote(
    model: str,
    version: int | None,
    label: str | None,
    remove: bool,
    models: pathlib.Path,
    as_json: bool,
) -> int:
    """Move a label to a version of a model; without a label, list where they are.

    `mastery promote digits 3 --label stable`, or `mastery promote digits@canary --label stable`
    """
    from mastery_jax.workflow import labels

    name, mark, _ = model.partition("@")
    if bool(mark) and version is not None:
        raise click.UsageError(f"{model} names a version already, so {version} cannot be.")
    if label is None:
        if remove or mark or version is not None:
            raise click.UsageError("Say which label, as in --label stable.")
        return _listed(models, name, as_json)
    if remove:
        if mark or version is not None:
            raise click.UsageError("--remove takes a label away from the model, not a version.")
        before, to = labels.remove(models, name, label), None
    else:
        reference = model if version is None else f"{model}@{version}"
        if "@" not in reference:
            raise click.UsageError(f"Say which version, as in {name}@3.")
        name, to = labels.resolve(models, reference)
        before = labels.promote(models, name, to, label=label)
    if as_json:
        return output.show({"name": name, "label": label, "from": before, "to": to})
    return output.show(_moved(f"{name}@{label}", before, to))


def _moved(reference: str, before: int | None, to: int | None) -> str:
    """Say where a label was and is."""
    if to is None:
        return f"{reference} was version {before} and is no more"
    if before is None:
        return f"{reference} is version {to}"
    return f"{reference} is version {to}" + (", as before" if before == to else f", was {before}")


def _listed(models: pathlib.Path, name: str, as_json: bool) -> int:
    """Show the versions of a model, their labels, and every move."""
    from mastery_jax.workflow import labels, manifest, tables

    labels.resolve(models, name)
    versions = manifest.numbers(models / name)
    placed, moves = labels.read(models / name), labels.history(models / name)
    if as_json:
        found = {"name": name, "versions": versions, "labels": placed, "history": moves}
        return output.show(found)
    rows = [
        (str(version), ", ".join(label for label, at in placed.items() if at == version))
        for version in versions
    ]
    lines = [
        f"{move['time']}  {_moved(f'{name}@' + move['label'], move['from'], move['to'])}"
        f"  by {move['who']}"
        for move in moves
    ]
    return output.show("\n".join([tables.grid(("version", "labels"), rows), "", *lines]).rstrip())
