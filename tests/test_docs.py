"""The documentation is true: what a page shows runs, gives what is shown, and can be found.

A page's blocks of ``python`` run in one namespace. ``# -> value`` after an expression, or on the
line below it, is held against its value, to the last digit that is shown. A block that is headed
by a file's name (``yaml robust.yaml``) is that file. Commands are parsed; those of ``console run``
are run, and their output is compared. ``...`` stands for anything.
"""

import ast
import decimal
import doctest
import math
import pathlib
import re
import shlex
from typing import NamedTuple

import click.testing
import httpx
import numpy as np
import pytest
from litestar.testing import TestClient

from mastery_jax import cli
from mastery_jax.commands.sweeps import asked
from mastery_jax.workflow import config, launch
from serving.app import create_app
from serving.settings import Settings
from tests.pages import DOCS, FENCE, ROOMS, ROOT, TEXTS, name_of

LONG = (  # half a minute each
    *("bayesopt", "causal", "choosing", "inference", "mcmc", "nonlinear_filtering"),
    *("clustering", "components", "flows", "linear", "ode", "optimize", "probability"),
    *("quadrature", "regression", "shap"),
    *("selection", "sklearn", "svm", "trees"),
)
INLINE = re.compile(r"(?<!`)`(mastery [^`]+)`(?!`)")
SHOWN = "# -> "
VARYING = {
    "processing_time",
    "timestamp",
    "request_id",
    "prediction_id",
}  # of an answer; shown, not compared
JSON = {"null": None, "true": True, "false": False}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: pathlib.Path
    line: int  # of its fence
    info: list[str]
    text: str


def blocks(page):
    text = page.read_text()
    return [
        Block(page, text[: found.start()].count("\n") + 1, found["info"].split(), found["text"])
        for found in FENCE.finditer(text)
    ]


def agrees(shown, value):
    """Say whether a value is what a page shows of it: ``shown`` is JSON or a Python literal."""

    def same(node, value):
        match node:
            case ast.Dict():
                names = [ast.literal_eval(key) for key in node.keys if key]
                return names == list(value) and all(
                    name in VARYING or same(each, value[name])
                    for name, each in zip(names, node.values, strict=True)
                )
            case ast.List() | ast.Tuple():
                rows = list(value)
                return len(rows) == len(node.elts) and all(map(same, node.elts, rows))
            case ast.Name("nan"):
                return bool(np.isnan(value))
            case ast.Name("null" | "true" | "false"):
                return value is JSON[node.id]
            case ast.Constant(bool() | str() | None):
                return value == node.value
            case _:
                return within(ast.get_source_segment(shown, node), value)

    return same(ast.parse(shown, mode="eval").body, value)


def within(text, value):
    """Say whether a number is what ``text`` shows, to one unit in its last digit."""
    wanted = decimal.Decimal(text.replace(" ", "").replace("inf", "Infinity"))
    if isinstance(value, int) or np.issubdtype(np.asarray(value).dtype, np.integer):
        return int(value) == wanted
    unit = 10.0 ** int(wanted.as_tuple().exponent) if wanted.is_finite() else 0
    return np.shape(value) == () and math.isclose(value, wanted, rel_tol=0, abs_tol=unit)


def resembles(shown, printed):
    """Say whether a text is what a page shows of it, word by word where they are as many."""

    def same(wanted, word):
        is_number = re.fullmatch(r"[+-]?\d+\.\d+", wanted) and re.fullmatch(r"[+-]?[\d.]+", word)
        return within(wanted, float(word)) if is_number else matches(wanted, word)

    def matches(shown, printed):
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        return doctest.OutputChecker().check_output(shown, printed, flags)

    words, came = shown.split(), printed.split()
    return (len(words) == len(came) and all(map(same, words, came))) or matches(shown, printed)


