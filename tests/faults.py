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
    tests: tuple[str, ...]  # files of tests/serving, or of tests, whole or ::name

    def matches(self, name: str) -> bool:
        """Say whether a test, as ``file::name``, is of this family."""
        return any(name == test or name.partition("::")[0] == test for test in self.tests)


FAMILIES: tuple[Family, ...] = ()


def cases(files: list[str]) -> Iterator[tuple[str, bool]]:
    """Run files of tests; give each case as ``file::name``, and whether it went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup"]
        subprocess.run([*command, f"--junitxml={report}", *files], cwd=ROOT, check=False)
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            file = case.attrib["classname"].replace(".", "/") + ".py"
            name = case.attrib["name"].partition("[")[0]
            if case.find("skipped") is None:
                is_lost = case.find("failure") is not None or case.find("error") is not None
                yield f"{file.removeprefix('tests/')}::{name}", is_lost


def main() -> int:
    """Write the page; return 1 where anything was lost."""
    files = sorted({f"tests/{t.partition('::')[0]}" for f in FAMILIES for t in f.tests})
    tried, lost = collections.Counter[str](), collections.Counter[str]()
    for name, is_lost in cases(files):
        for family in FAMILIES:
            if family.matches(name):
                tried[family.title] += 1
                lost[family.title] += is_lost
    lines = [
        f"| {title} | {tried[title]} | {lost[title]} | {', '.join(f'`{t}`' for t in tests)} |"
        for title, tests in FAMILIES
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")
    print(PAGE.read_text())
    return int(bool(lost.total()))


if __name__ == "__main__":
    sys.exit(main())
