"""The table of faults: what a server is sent, and what happens to it, and whether anything is lost.

``python -m tests.faults`` runs the tests of each family, slow ones too, and writes docs/FAULTS.md.
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "serving"
PAGE = ROOT / "docs" / "FAULTS.md"
HEAD = """# Faults

What clients, models, disks, databases and operators do to a server, and the tests that do it.
Tried are the cases of these tests, property tests counted once; lost are those in which a good
request had no answer, another's or a wrong one, or the server did not go on. `make faults` writes
this page.

| family | tried | lost | tests |
|---|--:|--:|---|
"""


class Family(NamedTuple):
    """One kind of fault."""

    title: str
    tests: tuple[str, ...]  # of tests/serving: files, or file::name

    def matches(self, name: str) -> bool:
        """Say whether a test, as ``file::name``, is of this family."""
        return any(name == test or name.partition("::")[0] == test for test in self.tests)


FAMILIES = (
    Family(
        "bodies that are no JSON, NaN, wrong numbers, ragged rows",
        ("test_refusals.py::test_refused", "test_refusals.py::test_inputs_refused"),
    ),
    Family(
        "names, versions, shapes and integers that nothing has",
        ("test_nonsense.py", "test_v2_refusals.py::test_addresses"),
    ),
    Family(
        "tensors of the protocol that are missing, twice there, of another type or shape",
        (
            "test_v2_refusals.py::test_refused",
            "test_v2_refusals.py::test_no_rows_are_answered_with_none",
            "test_v2_coerce.py",
        ),
    ),
    Family("binary parts that lie", ("test_v2_refusals.py::test_refused_binary",)),
    Family(
        "bodies that are too long, compressed, bombs",
        (
            "test_refusals.py::test_too_long_a_body_is_refused_while_it_comes",
            "test_refusals.py::test_a_compressed_body_is_refused",
            "test_v2_refusals.py::test_compression",
            "test_v2_refusals.py::test_the_header_of_the_length_is_no_way_round_the_limit_of_json",
            "test_bodies.py",
        ),
    ),
    Family(
        "wrong verbs, HEAD, routes that are none",
        (
            "test_refusals.py::test_the_wrong_method_is_told_the_right_one",
            "test_refusals.py::test_an_unknown_route",
            "test_head.py",
        ),
    ),
    Family(
        "clients that are slow, leave, send no head or take no answer", ("test_slow_clients.py",)
    ),
    Family(
        "keys and sessions that are none, stolen, forged, over",
        ("test_access.py", "test_session.py", "test_keys.py", "test_gate.py", "test_terms.py"),
    ),
    Family(
        "models that are damaged, foreign, deadly, deleted while they load",
        (
            "../test_artifact_faults.py",
            "test_trial.py",
            "test_reload.py",
            "test_traffic.py::test_nobody_stands_in_for_stable",
        ),
    ),
    Family(
        "reloads, loads and unloads under load, in any order",
        (
            "test_pressure.py::test_reloads_under_load_lose_and_mix_nothing",
            "test_changes.py",
            "test_registry_machine.py",
        ),
    ),
    Family(
        "ends: SIGTERM, SIGKILL, full queues, no orphans", ("test_ending.py", "test_process.py")
    ),
    Family(
        "programs that fail, never end, meddle with rows",
        (
            "test_circuit.py",
            "test_endless.py",
            "test_audit.py",
            "test_batcher.py::test_only_the_culprit_fails",
        ),
    ),
    Family(
        "clients that leave at any time; each request has its own answer",
        (
            "test_pressure.py::test_clients_that_leave_harm_nobody",
            "test_batcher.py::test_every_request_gets_exactly_its_own_answer",
            "test_batcher.py::test_nothing_is_computed_for_who_went_away",
        ),
    ),
    Family(
        "more than can be answered",
        (
            "test_overload.py",
            "test_pressure.py::test_a_deadline_ends_the_wait_and_what_is_late_is_not_begun",
            "test_gate.py::test_one_key_cannot_take_all",
            "test_load.py",
        ),
    ),
    Family(
        "clocks that jump, large bodies and answers beside small ones",
        ("test_gate.py::test_a_clock_that_jumps_gives_nothing", "test_off_loop.py"),
    ),
    Family(
        "databases: locked, full, read-only, gone, restarted, mute, behind",
        ("test_store_faults.py", "test_database.py", "test_turns.py"),
    ),
    Family("Redis: down, mute, full, of another type", ("test_redis.py",)),
    Family(
        "several workers: killed, frozen, told otherwise at the same time",
        ("test_workers.py", "test_together.py", "test_shared.py"),
    ),
    Family(
        "metrics: ten thousand paths, labels, a real Prometheus",
        ("test_metrics.py", "test_prometheus.py", "test_deploy.py"),
    ),
    Family("starts that cannot be", ("test_check.py",)),
    Family("every documented route, fuzzed", ("test_schema.py",)),
    Family("the protocol's own client", ("test_v2_client.py",)),
    Family("mixed traffic for a while", ("test_soak.py",)),
)


def cases(files: list[str]) -> Iterator[tuple[str, bool]]:
    """Run files of tests; give each case as ``file::name``, and whether it went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup"]
        subprocess.run([*command, f"--junitxml={report}", *files], cwd=FOLDER, check=False)
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            module = case.attrib["classname"].split(".")
            file = next(f for f in files if pathlib.PurePath(f).stem in module)
            if case.find("skipped") is None:
                is_lost = case.find("failure") is not None or case.find("error") is not None
                yield f"{file}::{case.attrib['name'].partition('[')[0]}", is_lost


def shown(test: str) -> str:
    """Return a test as the page names it."""
    file, _, name = test.partition("::")
    return f"`{name or pathlib.PurePath(file).name}`"


def main() -> int:
    """Write the page; return 1 where anything was lost."""
    files = sorted({test.partition("::")[0] for family in FAMILIES for test in family.tests})
    tried, lost = collections.Counter[str](), collections.Counter[str]()
    for name, is_lost in cases(files):
        for family in FAMILIES:
            if family.matches(name):
                tried[family.title] += 1
                lost[family.title] += is_lost
    lines = [
        f"| {title} | {tried[title]} | {lost[title]} | {', '.join(map(shown, tests))} |"
        for title, tests in FAMILIES
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")
    print(PAGE.read_text())
    return int(bool(lost.total()))


if __name__ == "__main__":
    sys.exit(main())