class Reader:
    """Someone who types what a page shows, in an empty folder."""

    def __init__(self, monkeypatch):
        self.names = {"__name__": "__main__"}
        monkeypatch.setattr(httpx, "Client", lambda **given: self.ask)  # of serving.client
        self.server = None

    @property
    def ask(self):
        """The connection to a server of the folder ``models``, which starts when it is needed."""
        if self.server is None:
            store = "sqlite:///models/predictions.sqlite3"  # as `mastery serve` does
            app = create_app(Settings(models=pathlib.Path("models"), store=store))
            self.server = TestClient(app, base_url="http://127.0.0.1:8000").__enter__()
        return self.server

    def follow(self, block):
        kind, *rest = block.info or [""]
        if kind == "console" and rest == ["run"]:
            for command, shown in commands(block):
                self.type(f"{name_of(block.page)}:{block.line}", command, shown)
        elif rest and kind != "console":
            pathlib.Path(rest[0]).write_text(block.text)
        elif kind == "python":
            self.execute(block)

    def execute(self, block):
        """Run the statements of a block, and hold what they give against what is shown."""
        source = "\n" * block.line + block.text  # so that a traceback has the page's lines
        lines = [*source.splitlines(), ""]
        for node in ast.parse(source).body:
            where = f"{name_of(block.page)}:{node.lineno}"
            here, below = lines[node.end_lineno - 1 : node.end_lineno + 1]
            _, arrow, shown = (below if below.startswith(SHOWN) else here).partition(SHOWN)
            if not arrow:
                exec(compile(ast.Module([node], []), where, "exec"), self.names)
                continue
            assert isinstance(node, ast.Expr), f"{where}: only an expression has a value to show"
            value = self.value(compile(ast.Expression(node.value), where, "eval"))
            if isinstance(value, Exception):
                value = f"{type(value).__name__}: {value}".splitlines()[0]
                assert resembles(shown, value), f"{where}: {value}"
            else:
                assert agrees(shown, value), f"{where}: {shown} is shown, {value} came"

    def value(self, code):
        """Return what an expression gives: its value, or the error that a user sees."""
        try:
            return eval(code, self.names)
        except ValueError as error:
            return error

    def type(self, where, command, shown):
        if command.startswith("mastery "):
            done = click.testing.CliRunner().invoke(cli.main, shlex.split(command)[1:])
            assert done.exit_code == 0, f"{where}: {done.output} {done.exception!r}"
            assert resembles(shown, done.stdout), f"{where}: {done.stdout}"
            return
        answer = self.curl(command)
        is_text = answer.headers["content-type"].startswith("text")
        is_so = resembles(shown, answer.text) if is_text else agrees(shown, answer.json())
        assert is_so, f"{where}: {answer.text}"

    def curl(self, command):
        """Send what ``curl -s [-X VERB] URL [-d 'BODY']`` would."""
        form = r"curl -s( -X (?P<verb>\w+))? (?P<url>\S+)( -d '(?P<body>.*)')?"
        asked = re.fullmatch(form, command)
        assert asked, command
        verb = asked["verb"] or ("POST" if asked["body"] else "GET")
        return self.ask.request(verb, httpx.URL(asked["url"]).path, content=asked["body"])


@pytest.fixture
def reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(launch, "prepare", lambda **given: None)  # jax is here already
    reader = Reader(monkeypatch)
    yield reader
    if reader.server:
        reader.server.__exit__(None, None, None)


def commands(block):
    """Return each command of a block, and what it prints; ``\\`` continues a command."""
    text = re.sub(r"\s*\\\n\s*", " ", block.text)
    if block.info[:1] == ["bash"]:
        text = re.sub(r"^(?=mastery )", "$ ", text, flags=re.MULTILINE)
    return [part.split("\n", 1) for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]


def page_of(path):
    marks = [pytest.mark.slow] if path.stem in LONG else []
    return pytest.param(path, id=name_of(path), marks=marks)


@pytest.mark.engine
@pytest.mark.parametrize("page", [page_of(path) for path in (ROOT / "README.md", *ROOMS)])
def test_a_page_is_true(page, reader):
    for block in blocks(page):
        reader.follow(block)


@pytest.mark.engine
@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_commands_are_spelled_right(text, reader):
    for block in blocks(text):
        if block.info[1:] and block.info[0] != "console":
            reader.follow(block)
    typed = [command for block in blocks(text) for command, _ in commands(block)]
    for command in [*typed, *INLINE.findall(FENCE.sub("", text.read_text()))]:
        program, name, *words = shlex.split(command, comments=True)
        words = [word for word in words if word != "&"]
        if program == "mastery" and not name.startswith("-"):
            assert name in cli.main.commands, command
            if words:  # a bare name in a sentence is no whole command
                parse(name, words)


def parse(name, words):
    """Read a command line as the program would, up to where it would compute."""
    context = cli.main.commands[name].make_context(name, list(words))
    if name in ("run", "sweep"):
        load = {"run": config.load, "sweep": config.load_sweep}[name]
        params = context.params
        short = asked(params["num_samples"], params["metric"]) if name == "sweep" else ()
        load(params["config"], params["changes"] + short)


@pytest.mark.parametrize(
    ("shown", "value", "is_so"),
    [
        ("1.50", 1.509, True),
        ("1.50", 1.52, False),
        ("3", 4, False),
        ("[1.0, nan]", np.array([1.0, np.nan]), True),
        ("[1.0]", np.array([1.0, 2.0]), False),
        ("(-1e-3, inf)", (-0.0015, np.inf), True),
        ("{'a': [null, true]}", {"a": [None, True]}, True),
        ("{'a': 'x'}", {"a": "y"}, False),
        ("{'processing_time': 0.1}", {"processing_time": 3.0}, True),
    ],
)
def test_what_is_shown_is_compared(shown, value, is_so):
    assert agrees(shown, value) is is_so


@pytest.mark.parametrize("text", ["1 + 1  # -> 3", "x = 2  # -> 2", "int('a')\n# -> ValueError: b"])
def test_what_is_false_is_found(text, reader):
    with pytest.raises(AssertionError):
        reader.execute(Block(DOCS / "core.md", 1, ["python"], text))
