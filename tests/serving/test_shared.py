"""The rate of a key, of which all workers take."""

import subprocess
import sys

import pytest

from serving.access import keys
from serving.access.ring import Ring
from tests.serving.processes import PATIENCE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "keys.json"


def test_workers_share_the_rate_of_a_key(path, tmp_path):
    keys.add(path, "shop", ["read"], rate=1.0, burst=5.0)
    workers = [Ring(path, tmp_path).named("shop").bucket for _ in range(3)]
    now = max(bucket.since for bucket in workers)
    given = [workers[turn % 3].take(now) for turn in range(7)]
    assert given[:5] == [0.0] * 5
    assert given[5] == given[6] == pytest.approx(1.0, abs=0.5), "until there is one"
    late = Ring(path, tmp_path).named("shop").bucket
    assert late.take(now) > 0, "a worker that is started again finds what is left"
    assert late.take(now + 1.0) == 0
    assert workers[0].take(now + 1.0) > 0


def test_a_key_that_changes_begins_anew(path, tmp_path):
    keys.add(path, "shop", ["read"], rate=1.0, burst=1.0)
    bucket = Ring(path, tmp_path).named("shop").bucket
    assert (bucket.take(bucket.since), bucket.take(bucket.since) > 0) == (0, True)
    keys.remove(path, "shop")
    keys.add(path, "shop", ["read"], rate=1.0, burst=1.0)
    again = Ring(path, tmp_path).named("shop").bucket
    assert again.take(again.since) == 0


def test_processes_take_in_turn(path, tmp_path):
    keys.add(path, "shop", ["read"], rate=1e-6, burst=1000.0)
    Ring(path, tmp_path)
    code = (
        "import pathlib, sys; from serving.access.ring import Ring\n"
        "bucket = Ring(*map(pathlib.Path, sys.argv[1:])).named('shop').bucket\n"
        "print(sum(bucket.take(0.0) == 0 for _ in range(600)))"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    given = [int(child.communicate(timeout=PATIENCE)[0]) for child in children]
    assert sum(given) == 1000, "none is lost, and none is given twice"
