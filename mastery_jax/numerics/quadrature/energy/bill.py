"""What an integral cost in joules, and how good it is.

    1 Wh = 3600 J

Source: Bureau international des poids et mesures (2019), *The International System of Units*,
table 8 (the hour).
"""

from typing import NamedTuple

from mastery_jax.core.status import Status, describe

__all__ = ["Report"]


class Report(NamedTuple):
    """What an integral cost, and how good it is, on the host."""

    joules: float  # of all calls of the integrand and what the rules do for them
    is_measured: bool  # by a counter of this machine; else modelled
    error: float  # estimated, absolute, of the largest entry
    num_evals: int  # calls of the integrand, those of rules that were given up among them
    rule: str  # that gave the estimate
    dtype: str  # in which it was computed
    device: str  # modelled; or "this machine"
    spread: float  # the model may be wrong by this factor either way; 1 where measured
    budget: float | None  # joules that were allowed
    status: Status
    note: str  # what else is to be said of the measurement

    @property
    def watt_hours(self) -> float:
        """Return the energy in watt-hours, of 3600 J."""
        return self.joules / 3600

    @property
    def left(self) -> float | None:
        """Return the joules of the budget that were not spent; None without a budget."""
        return None if self.budget is None else self.budget - self.joules

    def __str__(self) -> str:
        """Say it in one sentence."""
        factor = f", within a factor of {self.spread:g}" if self.spread > 1 else ""
        energy = f"{self.joules:.2g} J {'measured' if self.is_measured else 'modelled'} on "
        left = "" if self.left is None else f", {self.left:.2g} J left of {self.budget:.2g}"
        note = f" ({self.note})" if self.note else ""
        ending = describe(self.status)
        if self.status is Status.OUT_OF_STEPS:
            ending = f"ended by {'the budget or ' * (self.budget is not None)}the largest rule"
        return (
            f"{energy}{self.device}{factor}{left}: error {self.error:.1e} by {self.rule} in "
            f"{self.dtype}, {self.num_evals} calls, {ending}{note}"
        )
