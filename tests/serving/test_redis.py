"""Answers in Redis: shared, never trusted, never waited for."""

import importlib.util
import time

import pytest
import redis as redis_client

from mastery_jax.workflow.errors import ConfigError
from serving.cache.remote import PREFIX, Remote
from tests.serving.remembering import FLOWER, counts, predict
from tests.serving.served import ROWS, start

SERVER = pytest.mark.services("redis-server")


@SERVER
def test_servers_share_what_redis_has(cached, redis):
    with start(cached, cache=redis.url) as one, start(cached, cache=redis.url) as other:
        first = predict(one)
        wait_for_keys(redis, 1)
        assert predict(other) == first
        assert counts(one) == (0, 1, 1)
        assert counts(other) == (1, 0, 0), "not computed there"
        with redis_client.Redis.from_url(redis.url) as known:
            (name,) = known.keys()
            assert 0 < known.ttl(name) <= 86_400


def wait_for_keys(redis, count):
    end = time.monotonic() + 60
    with redis_client.Redis.from_url(redis.url) as known:
        while known.dbsize() < count:
            assert time.monotonic() < end
            time.sleep(0.02)


DAMAGED = {
    "type": lambda known, name: known.delete(name) and known.rpush(name, "x"),
    "bytes": lambda known, name: known.set(name, b"\xc1"),
    "cut": lambda known, name: known.set(name, known.get(name)[:-1]),
    "shape": lambda known, name: known.set(name, known.get(name).replace(b"float32", b"float16")),
    "gone": lambda known, name: known.flushall(),
}


@SERVER
@pytest.mark.parametrize("how", DAMAGED)
def test_what_redis_has_is_not_trusted(cached, redis, how):
    with start(cached, cache=redis.url) as client:
        first = predict(client)
        wait_for_keys(redis, 1)
    with redis_client.Redis.from_url(redis.url) as known:
        (name,) = known.keys()
        assert name.startswith(PREFIX)
        DAMAGED[how](known, name)
    with start(cached, cache=redis.url) as client:
        assert predict(client) == first
        assert counts(client) == (0, 1, 1), "a miss"


@SERVER
def test_redis_that_goes_and_comes_back(cached, redis, caplog, monkeypatch):
    monkeypatch.setattr("serving.cache.remote.REST", 0.0)
    with start(cached, cache=redis.url) as client:
        first = predict(client)
        redis.stop()
        for row in ROWS:
            predict(client, FLOWER | {"features": row.tolist()})
        assert predict(client) == first, "from memory"
        assert counts(client) == (2, len(ROWS), len(ROWS))
        assert caplog.text.count("redis does not answer") == 1
        redis.start()
        predict(client, FLOWER | {"features": [0, 0, 0]})
        wait_for_keys(redis, 1)


@SERVER
def test_redis_that_hangs(cached, redis, caplog):
    with start(cached, cache=redis.url) as client:
        predict(client)
        redis.freeze()
        try:
            for row in ROWS:
                predict(client, FLOWER | {"features": row.tolist()})
        finally:
            redis.thaw()
        assert "redis does not answer" in caplog.text


@SERVER
@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_redis_that_is_full(cached, redis, policy):
    redis.stop()
    redis.start("--maxmemory", "1", "--maxmemory-policy", policy)
    with start(cached, cache=redis.url) as client:
        first = predict(client)
        assert predict(client) == first


def test_nobody_is_behind_the_address(cached):
    with start(cached, cache="redis://127.0.0.1:1/0") as client:
        first = predict(client)
        assert predict(client) == first
        assert counts(client) == (1, 1, 1)


def test_somebody_who_never_answers_is_behind_the_address(cached, mute, caplog):
    with start(cached, cache=f"redis://{mute}/0") as client:
        first = predict(client)
        assert predict(client) == first
        assert counts(client) == (1, 1, 1)
    assert caplog.text.count("redis does not answer") == 1


def test_every_wait_for_redis_has_the_bound_that_is_promised():
    pool = Remote("redis://localhost")._redis.connection_pool
    waits = [pool.connection_kwargs[f"socket_{name}"] for name in ("timeout", "connect_timeout")]
    assert [pool.timeout, *waits] == [0.05] * 3


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://x", "redis://u:secret@h:port/0"])
def test_what_is_no_url(url):
    with pytest.raises(ConfigError, match="cache: what came is no URL of Redis") as caught:
        Remote(url)
    assert "secret" not in str(caught.value)


def test_a_missing_client(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'mastery-jax\[redis\]'"):
        Remote("redis://localhost")
