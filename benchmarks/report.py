"""Write docs/BENCHMARKS.md from docs/benchmarks/*.json; with ``--run``, measure first."""

import argparse
import json
import subprocess
import sys

from benchmarks.harness import RESULTS, ROOT

FAMILIES = (
    *("optimize", "convex", "quadrature", "monte_carlo", "ode", "bayesopt"),
    *(
        "flows",
        "flow_likelihood",
        "filtering",
        "nonlinear_filtering",
        "posterior",
        "regression_engines",
    ),
    *("learning", "trees", "embedding", "explanations"),
    *("causal", "sweep", "sweep_lanes", "serving"),
)
HEAD = """# Benchmarks

Ours and the peer in turn, in one run on one machine; compile time apart; medians of five rounds or
more, of three where a call takes longer than 20 s. A ratio above 1 means that ours is better.
`make bench` measures again and writes this page; `python -m benchmarks.<family>` measures one
family.
"""


def table(record: dict) -> str:
    """Return one family as Markdown."""
    machine = record["machine"]
    peers = [f"{name} {version}" for name, version in machine["peers"].items()]
    made_with = [
        f"{machine['processor']}, {machine['cores']} cores",
        f"Python {machine['python']}, jax {machine['jax']}",
        *([", ".join(peers)] if peers else []),
    ]
    lines = [
        f"\n## {record['title']}\n",
        f"{'; '.join(made_with)}.\n",
        "| what | peer | ours | peer's | ratio | goal |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in record["rows"]:
        reached = "" if row["ratio"] >= row["goal"] else " (missed)"
        lines.append(
            f"| {row['what']} | {row['peer']} | {row['ours']:.3g} {row['unit']} | "
            f"{row['theirs']:.3g} {row['unit']} | **{row['ratio']:.1f}x** | "
            f"{row['goal']:g}x{reached} |"
        )
    notes = [row["note"] for row in record["rows"] if row["note"]] + record["notes"]
    return "\n".join([*lines, "", *(f"* {note}" for note in notes)])


def main() -> None:
    """Measure if asked to, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="measure every family first")
    if parser.parse_args().run:
        for family in FAMILIES:
            subprocess.run([sys.executable, "-m", f"benchmarks.{family}"], cwd=ROOT, check=True)
    found = [RESULTS / f"{family}.json" for family in FAMILIES]
    tables = [table(json.loads(path.read_text())) for path in found if path.exists()]
    (ROOT / "docs" / "BENCHMARKS.md").write_text("\n".join([HEAD, *tables]).rstrip() + "\n")


if __name__ == "__main__":
    main()
