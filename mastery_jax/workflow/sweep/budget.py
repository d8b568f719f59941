"""How many steps a sweep takes when lanes stop at rungs: known before it runs, but for who stops.

A rule looks at the lanes of all programs together, so that how many of one program go on is taken
as its share of all. Median stopping may let every lane go on, which is what is counted of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mastery_jax.workflow.sweep import stopping
from mastery_jax.workflow.sweep.search import Halving, Stop

__all__ = ["Asked", "Budget", "Rung", "spend"]

MOST_CUTS = 8  # rungs that are written out


class Asked(NamedTuple):
    """What a sampler will be asked for."""

    sampler: str
    trials: int
    grid: int  # lanes of each trial

    @property
    def lanes(self) -> int:
        """Return how many lanes that is."""
        return self.trials * self.grid

    def describe(self, traced: int) -> str:
        """Say what is not known yet, where so many lanes were traced."""
        return (
            f"sampler {self.sampler} chooses {self.trials} trials x {self.grid} lanes of the "
            f"grid; this is traced from {traced}, and what it chooses may be more programs"
        )


class Rung(NamedTuple):
    """Where lanes are looked at."""

    step: int
    lanes: int  # that come there
    going: int  # at most so many go on


class Budget(NamedTuple):
    """What is run, at most."""

    rungs: tuple[Rung, ...]
    steps: tuple[float, ...]  # of all lanes of a program
    visits: tuple[float, ...]  # how often a lane of a program is begun or taken up again
    whole: int  # steps of all lanes, were none stopped

    @property
    def share(self) -> float:
        """Return the part of the steps that is run."""
        return sum(self.steps) / max(1, self.whole)

    def describe(self, stop: Stop) -> str:
        """Say how many lanes go on from which step."""
        cuts = [f"{rung.going} of {rung.lanes} after step {rung.step}" for rung in self.rungs]
        if len(cuts) > MOST_CUTS:
            cuts[MOST_CUTS - 1 : -1] = ["..."]
        kept = f"at most {', '.join(cuts)} go on" if cuts else "no lane is looked at before its end"
        rule = type(stop).__name__.lower()
        return f"{rule}: {kept}: {100 * self.share:.3g}% of the steps of the full sweep"


def spend(stop: Stop | None, programs: Sequence[tuple[int, int]], *, began: int = 0) -> Budget:
    """Follow the lanes from rung to rung; O(rungs x programs).

    Args:
        stop: The rule.
        programs: Of each, how many lanes it has and how many steps each of them.
        began: Of how many lanes a rule keeps its part, where more began than these.
    """
    longest = max((steps for _, steps in programs), default=0)
    num_lanes = began or sum(lanes for lanes, _ in programs)
    alive = [float(lanes) for lanes, _ in programs]
    steps, visits, rungs = [0.0] * len(alive), [0.0] * len(alive), []
    at, marks = 0, stopping.rungs(stop, longest)
    for number, until in enumerate([*marks, longest]):
        for program, (_, last) in enumerate(programs):
            steps[program] += alive[program] * (min(until, last) - min(at, last))
            visits[program] += alive[program]
            if last <= until:
                alive[program] = 0.0
        at, here = until, sum(alive)
        if number < len(marks) and here:
            going = here
            if isinstance(stop, Halving):
                going = min(here, max(1, num_lanes // stop.eta ** (number + 1)))
            rungs.append(Rung(until, round(here), round(going)))
            alive = [lanes * going / here for lanes in alive]
    whole = sum(lanes * last for lanes, last in programs)
    return Budget(tuple(rungs), tuple(steps), tuple(visits), whole)
