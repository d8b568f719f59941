"""The file of keys: what is in it, who may read it, and what happens when it is not as it was."""

import datetime
import json
import multiprocessing
import stat
import time

import click.testing
import pytest

from mastery_jax import cli
from mastery_jax.workflow.errors import ConfigError
from serving.access import keys, terms
from serving.access.ring import Ring


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "keys.json"


def call(*arguments):
    done = click.testing.CliRunner().invoke(cli.main, arguments)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_a_key_is_kept_nowhere(path):
    key = keys.add(path, "shop", ["read", "predict"])
    assert key.startswith("mastery_")
    assert len(key) == len("mastery_") + 43, "256 bits"
    kept = path.read_text()
    assert key not in kept
    assert key.removeprefix("mastery_") not in kept
    (found,) = keys.read(path)
    assert found.digest == keys.digest(key.encode()).hex()
    assert (found.scopes, found.rate, found.expires) == (["predict", "read"], None, None)
    assert len({keys.add(path, f"k{i}", ["read"]) for i in range(20)}) == 20


def test_nobody_else_may_read_what_is_written(path):
    keys.add(path, "shop", ["read"])
    keys.secret(path)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys([".keys.json.lock", "keys.json", "session.secret"], 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "a b"}, "name: 'a b' came, wanted letters, digits"),
        ({"name": "a\n"}, "name: "),
        ({"name": "x" * 129}, "at most 128"),
        ({"scopes": []}, "scopes: none came, wanted some of: predict, read, admin"),
        ({"scopes": ["root"]}, r"scopes\[0\]: Invalid enum value 'root'"),
        ({"rate": 0.0}, "rate: Expected `float` > 0.0, and 0.0 came"),
        ({"rate": float("nan")}, "rate: Expected"),
        ({"rate": 1.0, "burst": 0.5}, "burst: Expected `float` >= 1"),
        ({"burst": 2.0}, "burst: a burst needs a rate"),
        ({"name": "taken"}, "name: there is a key 'taken' already"),
    ],
)
def test_what_is_no_key(path, given, words):
    keys.add(path, "taken", ["read"])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=words):
        keys.add(path, **{"name": "new", "scopes": ["read"], **given})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "hours"), [("30m", 0.5), ("12h", 12), ("90d", 90 * 24), ("2w", 14 * 24)]
)
def test_lifetimes(text, hours):
    assert keys.lifetime(text) == datetime.timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5d", "1y", "999999999w", "9 d"])
def test_what_is_no_lifetime(text):
    with pytest.raises(ConfigError, match=r"expires: .* came, wanted a time such as 90d"):
        keys.lifetime(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"keys": [{"name": "a"}]}',
        b'{"keys": [], "more": 1}',
    ],
)
def test_a_damaged_file(path, content):
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_bytes(content)
    for act in (keys.read, Ring, keys.first, lambda path: keys.add(path, "a", ["read"])):
        with pytest.raises(ConfigError, match=r"keys: .*keys\.json is damaged") as error:
            act(path)
        assert "\n" not in str(error.value)
    assert path.read_bytes() == content, "what can be mended by hand is not lost"


def test_two_keys_of_one_name(path):
    keys.add(path, "a", ["read"])
    kept = json.loads(path.read_bytes())
    path.write_text(json.dumps({"keys": kept["keys"] * 2}))
    with pytest.raises(ConfigError, match="two keys have one name"):
        keys.read(path)


@pytest.mark.parametrize(("mode", "is_fine"), [(0o600, True), (0o440, True), (0o640, True)] + [
    (mode, False) for mode in (0o604, 0o644, 0o660, 0o602, 0o777)
])  # fmt: skip
def test_who_may_read_it(path, mode, is_fine):
    keys.add(path, "a", ["read"])
    path.chmod(mode)
    if is_fine:
        assert len(keys.read(path)) == 1
        return
    with pytest.raises(ConfigError, match=rf"others may read or change .* \(mode {mode:03o}\)"):
        keys.read(path)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(ConfigError, match=r"keys\.json cannot be read: Is a directory"):
        keys.read(tmp_path / "keys.json")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        keys.add(tmp_path / "file" / "keys.json", "a", ["read"])


def _add(path, name):
    keys.add(path, name, ["read"])


def test_many_add_at_once(path):
    context = multiprocessing.get_context("spawn")
    names = [f"k{i}" for i in range(4)]
    started = [context.Process(target=_add, args=(path, name)) for name in names]
    for process in started:
        process.start()
    for i in range(20):
        keys.add(path, f"here{i}", ["read"])
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    found = {key.name for key in keys.read(path)}
    assert found == {*names, *(f"here{i}" for i in range(20))}
    assert not list(path.parent.glob(".keys.json.[0-9a-f]*")), "nothing half written is left"


