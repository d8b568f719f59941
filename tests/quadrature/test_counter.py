"""The counter of the kernel, over folders that look like those of Linux."""

import pathlib

import jax.numpy as jnp
import pytest
from jax.tree_util import Partial

from mastery_jax.numerics.quadrature.energy import budget, counter

RANGE = 262_143_328_850  # microjoules, of a real machine


class Machine:
    """A folder of counters that move by so many microjoules a call."""

    def __init__(self, folder, **zones):
        self.folder, self.calls = pathlib.Path(folder), 0
        self.steps = {}
        for zone, (name, start, step) in zones.items():
            at = self.folder / zone.replace("_", ":").replace("rapl", "intel-rapl")
            at.mkdir()
            (at / "name").write_text(f"{name}\n")
            (at / "max_energy_range_uj").write_text(f"{RANGE}\n")
            (at / "energy_uj").write_text(f"{start}\n")
            self.steps[at / "energy_uj"] = step

    def __call__(self):
        self.calls += 1
        for file, step in self.steps.items():
            file.write_text(f"{(int(file.read_text()) + step) % RANGE}\n")


def measured(machine, **given):
    return counter.measure(machine, folder=machine.folder, **given)


def test_one_package(tmp_path):
    machine = Machine(tmp_path, rapl_0=("package-0", 5_000, 2_000_000))
    reading = measured(machine, least_joules=10.0)
    assert reading.joules == pytest.approx(2.0)
    assert reading.num_calls == 5
    assert machine.calls == 6  # one before, which is not counted
    assert reading.missing == ""
    assert str(reading) == "2 J measured, idle included, the mean of 5 calls on 1 package"


def test_two_packages_and_their_memory_but_nothing_twice(tmp_path):
    machine = Machine(
        tmp_path,
        rapl_0=("package-0", 0, 1_000_000),
        rapl_1=("package-1", 0, 500_000),
        rapl_0_0=("core", 0, 900_000),
        rapl_0_1=("dram", 0, 100_000),
        rapl_2=("psys", 0, 7_000_000),
    )
    reading = measured(machine)
    assert reading.joules == pytest.approx(1.6)
    assert reading.num_packages == 2
    assert "on 2 packages" in str(reading)


def test_a_counter_that_begins_anew(tmp_path):
    start = RANGE - 2_500_000
    machine = Machine(tmp_path, rapl_0=("package-0", start, 1_000_000))
    assert measured(machine, least_joules=6.0).joules == pytest.approx(1.0)


def test_short_work_is_repeated_until_enough_is_counted(tmp_path):
    machine = Machine(tmp_path, rapl_0=("package-0", 0, 1_000))
    reading = measured(machine, least_joules=0.5)
    assert reading.num_calls == 500
    assert reading.joules == pytest.approx(1e-3)


def test_idle_power_is_measured_alike_and_taken_off(tmp_path):
    (tmp_path / "idle").mkdir()
    (tmp_path / "busy").mkdir()
    idle = Machine(tmp_path / "idle", rapl_0=("package-0", 0, 3_000_000))
    busy = Machine(tmp_path / "busy", rapl_0=("package-0", 0, 4_000_000))
    # Every call takes half a second: 6 W asleep, 8 W at work.
    baseline = measured(idle, clock=lambda: 0.5 * idle.calls)
    assert baseline.watts == pytest.approx(6.0)
    reading = measured(busy, clock=lambda: 0.5 * busy.calls, idle_watts=baseline.watts)
    assert reading.seconds == pytest.approx(0.5)
    assert reading.joules == pytest.approx(1.0)
    assert "less 6 W of idle power" in str(reading)


def test_more_idle_power_than_was_counted_gives_no_number(tmp_path):
    machine = Machine(tmp_path, rapl_0=("package-0", 0, 1_000_000))
    reading = measured(machine, clock=lambda: float(machine.calls), idle_watts=5.0)
    assert reading.joules is None
    assert reading.watts is None
    assert "idle power is more than what was counted" in str(reading)


def test_a_counter_that_stands_still_gives_no_number(tmp_path):
    machine = Machine(tmp_path, rapl_0=("package-0", 7, 0))
    reading = measured(machine, max_calls=20)
    assert reading.joules is None
    assert str(reading) == "not measured: the counter did not move in 20 calls"


def test_no_folder_and_no_package_are_said(tmp_path):
    absent = counter.measure(lambda: None, folder=tmp_path / "absent")
    assert absent.joules is None
    assert "there is no package counter in" in str(absent)
    only_platform = Machine(tmp_path, rapl_0=("psys", 0, 1_000))
    assert measured(only_platform).joules is None
    assert only_platform.calls == 0  # nothing is run for nothing


@pytest.mark.parametrize("spoil", ["unreadable", "garbage", "absent"])
def test_a_file_that_cannot_be_read_is_said(tmp_path, spoil, monkeypatch):
    machine = Machine(tmp_path, rapl_0=("package-0", 0, 1_000))
    file = tmp_path / "intel-rapl:0" / "energy_uj"
    if spoil == "garbage":
        file.write_text("none\n")
    elif spoil == "absent":
        file.unlink()
    else:  # the superuser, whom modes do not stop, runs tests too
        read = pathlib.Path.read_text

        def denied(path, *given):
            if path == file:
                raise PermissionError(13, "Permission denied")
            return read(path, *given)

        monkeypatch.setattr(pathlib.Path, "read_text", denied)
    reading = measured(machine)
    assert reading.joules is None
    assert str(reading).startswith(f"not measured: a counter in {tmp_path} cannot be read (")
    if spoil == "unreadable":
        assert "Permission denied" in str(reading)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"least_joules": 0.0}, "least_joules and max_calls are 0.0 and 1000000, not above 0"),
        ({"least_joules": float("nan")}, "least_joules and max_calls are nan"),
        ({"max_calls": 0}, "least_joules and max_calls are 10.0 and 0, not above 0"),
        ({"idle_watts": 2.0}, "idle_watts is 2.0, not 0, or given a clock"),
        ({"idle_watts": -1.0}, "idle_watts is -1.0, not 0, or given a clock"),
    ],
)
def test_what_cannot_be_measured_is_refused(given, said):
    with pytest.raises(ValueError, match=f"^counter.measure: {said}"):
        counter.measure(lambda: None, **given)


def test_an_integral_is_measured_where_there_is_a_counter(tmp_path, monkeypatch):
    machine = Machine(tmp_path, rapl_0=("package-0", 0, 3_000_000))
    read = counter._read

    def moving(counters):  # this machine uses 3 J from one reading to the next
        machine()
        return read(counters)

    monkeypatch.setattr(counter, "_read", moving)
    exp = Partial(jnp.exp)
    estimate, report = budget.reach(exp, 0.0, 1.0, folder=tmp_path)
    assert report.is_measured
    assert report.joules == pytest.approx(3.0)
    assert str(report).startswith("3 J measured on this machine: error ")
    assert report.spread == 1
    modelled, report = budget.reach(exp, 0.0, 1.0, folder=tmp_path / "absent")
    assert modelled == estimate
    assert not report.is_measured
    assert "modelled on iot" in str(report)
    assert "(not measured: there is no package counter in" in str(report)
    assert 0 < report.joules < 1e-6
