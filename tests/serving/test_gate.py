"""The gate by itself: rates, shares and room, with an application behind that waits."""

import asyncio
import json

import hypothesis
import hypothesis.strategies as st
import pytest

from serving.access import keys
from serving.access.bucket import Bucket, Buckets
from serving.access.gate import Gate
from serving.access.guard import Guard
from serving.access.ring import Holder
from serving.access.terms import Access
from serving.predict.head import Head


class Behind:
    """A gate before an application that answers when it is told to."""

    def __init__(self, path, **given):
        self.keys = {}
        for name, options in given.pop("holders", {}).items():
            self.keys[name] = keys.add(path, name, ["predict"], **options)
        access = Access(keys=path if self.keys else None, **given)
        self.refused = []
        self.reached = 0
        self.door = asyncio.Event()
        guard = Guard(access, "127.0.0.1") if self.keys else None
        self.gate = Gate(self.app, access, guard, self.counter, 2**18)

    def counter(self, reason):
        return lambda: self.refused.append(reason)

    async def app(self, scope, receive, send):
        self.reached += 1
        await self.door.wait()
        if scope.get("is_broken"):
            raise RuntimeError("a fault")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(self, who=None, *, came=0.0, path="/predict", method="POST", **more):
        """Return the status and the headers of an answer, and its detail."""
        sent = []

        async def send(message):
            sent.append(message)

        fields = {b"authorization": f"Bearer {self.keys[who]}".encode()} if who else {}
        fields |= {b"content-length": b"2"} | more.pop("fields", {})
        scope = {"type": "http", "method": method, "path": path, "query_string": b""}
        scope |= {"headers": [], "state": {"head": Head(fields, came)}, **more}
        await self.gate(scope, None, send)
        detail = json.loads(sent[1]["body"])["detail"] if len(sent) > 1 else None
        return sent[0]["status"], dict(sent[0]["headers"]), detail


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def test_a_full_server_says_so_at_once(path):
    async def session():
        behind = Behind(path, max_in_flight=3)
        waiting = [asyncio.create_task(behind.ask()) for _ in range(3)]
        await asyncio.sleep(0)
        status, headers, detail = await behind.ask()
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert detail == "the server answers 3 requests already"
        assert behind.refused == ["room"]
        behind.door.set()
        for free in ("/health", "/v2/health/ready", "/metrics", "/"):
            assert (await behind.ask(path=free, method="GET"))[0] == 200
        assert [status for status, *_ in await asyncio.gather(*waiting)] == [200] * 3
        assert (await behind.ask())[0] == 200
        assert behind.gate.in_flight == 0

    asyncio.run(session())


def test_health_is_asked_of_a_full_server(path):
    async def session():
        behind = Behind(path, max_in_flight=1)
        waiting = [asyncio.create_task(behind.ask()) for _ in range(1)]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(behind.ask(path="/health", method="GET")) for _ in range(9)]
        await asyncio.sleep(0)
        assert behind.reached == 10
        behind.door.set()
        assert {status for status, *_ in await asyncio.gather(*waiting)} == {200}

    asyncio.run(session())


def test_room_is_given_back_by_what_fails_and_by_who_goes_away(path):
    async def session():
        behind = Behind(path, max_in_flight=2, holders={"a": {}})
        (holder,) = behind.gate.guard.ring._by_name.values()
        gone = asyncio.create_task(behind.ask("a"))
        await asyncio.sleep(0)
        assert (behind.gate.in_flight, holder.in_flight) == (1, 1)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        behind.door.set()
        with pytest.raises(RuntimeError):
            await behind.ask("a", is_broken=True)
        assert (behind.gate.in_flight, holder.in_flight) == (0, 0)

    asyncio.run(session())


def test_one_key_cannot_take_all(path):
    async def session():
        behind = Behind(path, max_in_flight=8, holders={"greedy": {}, "modest": {}})
        flood = [asyncio.create_task(behind.ask("greedy")) for _ in range(100)]
        await asyncio.sleep(0)
        modest = [asyncio.create_task(behind.ask("modest")) for _ in range(4)]
        await asyncio.sleep(0)
        behind.door.set()
        assert [status for status, *_ in await asyncio.gather(*modest)] == [200] * 4
        answers = await asyncio.gather(*flood)
        assert [status for status, *_ in answers] == [200] * 4 + [429] * 96
        assert answers[-1][1][b"retry-after"] == b"1"
        assert answers[-1][2] == "4 requests of this key are under way already"
        assert behind.refused == ["share"] * 96
        assert behind.reached == 8

    asyncio.run(session())


