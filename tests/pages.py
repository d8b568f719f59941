"""The pages of the documentation, as the tests of them see them."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROOMS = [
    page
    for page in sorted(DOCS.glob("*.md"))
    if page.name not in ("README.md", "BENCHMARKS.md", "EFFECTS.md", "ORACLES.md", "POSTERIORS.md")
]
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path):
    return str(path.relative_to(ROOT))