def test_the_first_key_is_made_once(path):
    key = keys.first(path)
    assert keys.first(path) is None
    holder = Ring(path).find(key.encode())
    assert holder.key.scopes == list(keys.SCOPES)


def test_a_removed_key_ends(path):
    key, other = keys.add(path, "a", ["read"]), keys.add(path, "b", ["read"])
    ring = Ring(path)
    before = ring.find(other.encode())
    keys.remove(path, "a")
    ring.refresh()
    assert ring.find(key.encode()) is None
    assert ring.named("a") is None
    assert ring.find(other.encode()) is before, "with what is left of its rate"
    with pytest.raises(ConfigError, match="there is no key 'bb'; did you mean b"):
        keys.remove(path, "bb")


def test_the_file_is_looked_at_again(path, monkeypatch):
    monkeypatch.setattr("serving.access.ring.PERIOD", 0.01)
    key = keys.add(path, "a", ["read"])
    with Ring(path) as ring:
        assert ring.find(key.encode())
        keys.remove(path, "a")
        end = time.monotonic() + 30
        while ring.find(key.encode()) is not None:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_file_that_is_gone_holds_no_keys(path, caplog):
    key = keys.add(path, "a", ["read"])
    ring = Ring(path)
    path.unlink()
    ring.refresh()
    assert ring.find(key.encode()) is None
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()[-20:]) == ("WARNING", "nobody has a key now")


def test_a_file_that_is_damaged_later_changes_nothing(path, caplog):
    key = keys.add(path, "a", ["read"])
    ring = Ring(path)
    path.write_text("{")
    ring.refresh()
    ring.refresh()
    assert ring.find(key.encode())
    (said,) = [record.message for record in caplog.records]
    assert "is damaged" in said
    assert said.endswith("the keys that were read before are still good")


def test_an_expired_key(path, monkeypatch):
    key = keys.add(path, "a", ["read"], expires=keys.lifetime("1h"))
    ring = Ring(path)
    assert ring.find(key.encode())
    later = time.time() + 3601
    monkeypatch.setattr("serving.access.ring.time.time", lambda: later)
    assert ring.find(key.encode()) is None
    assert ring.named("a") is None


@pytest.mark.parametrize("key", ["", "mastery_", "a", "x" * 100_000, "é", "\0"])
def test_what_no_holder_has(path, key):
    good = keys.add(path, "a", ["read"])
    ring = Ring(path)
    assert ring.find(key.encode()) is None
    assert ring.find(good.encode()[:-1]) is None
    assert ring.find(good.encode() + b" ") is None


def test_keys_are_compared_in_constant_time(path, monkeypatch):
    key = keys.add(path, "a", ["read"])
    ring, compared = Ring(path), []

    def compare(a, b):
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("serving.access.ring.hmac.compare_digest", compare)
    assert ring.find(key.encode())
    assert ring.find(b"unknown") is None
    digest = keys.digest(key.encode())
    assert compared == [(digest, digest), (bytes(32), keys.digest(b"unknown"))]


def test_the_commands(path):
    file = ["--keys", str(path)]
    options = ["--scope", "read", "--scope", "predict", "--rate", "100", "--burst", "200"]
    assert call("keys", "list", *file) == (0, "no keys\n", "")
    code, out, err = call("keys", "add", "shop", *options, "--expires", "90d", *file)
    assert (code, out.count("\n")) == (0, 1)
    assert "shown only now" in err
    assert Ring(path).find(out.strip().encode()).name == "shop"
    shown = call("keys", "list", *file)[1]
    assert "shop" in shown
    assert "predict, read" in shown
    assert out.strip() not in shown
    (listed,) = json.loads(call("keys", "list", "--json", *file)[1])
    assert (listed["rate"], listed["burst"]) == (100, 200)
    assert "digest" not in listed
    assert call("keys", "add", "shop", *options, *file)[0] == 2
    code, _, err = call("keys", "add", "all", *file)
    wanted = "Missing option '--scope'. Choose from: predict, read, admin."
    assert (code, err) == (2, f"mastery: {wanted} See: mastery keys add --help\n")
    assert call("keys", "remove", "shop", *file) == (0, "shop is no more\n", "")
    code, out, err = call("keys", "remove", "shop", *file)
    assert (code, err) == (2, "mastery: name: there is no key 'shop' (keys: none)\n")


def test_by_default_the_keys_are_in_the_config_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert call("keys", "add", "shop", "--scope", "read")[0] == 0
    assert [key.name for key in keys.read(tmp_path / "mastery_jax" / "keys.json")] == ["shop"]
    assert terms.default_file() == tmp_path / "mastery_jax" / "keys.json"
