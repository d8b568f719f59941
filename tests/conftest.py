"""Settings of every test: they stand before jax is imported."""

import collections
import os
import pathlib

os.environ["JAX_PLATFORMS"] = "cpu"

from mastery_jax.workflow import launch

launch.prepare(host_devices=4)

import jax
import pytest

from tests import services

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

REFERENCE = os.environ.get("MASTERY_DATA")
MAPS = pathlib.Path("/proc/self/maps")
MOST_MAPS = 8_000  # compiled programs take them: a process may have 65,530, and is slow long before
EVERY = 25  # tests, between looks


def pytest_collection_modifyitems(config, items):
    """Leave out, and say so, the tests of what is not here: reference data, programs."""
    if REFERENCE and not pathlib.Path(REFERENCE).is_dir():
        raise pytest.UsageError(f"MASTERY_DATA: {REFERENCE} is not a folder")
    kept, left_out, reasons = [], [], collections.Counter()
    for item in items:
        reason = absent(item)
        (kept if reason is None else left_out).append(item)
        reasons.update([] if reason is None else [reason])
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
        config.stash[LEFT_OUT] = dict(reasons)
        if hasattr(config, "workeroutput"):  # a worker of xdist tells the process that reports
            config.workeroutput["left_out"] = dict(reasons)


def absent(item):
    """Return what a test needs and is not here; None where it can run."""
    if item.get_closest_marker("reference") and not REFERENCE:
        return "reference tests left out: MASTERY_DATA does not name the reference data"
    programs = [name for mark in item.iter_markers("services") for name in mark.args]
    missing = [name for name in programs if services.find(name) is None]
    if missing:
        named = ", ".join(missing)
        return f"services tests left out: no {named}; deploy/install-services.sh installs it"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take over what a worker left out; every worker sees the same tests."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


LEFT_OUT = pytest.StashKey[dict[str, int]]()  # why -> how many
RUN = pytest.StashKey[int]()


def pytest_terminal_summary(terminalreporter, config):
    reports = (report for found in terminalreporter.stats.values() for report in found)
    if any("test_contract.py" in getattr(report, "nodeid", "") for report in reports):
        from tests import cases, contract

        terminalreporter.write_line(contract.summary(cases.CASES))
    for reason, count in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(f"{count} {reason}")


@pytest.fixture(scope="session")
def reference() -> pathlib.Path:
    """Return the folder of published data and answers."""
    return pathlib.Path(REFERENCE or "")


@pytest.fixture(scope="module")
def quick_compilation():
    """Have programs compiled in two thirds of the time, to slower code with the same answers."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def pytest_runtest_teardown(item):
    """Give compiled programs back before they have taken all memory maps of the process."""
    item.config.stash[RUN] = count = item.config.stash.get(RUN, 0) + 1
    if count % EVERY == 0 and MAPS.exists():
        with MAPS.open("rb") as lines:
            if sum(1 for _ in lines) > MOST_MAPS:
                jax.clear_caches()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Loosen dtype and rank promotion for tests marked ``engine``, and for their fixtures."""
    if item.get_closest_marker("engine"):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return (yield)
    return (yield)
