"""Lanes never take more than a device has left; what is too much is halved, and nothing is lost."""

import threading
import types

import pytest

from mastery_jax.workflow import config, records
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import batch, driver, loop, memory, plan, store
from mastery_jax.workflow.sweep.ledger import Entry
from mastery_jax.workflow.sweep.remote import Reporter

FIELDS = ["rate=0.01,0.02,0.04,0.08", "seed=range(4)"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


class Told(Progress):
    """What a sweep says, kept."""

    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def sweep(toy, folder, strategy, said=None):
    swept = config.load_sweep(toy, FIELDS)
    return driver.sweep(
        swept, runs=folder, strategy=strategy, width=16, progress=said or Progress(quiet=True)
    )


@pytest.fixture(scope="module", params=["vmap", "map"])
def whole(request, toy, tmp_path_factory):
    """Return a strategy, and an undisturbed sweep by it."""
    return request.param, sweep(toy, tmp_path_factory.mktemp("whole"), request.param)


def confirm_equal(folder, whole):
    """Insist on the same lanes with the same lines; numbers agree as those of other widths do."""
    for lane in range(16):
        mine, theirs = (records.metrics(store.record(each, lane)) for each in (folder, whole))
        assert [row.keys() for row in mine] == [row.keys() for row in theirs]
        for one, other in zip(mine, theirs, strict=True):
            assert one == pytest.approx(other, rel=1e-5)
    lanes = store.lanes(folder)
    assert [lane["state"] for lane in lanes] == ["done"] * 16
    assert {lane["seen"] for lane in lanes} == {20}


class Meeting:
    """Two lanes that are run at a time, of which one is to find no memory left."""

    def __init__(self):
        self.both, self.firsts, self.lock = threading.Barrier(2), [], threading.Lock()

    def drive(self, compiled, *args, original=loop.program.drive, **options):
        with self.lock:
            self.firsts.append(options["first"])
            number = len(self.firsts)
        for event in original(compiled, *args, **options):
            yield event
            if number <= 2 and event.step < 20:  # the first has been paused since
                self.both.wait(60)
                if number == 1:
                    raise RuntimeError("RESOURCE_EXHAUSTED: planted")
                number = 3


def looped(toy, monkeypatch, threads, said):
    """Run four lanes on one device by so many threads; return what became of them."""
    import jax

    device, heard = jax.local_devices()[0], []
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    monkeypatch.setattr(loop, "SECONDS_A_SAVE", -1.0)  # paused at every event
    (group,) = plan.plan(config.load_sweep(toy, ["seed=range(4)"]), strategy="loop").groups
    made = loop.Loop("tests.toy", group, threads, said.say)
    entries = [Entry(lane, 0, [], None) for lane in group.lanes]
    made.advance(entries, 20, Reporter(heard.append, keeps_states=False), Interrupt())
    return {news.number: news.rows for news in heard if news.step is None}


def test_a_thread_that_finds_no_memory_leaves_it_to_the_others(toy, monkeypatch):
    """Its lane goes on from its last pause, with the same bits, and fewer run at a time."""
    whole, said, meeting = looped(toy, monkeypatch, 1, Told()), Told(), Meeting()
    monkeypatch.setattr(loop.program, "drive", meeting.drive)
    assert looped(toy, monkeypatch, 2, said) == whole
    assert said.lines == ["out of memory: from here on 1 lane at a time"]
    assert sorted(meeting.firsts) == [0, 0, 0, 0, 7]


def test_a_thread_alone_that_finds_no_memory_fails(toy, monkeypatch):
    def drive(*args, **options):
        raise RuntimeError("RESOURCE_EXHAUSTED: planted")

    said = Told()
    monkeypatch.setattr(loop.program, "drive", drive)
    with pytest.raises(RuntimeError, match=r"^RESOURCE_EXHAUSTED"):
        looped(toy, monkeypatch, 2, said)
    assert said.lines == ["out of memory: from here on 1 lane at a time"]


@pytest.mark.parametrize("at", ["start", "middle"])
def test_out_of_memory_while_running_halves_the_batch(toy, whole, tmp_path, monkeypatch, at):
    strategy, undisturbed = whole
    ran, said = [], Told()

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        width = lanes["rate"].shape[0]
        if at == "start" and not ran:
            ran.append((width, 0))
            raise RuntimeError("RESOURCE_EXHAUSTED: planted")
        for event in original(compiled, lanes, *args, **options):
            ran.append((width, event.step))
            yield event
            if at == "middle" and len(ran) == 1:
                raise RuntimeError("RESOURCE_EXHAUSTED: planted")

    monkeypatch.setattr(batch.program, "drive", drive)
    folder = sweep(toy, tmp_path, strategy, said)
    assert said.lines == ["out of memory: from here on 8 lanes at a time"]
    assert [width for width, step in ran if step == 20] == [8, 8]
    confirm_equal(folder, undisturbed)


def test_lanes_that_are_over_are_not_run_again(toy, tmp_path, monkeypatch):
    """Of eight lanes two diverge at once; then memory ends, and the others go on from there."""
    monkeypatch.setattr(batch.program, "LONGEST_CHUNK", 5)
    ended, begun = [], []

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        begun.append((lanes["rate"].shape[0], options["first"]))
        for event in original(compiled, lanes, *args, **options):
            yield event
            if len(begun) == 1:
                raise RuntimeError("RESOURCE_EXHAUSTED: planted")

    def end(self, lane, rows, original=driver.Ledger.end):
        ended.append(lane.number)
        original(self, lane, rows)

    monkeypatch.setattr(batch.program, "drive", drive)
    monkeypatch.setattr(driver.Ledger, "end", end)
    swept = config.load_sweep(toy, ["rate=0.01,0.02,0.04,1e30", "seed=range(2)"])
    folder = driver.sweep(
        swept, runs=tmp_path, strategy="vmap", width=8, progress=Progress(quiet=True)
    )
    assert begun == [(8, 0), (4, 5), (4, 5)]
    assert sorted(ended) == list(range(8))
    steps = [row["step"] for row in records.metrics(store.record(folder, 0))]
    assert steps == list(range(1, 21))


def test_out_of_memory_while_compiling_halves_the_batch(toy, whole, tmp_path, monkeypatch):
    strategy, undisturbed = whole
    widths, said = [], Told()

    def prepare(fns, lanes, *args, original=batch.program.prepare, **options):
        widths.append(lanes["rate"].shape[0])
        if len(widths) == 1:
            raise RuntimeError("RESOURCE_EXHAUSTED: planted")
        return original(fns, lanes, *args, **options)

    monkeypatch.setattr(batch.program, "prepare", prepare)
    folder = sweep(toy, tmp_path, strategy, said)
    assert widths == [16, 8]
    assert said.lines == ["out of memory: from here on 8 lanes at a time"]
    confirm_equal(folder, undisturbed)


def test_a_program_that_would_not_fit_is_never_run(toy, whole, tmp_path, monkeypatch):
    strategy, undisturbed = whole
    widths, said = [], Told()

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        widths.append(lanes["rate"].shape[0])
        return original(compiled, lanes, *args, **options)

    def needed(compiled):
        width = next(iter(compiled)).args_info[0][0]["rate"].shape[0]
        return width * 1000

    monkeypatch.setattr(batch.program, "drive", drive)
    monkeypatch.setattr(batch.memory, "needed", needed)
    monkeypatch.setattr(batch.memory, "available", lambda: 8000 / memory.SHARE_OF_PROGRAMS)
    folder = sweep(toy, tmp_path, strategy, said)
    assert widths == [8, 8]
    assert said.lines == [
        "16 lanes need 16,000 bytes of a device that has 10,000 left: "
        "from here on 8 lanes at a time"
    ]
    confirm_equal(folder, undisturbed)


def test_the_narrowest_batch_is_run_whatever_it_needs(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(batch.memory, "available", lambda: 0)
    folder = sweep(toy, tmp_path, "vmap")
    assert [lane["state"] for lane in store.lanes(folder)] == ["done"] * 16


def test_what_a_program_needs_is_counted_from_its_compilation():
    import jax
    import jax.numpy as jnp

    doubled = jax.jit(lambda x: x * 2).lower(jnp.ones(1000, jnp.float32)).compile()
    assert memory.needed([doubled]) == 8000
    silent = types.SimpleNamespace(memory_analysis=lambda: None)
    assert memory.needed([silent]) == memory.needed([]) == 0
    assert memory.needed([silent, doubled]) == 8000


def machine(tmp_path, monkeypatch, groups, member="0::/job/task"):
    """Make a machine with 100 kB available, and groups with (limit, use, droppable)."""
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable: 100 kB\n")
    (proc / "self" / "cgroup").write_text(f"4:memory:/old\n{member}\n")
    for name, (limit, use, droppable) in groups.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "memory.max").write_text(f"{limit}\n")
        (root / name / "memory.current").write_text(f"{use}\n")
        (root / name / "memory.stat").write_text(f"anon 7\ninactive_file {droppable}\n")
    monkeypatch.setattr(memory, "PROC", proc)
    monkeypatch.setattr(memory, "GROUPS", root)


@pytest.mark.parametrize(
    ("groups", "member", "found"),
    [
        ({}, "0::/job/task", 102_400),
        ({"job/task": ("max", 5, 0)}, "0::/job/task", 102_400),
        ({"job/task": (50_000, 20_000, 1_000)}, "0::/job/task", 31_000),
        ({"job": (40_000, 30_000, 0), "job/task": (90_000, 0, 0)}, "0::/job/task", 10_000),
        ({"": (8_000, 9_000, 0)}, "0::/", 0),
        ({"job/task": (50_000, 0, 0)}, "5:cpu:/job/task", 102_400),
    ],
)
def test_a_cpu_has_what_is_available_to_its_group(tmp_path, monkeypatch, groups, member, found):
    import jax

    machine(tmp_path, monkeypatch, groups, member)
    assert memory.available() == found // jax.local_device_count()


def test_a_width_is_a_multiple_of_the_devices(monkeypatch):
    assert memory.choose_width(1, 6, None) == 8  # six lanes on four devices
    assert memory.choose_width(1, 6, 3) == 4
    monkeypatch.setattr(memory, "available", lambda: 4000)
    assert memory.choose_width(500, 100, None) == 8  # two states fill a quarter of a device
    assert memory.choose_width(10_000, 100, None) == 4
