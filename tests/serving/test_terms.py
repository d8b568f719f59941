"""Who a server is open to, decided at its start."""

import click.testing
import pytest

from mastery_jax import cli
from mastery_jax.workflow.errors import ConfigError
from serving.access import keys, terms
from serving.access.ring import Ring
from serving.access.terms import Access
from serving.app import create_app
from serving.process import worker
from serving.settings import Settings


@pytest.fixture
def default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return terms.default_file()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback(host, default):
    assert terms.is_loopback(host)
    assert terms.settle(host, None, is_open=False) is None, "open until there are keys"
    keys.add(default, "a", ["read"])
    assert terms.settle(host, None, is_open=False) == default
    assert terms.settle(host, None, is_open=True) is None
    other = default.with_name("other.json")
    assert terms.settle(host, other, is_open=False) == other


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.com", "", "localhost.me"])
def test_elsewhere(host, default):
    assert not terms.is_loopback(host)
    assert terms.settle(host, None, is_open=False) == default, "keys, though there are none yet"
    with pytest.raises(ConfigError, match=r"reached from other machines, so --no-keys .* refused"):
        terms.settle(host, None, is_open=True)


def test_keys_named_and_not_wanted(default):
    with pytest.raises(ConfigError, match="came with --no-keys; give one of them"):
        terms.settle("127.0.0.1", default, is_open=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_in_flight": 0}, "max_in_flight: 0 is below 1"),
        ({"key_share": 0.0}, "key_share: 0 is not above 0 and at most 1"),
        ({"key_share": 1.5}, r"key_share: 1\.5 is not"),
        ({"logins": 0}, "logins: 0 is below 1"),
        ({"session_seconds": 0}, "session_seconds: 0 is below 1"),
        ({"proxies": ("a.b",)}, r"proxies: 'a\.b' is no address or network"),
    ],
)
def test_terms_refused(tmp_path, given, words):
    with pytest.raises(ConfigError, match=words):
        create_app(Settings(models=tmp_path, access=Access(**given)))


def test_no_server_is_open_to_others(tmp_path):
    with pytest.raises(ConfigError, match=r"keys: there are none, and 0\.0\.0\.0 is reached from"):
        create_app(Settings(models=tmp_path, host="0.0.0.0"))


@pytest.fixture
def start(tmp_path, monkeypatch, default):
    """Give a function that starts a server which stops before it loads anything."""
    served = []
    monkeypatch.setattr(worker, "serve", lambda settings, *_: served.append(settings) or 0)

    def start(*options):
        arguments = ["serve", "--models", str(tmp_path), "--port", "0", *options]
        done = click.testing.CliRunner().invoke(cli.main, arguments)
        return done.exit_code, done.stdout, done.stderr, served[-1] if served else None

    return start


def test_the_first_start_makes_a_key(start, default):
    code, out, err, settings = start("--host", "0.0.0.0")
    assert (code, out) == (0, "")
    assert err.count("\n") == 1
    key = err.split()[-1]
    assert Ring(default).find(key.encode()).key.scopes == list(keys.SCOPES)
    assert settings.access.keys == default
    assert start("--host", "0.0.0.0")[2] == "", "once"
    assert start()[3].access.keys == default, "and then on loopback too"
    assert start("--no-keys")[3].access.keys is None
    assert start("--open")[3].access.keys is None


def test_a_start_on_loopback_makes_none(start, default):
    assert start()[:3] == (0, "", "")
    assert not default.exists()


def test_options_of_a_start(start, default):
    options = ["--keys", str(default), "--public-metrics", "--proxy", "10.0.0.1", "--proxy", "::1"]
    code, _, err, settings = start(*options)
    assert code == 0
    assert "mastery_" in err
    access = settings.access
    assert (access.public_metrics, access.proxies) == (True, ("10.0.0.1", "::1"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0", "--open"], "is refused"),
        (["--host", "0.0.0.0", "--no-keys"], "is refused"),
        (["--proxy", "x"], "proxies: 'x' is no address"),
    ],
)
def test_a_start_refused(start, default, options, words):
    code, out, err, settings = start(*options)
    assert (code, out, settings) == (2, "", None)
    assert words in err
    assert err.count("\n") == 1
    assert not default.exists()


def test_a_start_with_keys_that_others_may_read(start, default):
    keys.add(default, "a", ["read"])
    default.chmod(0o644)
    code, _, err, _ = start()
    assert code == 2
    assert "chmod 600" in err
