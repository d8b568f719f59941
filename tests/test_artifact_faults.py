"""A damaged, foreign or lying artefact is refused in one sentence, before it can do harm."""

import json
import os
import pathlib
import pickle
import shutil

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from mastery_jax.workflow import manifest
from mastery_jax.workflow.artifact import ArtifactError, load
from tests.published import METHODS, RNG, put


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return put(tmp_path_factory.mktemp("models"), METHODS)


@pytest.fixture
def copy(published, tmp_path):
    """A version that a test may damage."""
    return pathlib.Path(shutil.copytree(published, tmp_path / "toy" / "1"))


@pytest.fixture
def undeserialized(monkeypatch):
    """Whatever the test does, no program reaches the parser, which a bad byte can kill."""

    def refuse(program):
        raise AssertionError("a program was deserialized")

    monkeypatch.setattr(jax.export, "deserialize", refuse)


def reseal(folder, **contents):
    """Replace files and make the sizes and sums true again, as an honest but wrong tool would."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    told = json.loads((folder / "manifest.json").read_bytes())
    told["files"] = {name: (folder / name).stat().st_size for name in told["files"]}
    retell(folder, told)


def retell(folder, told):
    """Replace the manifest by ``told``, and make the sums true again."""
    (folder / "manifest.json").write_bytes(json.dumps(told).encode())
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "SHA256SUMS"}
    (folder / "SHA256SUMS").write_bytes(manifest.sums(files))


def told_of(folder):
    return json.loads((folder / "manifest.json").read_bytes())


def program_of(function, platforms=("cpu",), **options):
    """Export by hand what takes the parameters and the inputs of ``predict_proba``."""
    (rows,) = jax.export.symbolic_shape("rows")
    specs = (
        {"params.kernel": jax.ShapeDtypeStruct((4, 3), "float32")},
        {"features": jax.ShapeDtypeStruct((rows, 4), "float32")},
    )
    return jax.export.export(jax.jit(function), platforms=platforms, **options)(*specs).serialize()


FILES = [
    "SHA256SUMS",
    "embed.stablehlo",
    "golden.safetensors",
    "manifest.json",
    "params.safetensors",
    "predict_proba.stablehlo",
    "sample.stablehlo",
]


@pytest.mark.usefixtures("undeserialized")
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_seen_before_anything_is_parsed(copy, name):
    content = (copy / name).read_bytes()
    for bit in RNG.choice(8 * len(content), size=32, replace=False):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (copy / name).write_bytes(damaged)
        with pytest.raises(ArtifactError):
            load(copy)


@pytest.mark.usefixtures("undeserialized")
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_or_missing_file(copy, name):
    content = (copy / name).read_bytes()
    for part in (content[:-1], content[: len(content) // 2], b"", content + b"\n"):
        (copy / name).write_bytes(part)
        with pytest.raises(ArtifactError):
            load(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load(copy)


def link(folder):
    (folder / "params.safetensors").rename(folder.parent / "elsewhere")
    (folder / "params.safetensors").symlink_to(folder.parent / "elsewhere")


@pytest.mark.usefixtures("undeserialized")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "notes.txt").touch(), "notes.txt in the folder is no part"),
        (lambda folder: (folder / "sub").mkdir(), "sub is no plain file"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe is no plain file"),
        (link, "params.safetensors is no plain file"),
        (shutil.rmtree, "cannot be read"),
        (lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../x\n"), "is damaged"),
    ],
)
def test_a_folder_that_is_not_as_published(copy, damage, message):
    damage(copy)
    with pytest.raises(ArtifactError, match=message):
        load(copy)


@pytest.mark.usefixtures("undeserialized")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(schema=2), "has schema 2, this program reads 1: upgrade"),
        (lambda told: told.update(schema=0), "publish it again"),
        (lambda told: told.update(surprise=1), "unknown field `surprise`"),
        (lambda told: told.update(version="1"), r"\$.version"),
        (lambda told: told.update(golden=0), r"\$.golden"),
        (lambda told: told.update(name="../up"), r"\$.name"),
        (lambda told: told["methods"].update({"../up": told["methods"]["embed"]}), "manifest.json"),
        (
            lambda told: told["methods"].update(more=told["methods"]["embed"]),
            "more.stablehlo is mi",
        ),
        (lambda told: told["methods"].pop("embed"), "embed.stablehlo in manifest.json is no part"),
        (lambda told: told["files"].update({"embed.stablehlo": 10**10}), "not 10000000000"),
        (lambda told: told["files"].pop("params.safetensors"), "params.safetensors is missing"),
    ],
)
def test_a_manifest_that_does_not_fit(copy, change, message):
    told = told_of(copy)
    change(told)
    retell(copy, told)
    with pytest.raises(ArtifactError, match=message):
        load(copy)


@pytest.mark.usefixtures("undeserialized")
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"schema": 1'])
def test_a_manifest_that_is_none(copy, content):
    (copy / "manifest.json").write_bytes(content)
    files = {p.name: p.read_bytes() for p in copy.iterdir() if p.name != "SHA256SUMS"}
    (copy / "SHA256SUMS").write_bytes(manifest.sums(files))
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        load(copy)


@pytest.mark.parametrize(
    ("side", "field", "lie"),
    [
        ("inputs", "features", {"dtype": "float32", "shape": [-1, 5]}),
        ("inputs", "features", {"dtype": "float16", "shape": [-1, 4]}),
        ("inputs", "colors", {"dtype": "float32", "shape": [-1]}),
        ("outputs", "probabilities", {"dtype": "float32", "shape": [-1, 4]}),
        ("outputs", "predictions", {"dtype": "int64", "shape": [-1]}),
    ],
)
def test_a_manifest_that_lies_about_types(copy, side, field, lie):
    told = told_of(copy)
    told["methods"]["predict_proba"][side][field] = lie
    retell(copy, told)
    with pytest.raises(ArtifactError, match=f"{field} is .* in the program"):
        load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["red"]}, "classes has 1 labels, and method predict_proba predicts the code"),
        ({"classes": list("abcd")}, r"classes has 4 labels, .* gives probabilities\[-1, 3\]"),
        ({"features": ["a"]}, "features has 1 names for 4 columns of predict_proba"),
        ({"version": 2}, "was renamed, its manifest.json says toy/2"),
        ({"name": "fox"}, "was renamed, its manifest.json says fox/1"),
    ],
)
def test_a_manifest_that_lies_about_names(copy, change, message):
    retell(copy, told_of(copy) | change)
    with pytest.raises(ArtifactError, match=message):
        load(copy)


def like_proba(params, x):
    scores = x["features"] @ params["params.kernel"]
    return {"predictions": jnp.argmax(scores, axis=1).astype(jnp.int32), "probabilities": scores}


def evil(params, x):
    like = jax.ShapeDtypeStruct(x["features"].shape, "float32")
    return {"predictions": jax.ffi.ffi_call("xla_python_cpu_callback", like)(x["features"])}


ANY_CALL = [jax.export.DisabledSafetyCheck.custom_call("xla_python_cpu_callback")]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda: b"nonsense", "cannot be read by jax"),
        (lambda: program_of(like_proba), "predict_proba answers its golden rows otherwise"),
        (lambda: program_of(like_proba, ("tpu",)), "exported for tpu, not for cpu"),
        (lambda: program_of(evil, disabled_checks=ANY_CALL), "calls xla_python_cpu_callback"),
        (lambda: program_of(lambda params, x: x["features"]), "does not map a dict"),
        (lambda: program_of(lambda params, x: {"a b": x["features"]}), "no name for a field"),
        (lambda: program_of(lambda params, x: {"y": x["features"].sum()}), "a row for each row"),
    ],
)
def test_a_program_that_is_not_ours(copy, program, message):
    reseal(copy, **{"predict_proba.stablehlo": bytes(program())})
    with pytest.raises(ArtifactError, match=message):
        load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda params: params.update(key=params["key"] + np.uint32(1)), "sample answers its gold"),
        (lambda params: params.pop("params.scale"), "params.scale is missing"),
        (
            lambda params: params.update({"params.scale": np.zeros(1, "f4")}),
            r"is float32\[1\], and",
        ),
    ],
)
def test_params_that_do_not_fit(copy, change, message):
    params = safetensors.numpy.load((copy / "params.safetensors").read_bytes())
    change(params)
    reseal(copy, **{"params.safetensors": safetensors.numpy.save(params)})
    with pytest.raises(ArtifactError, match=message):
        load(copy)


@pytest.mark.parametrize(
    "content",
    [pickle.dumps({"key": 1}), b"\xff" * 64, (10**10).to_bytes(8, "little") + b"{}", b""],
    ids=["pickle", "noise", "10 GB header", "empty"],
)
def test_params_that_are_none(copy, content):
    reseal(copy, **{"params.safetensors": content})
    with pytest.raises(ArtifactError, match=r"params\.safetensors is no file of arrays"):
        load(copy)


def test_golden_rows_that_do_not_fit(copy):
    reseal(copy, **{"golden.safetensors": (copy / "params.safetensors").read_bytes()})
    with pytest.raises(ArtifactError, match="does not run its golden rows"):
        load(copy)