def test_one_key_cannot_use_the_rate_of_another(path):
    async def session():
        limits = {"rate": 2.0, "burst": 5.0}
        behind = Behind(path, holders={"greedy": limits, "modest": limits, "free": {}})
        for who in ("greedy", "modest"):
            behind.gate.guard.ring.named(who).bucket.since = 0.0
        behind.door.set()
        answers = [await behind.ask("greedy") for _ in range(20)]
        assert [status for status, *_ in answers] == [200] * 5 + [429] * 15
        assert answers[-1][1][b"retry-after"] == b"1"
        assert answers[-1][2] == "this key may ask 2 times a second"
        assert [(await behind.ask("modest"))[0] for _ in range(5)] == [200] * 5
        assert [(await behind.ask("free"))[0] for _ in range(50)] == [200] * 50
        assert [(await behind.ask("greedy", came=1.0))[0] for _ in range(3)] == [200, 200, 429]

    asyncio.run(session())


def test_a_full_server_takes_nothing_from_a_rate(path):
    async def session():
        behind = Behind(path, max_in_flight=1, holders={"a": {"rate": 1.0, "burst": 2.0}})
        waiting = asyncio.create_task(behind.ask("a"))
        await asyncio.sleep(0)
        for _ in range(5):
            assert (await behind.ask("a"))[0] == 503
        behind.door.set()
        assert (await waiting)[0] == 200
        assert (await behind.ask("a"))[0] == 200

    asyncio.run(session())


@pytest.mark.parametrize(
    ("method", "length", "is_kept"),
    [
        ("GET", None, True),
        ("POST", b"0", True),
        ("POST", b"65536", True),
        ("POST", b"65537", False),
        ("POST", b"9" * 30, False),
        ("POST", b"x", False),
        ("POST", None, False),
    ],
)
def test_nobody_waits_for_a_long_body_that_is_not_read(path, method, length, is_kept):
    behind = Behind(path, holders={"a": {}})
    fields = {b"content-length": b"" if length is None else length}
    status, headers, _ = asyncio.run(behind.ask(method=method, path="/models", fields=fields))
    assert status == 401
    assert headers[b"www-authenticate"] == b'Bearer realm="mastery_jax"'
    assert (b"connection" not in headers) is is_kept


def test_who_asks_is_handed_on(path):
    async def session():
        behind = Behind(path, holders={"shop": {}, "other": {}})
        behind.door.set()
        marks = []
        for who, fields in (
            ("shop", {}),
            ("shop", {}),
            ("other", {}),
            ("shop", {b"x-routing-key": b"u"}),
        ):
            state = {"head": Head({b"x-api-key": behind.keys[who].encode(), **fields}, 0.0)}
            await behind.ask(state=state)
            assert state["principal"] == who
            marks.append(state["head"].routing_key)
        assert marks[0] == marks[1] != marks[2]
        assert marks[3] == "u", "the client's own stands"
        assert "shop" not in marks[0], "a hash of the name"
        assert len(marks[0]) == 32

    asyncio.run(session())


def test_a_socket_needs_a_route_of_its_own(path):
    async def session():
        behind, sent = Behind(path, holders={"a": {}}), []

        async def send(message):
            sent.append(message["type"])

        await behind.gate({"type": "websocket", "path": "/"}, None, send)
        assert (sent, behind.reached) == (["websocket.close"], 0)

    asyncio.run(session())


@hypothesis.given(
    rate=st.floats(0.1, 1000),
    burst=st.floats(1, 1000),
    pauses=st.lists(st.floats(0, 10), min_size=1, max_size=100),
)
def test_a_bucket_never_gives_more_than_its_rate(rate, burst, pauses):
    now, given = 5.0, 0
    bucket = Bucket(rate, burst, now)
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        given += wait == 0
        assert 0 <= bucket.tokens <= burst
        if wait:
            again = Bucket(rate, burst, now)
            again.tokens = bucket.tokens
            assert again.take(now + wait * 1.000001 + 1e-9) == 0, "as it said"
    assert given <= burst + rate * (now - 5.0) + 1e-6


def test_a_clock_that_jumps_gives_nothing():
    bucket = Bucket(1.0, 1.0, 100.0)
    assert bucket.take(100.0) == 0
    assert bucket.take(0.0) > 0
    assert bucket.take(100.5) == pytest.approx(0.5), "and takes nothing"


def test_buckets_of_names_are_bounded():
    buckets = Buckets(1.0, 1.0, most=3)
    assert [buckets.take(name, 0.0) for name in "aabc"] == [0, 1, 0, 0]
    assert buckets.take("a", 0.0) == 1
    assert buckets.take("d", 0.0) == 0
    assert len(buckets._buckets) == 3
    assert buckets.take("a", 0.0) == 1, "who came of late is remembered"


def test_a_holder_knows_its_scopes(path):
    keys.add(path, "a", ["admin", "read"])
    (key,) = keys.read(path)
    assert Holder(key).mask == 0b110
