"""Loads, unloads and reloads at the same time: all who serve end with the last word."""

import asyncio
import contextlib
import hashlib
import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from litestar.exceptions import HTTPException

from mastery_jax.workflow import manifest
from mastery_jax.workflow.errors import ArtifactError
from serving.models.registry import Registry
from serving.models.words import Word, Words
from serving.process.team import Team

PATIENCE = 60


class Version(SimpleNamespace):
    """Stands in for a model: a version is its content."""

    is_sound = True
    __hash__ = object.__hash__


def load(folder):
    time.sleep(random.Random(folder.name).random() / 200)
    content = (folder / "content").read_text()
    if content == "broken":
        raise ArtifactError(f"{folder} is broken")
    identity = int(folder.name), manifest.digest(folder)
    return Version(name=folder.parent.name, version=int(folder.name), identity=identity)


def publish(folder, name, version, content="whole"):
    place = folder / name / str(version)
    place.mkdir(parents=True)
    (place / "content").write_text(content)
    (place / manifest.SUMS).write_text(hashlib.sha256(content.encode()).hexdigest())


def versions(registry):
    return {name: list(served.versions) for name, served in registry.snapshot.models.items()}


@pytest.fixture
def folder(tmp_path):
    publish(tmp_path / "models", "a", 1)
    publish(tmp_path / "models", "b", 1)
    return tmp_path / "models"


@pytest.mark.parametrize("is_loaded", [True, False])
def test_a_hundred_changes_of_one_name_in_one_process(folder, is_loaded):
    with Registry(folder, load) as registry, ThreadPoolExecutor(8) as callers:
        registry.reload().result()
        deals = [registry.load, registry.unload] * 50
        random.Random(0).shuffle(deals)
        changes = list(callers.map(lambda deal: deal("a"), deals))
        changes.append(registry.load("a") if is_loaded else registry.unload("a"))
        for change in changes:
            assert not change.result(PATIENCE).failed
        wanted = {"a": [1], "b": [1]} if is_loaded else {"b": [1]}
        assert versions(registry) == wanted


def test_a_rescan_takes_nothing_back(folder):
    begun, go_on = threading.Event(), threading.Event()

    def slow(place):
        begun.set()
        assert go_on.wait(PATIENCE)
        return load(place)

    with Registry(folder, slow) as registry:
        rescan = registry.reload()
        assert begun.wait(PATIENCE)  # it has seen the folder, and loads the first model
        publish(folder, "b", 2)
        publish(folder, "c", 1)
        go_on.set()
        for name in "bc":
            registry.load(name).result(PATIENCE)
        rescan.result(PATIENCE)
        assert versions(registry) == {"a": [1], "b": [2], "c": [1]}


def test_a_load_while_the_server_stops(folder):
    begun, go_on = threading.Event(), threading.Event()

    def slow(place):
        begun.set()
        assert go_on.wait(PATIENCE)
        return load(place)

    before = set(threading.enumerate())
    registry = Registry(folder, slow)
    with registry:
        running = registry.load("a")
        assert begun.wait(PATIENCE)
        others = [registry.load("a") for _ in range(20)]
        timer = threading.Timer(0.05, go_on.set)
        timer.start()
    timer.join()
    assert running.result(PATIENCE).loaded == ["a/1"], "what was begun is ended"
    assert all(other.done() for other in others)
    with pytest.raises(RuntimeError, match="after shutdown"):
        registry.load("a")
    assert set(threading.enumerate()) <= before


def test_words_in_any_order():
    said = {"a": Word(1, False), "b": Word(5, True)}
    later = {"a": Word(2, True), "b": Word(4, False)}
    both = []
    for order in ((said, later), (later, said), (said, later, said)):
        words = Words()
        for each in order:
            words.hear(each)
        both.append(dict(words.last))
    assert both == [{"a": Word(2, True), "b": Word(5, True)}] * 3
    words.say("a", is_unloaded=False)
    assert not words.is_unloaded("a"), "the last word"


@contextlib.asynccontextmanager
async def teams(folder, tmp_path, count, loads=None):
    """Give workers that talk to each other, and the registry of each."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for index in range(count):
            registry = stack.enter_context(Registry(folder, loads[index] if loads else load))
            team = Team(tmp_path, index, count)
            await stack.enter_async_context(team.joined(registry, {}))
            found.append((team, registry))
        yield found


@pytest.mark.parametrize("count", [2, 3])
def test_workers_that_are_told_otherwise_at_the_same_time(folder, tmp_path, count):
    async def run():
        async with teams(folder, tmp_path, count) as members:
            for _ in range(20):
                (one, first), (other, _) = members[0], members[-1]
                await asyncio.gather(one.load("a"), other.unload("a"), one.reload())
                found = [versions(registry) for _, registry in members]
                assert found == [versions(first)] * count
                assert first.words.is_unloaded("a") == ("a" not in found[0])
                assert await one.is_all_ready()

    asyncio.run(run())


def test_a_flood_of_changes_over_workers(folder, tmp_path):
    async def run():
        async with teams(folder, tmp_path, 2) as members:
            rng = random.Random(1)
            deals = [rng.choice((t.load, t.unload)) for t, _ in members for _ in range(50)]
            rng.shuffle(deals)
            await asyncio.gather(*(deal("a") for deal in deals))
            (one, first), (other, second) = members
            assert versions(first) == versions(second)
            assert await one.is_all_ready()
            await other.unload("a")
            assert versions(first) == versions(second) == {"b": [1]}

    asyncio.run(run())


def test_a_folder_that_changes_between_the_looks(folder, tmp_path):
    published = []

    def meddle(place):
        model = load(place)
        if not published:  # by now the first worker has looked
            published.append(place)
            publish(folder, "a", 3)
        return model

    async def run():
        async with teams(folder, tmp_path, 2) as members:
            (one, first), (_, second) = members
            publish(folder, "a", 2)
            second._load = meddle
            await one.load("a")
            assert versions(first)["a"] == versions(second)["a"] != [1]
            await one.load("a")
            assert versions(first)["a"] == versions(second)["a"] == [3]
            assert await one.is_all_ready()

    asyncio.run(run())


def test_a_worker_that_cannot_follow_is_named(folder, tmp_path):
    def unable(place):
        if place.name == "2":
            raise ArtifactError("there is no room")
        return load(place)

    async def run():
        async with teams(folder, tmp_path, 2, [load, unable]) as ((one, first), (_, second)):
            publish(folder, "a", 2)
            with pytest.raises(HTTPException, match="worker 1 does not serve a as") as caught:
                await one.load("a")
            assert caught.value.status_code == 409
            assert (versions(first)["a"], versions(second)["a"]) == ([2], [1])
            assert not await one.is_all_ready()

    asyncio.run(run())


def test_a_worker_that_is_not_there_is_no_reason_to_wait(folder, tmp_path, caplog):
    caplog.set_level(logging.WARNING)

    async def run():
        async with teams(folder, tmp_path, 2) as ((one, first), _):
            one.count = 3
            await one.unload("a")
            assert versions(first) == {"b": [1]}
            assert not await one.is_all_ready()

    asyncio.run(run())
    assert "worker 2 does not answer" in caplog.text


def test_a_worker_that_starts_knows_what_was_unloaded(folder, tmp_path):
    async def run():
        async with teams(folder, tmp_path, 2) as ((one, _), (other, _)):
            await one.unload("a")
            with Registry(folder, load) as fresh:
                again = Team(tmp_path, other.index, 2)
                async with again.joined(fresh, {}):
                    assert versions(fresh) == {"b": [1]}
                    assert await one.is_all_ready()

    asyncio.run(run())
