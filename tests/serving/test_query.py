"""``mastery query`` against a real server process."""

import json

import click.testing
import numpy as np
import pytest

from mastery_jax import cli
from mastery_jax.commands import rows
from mastery_jax.workflow.errors import DataError
from tests.serving.processes import free_port, running
from tests.serving.served import ROWS, W


@pytest.fixture(scope="module")
def url(published):
    with running(published) as server:
        yield server.wait_ready().url


def query(*words, url, given=None):
    """Return what is printed, and the exit status."""
    done = click.testing.CliRunner().invoke(cli.main, ["query", *words, "--url", url], input=given)
    return done.stdout, done.stderr, done.exit_code


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_one_row(url):
    out, _, code = query("flower", "--features", "1,2,-3.5", url=url)
    assert code == 0
    head, _, row = out.splitlines()
    assert head.split() == ["a", "b", "c", "prediction", "label", "probabilities"]
    assert row.split()[:3] == ["1", "2", "-3.5"]
    assert row.split()[4] in ("red", "blue")


@pytest.mark.parametrize("kind", ["npy", "csv", "named", "-"])
def test_rows_of_a_file(kind, url, tmp_path):
    text = "\n".join(",".join(map(repr, row)) for row in ROWS.tolist()) + "\n"
    path, given = tmp_path / f"rows.{'npy' if kind == 'npy' else 'csv'}", None
    if kind == "npy":
        np.save(path, ROWS)
    elif kind == "-":
        path, given = "-", text
    else:
        path.write_text(("a,b,c\n\n" if kind == "named" else "") + text)
    out, err, code = query("line@2", str(path), "--json", url=url, given=given)
    assert code == 0, err
    found = [answer["prediction"] for answer in lines(out)]
    np.testing.assert_allclose(found, ROWS @ (2 * W[:, 0]), rtol=1e-5)


def test_columns_are_found_by_their_names(url, tmp_path):
    path = tmp_path / "rows.csv"
    lines_of = [f"{b!r},red,{c!r},{a!r}" for a, b, c in ROWS.tolist()]
    path.write_text("\ufeffb, colour,c,a\n" + "\n".join(lines_of), encoding="utf-8")
    out, err, code = query("line", str(path), "--json", url=url)
    assert code == 0, err
    assert err == "left out, no feature of line: colour\n"
    found = [answer["prediction"] for answer in lines(out)]
    np.testing.assert_allclose(found, ROWS @ (2 * W[:, 0]), rtol=1e-5)


def test_a_name_that_was_probably_meant():
    sheet = rows.Sheet("rows.csv", [(1, ["agee", "size"]), (2, ["1", "2"])])
    with pytest.raises(DataError, match=r"no column 'age'.* did you mean agee\?"):
        rows.arrange(sheet, ["size", "age"])


def test_a_method(url):
    words = ("flower", "--features", "1,2,3", "--method", "predict_proba", "--json")
    out, _, code = query(*words, url=url)
    assert code == 0
    (answer,) = lines(out)
    assert sum(answer["probabilities"]) == pytest.approx(1.0, rel=1e-5)


def test_many_rows_are_cut(url, tmp_path):
    np.save(tmp_path / "rows.npy", np.ones((9000, 3), np.float32))
    out, _, _ = query("line", str(tmp_path / "rows.npy"), url=url)
    assert len(out.splitlines()) == 2 + 20 + 1
    assert "and 8980 more" in out
    out, _, _ = query("line", str(tmp_path / "rows.npy"), "--json", url=url)
    assert len(lines(out)) == 9000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("line", "--features", "1,2"), "the rows have 2 columns, and line takes 3: a, b, c"),
        (("nope", "--features", "1,2"), "404: model 'nope' is not one of: flower, line, walk"),
        (("line@old", "--features", "1,2,3"), "404: model 'line' has no version 'old'"),
        (("line", "--features", "1,2,x"), "--features is 1,2,x, not numbers"),
        (("line",), "Give a file"),
        (("line", "a.csv", "--features", "1"), "Give a file"),
        (("line", "missing.csv"), "missing.csv cannot be read: No such file"),
        (("line", "missing.npy"), "missing.npy cannot be read: No such file"),
        (("line", "words.csv"), "words.csv: line 3, column c: 'six' is no number"),
        (("line", "other.csv"), "other.csv has no column 'c', wanted a, b, c; its first line is"),
        (("line", "twice.csv"), "twice.csv has 2 columns with the name b"),
        (("line", "typo.csv"), "typo.csv has no column 'a', wanted a, b, c; its first line is 1"),
        (("line", "gap.csv"), "gap.csv: line 2, column 3: '' is no number"),
        (("line", "ragged.csv"), "ragged.csv is no table of numbers: line 2 has 2 columns"),
        (("line", "empty.csv"), "empty.csv is no table of numbers: it has no rows"),
        (("line", "empty.npy"), "empty.npy is no table of numbers"),
        (("line", "cube.npy"), "cube.npy holds float64[2, 2, 2], wanted rows of numbers"),
        (("line", "text.npy"), "text.npy holds <U1[2, 1], wanted rows of numbers"),
        (("walk", "--features", "1,2,3"), "predicts nothing from features alone"),
        (("line", "--features", "1,2,nan"), "Expected `float`, got `null`"),
        (("line", "--features", "1,2,3", "--method", "fly"), "404: model 'line' has no method"),
        (("walk", "--features", "1,2,3", "--method", "step"), "inputs: features came, wanted"),
    ],
)
def test_what_is_wrong_is_said(words, sentence, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.csv").write_text("a,b,c\n1,2,3\n4,5,six\n")
    (tmp_path / "other.csv").write_text("a,b,C\n1,2,3\n")
    (tmp_path / "twice.csv").write_text("a,b,b,c\n1,2,3,4\n")
    (tmp_path / "typo.csv").write_text("1,2,3O\n4,5,6\n")
    (tmp_path / "gap.csv").write_text("1,2,3\n4,5,\n")
    (tmp_path / "ragged.csv").write_text("1,2,3\n4,5\n")
    (tmp_path / "empty.csv").write_text("a,b,c\n")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    np.save(tmp_path / "text.npy", np.array([["a"], ["b"]]))
    out, err, code = query(*words, url=url)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_nobody_answers():
    url = f"http://127.0.0.1:{free_port()}"
    _, err, code = query("line", "--features", "1,2,3", url=url)
    assert code == 2
    assert f"no server answers at {url}; `mastery serve` starts one" in err
    for url in ("nonsense", "ftp://x", "http://[", "http://127.0.0.1:99999"):
        _, err, code = query("line", "--features", "1,2,3", url=url)
        assert code == 2, err
        assert err.count("\n") == 1
