"""A published model answers as its function did, wherever it is loaded."""

import os
import pickle
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from mastery_jax.workflow import artifact
from mastery_jax.workflow.artifact import ArtifactError, load
from tests.published import METHODS, RNG, ROWS, STATE, embed, put


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return put(tmp_path_factory.mktemp("models"), METHODS)


@pytest.fixture(scope="module")
def loaded(published):
    return load(published)


# What is written


def test_layout(published):
    assert published.name == "1"
    assert {path.name for path in published.iterdir()} == {
        "SHA256SUMS",
        "embed.stablehlo",
        "golden.safetensors",
        "manifest.json",
        "params.safetensors",
        "predict_proba.stablehlo",
        "sample.stablehlo",
    }
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=published, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert os.stat(published).st_mode & 0o755 == 0o755, "a server of another user can read it"


def test_manifest(loaded):
    told = loaded.manifest
    assert (told.schema, told.name, told.version, told.task) == (1, "toy", 1, "classify")
    assert told.classes == ("red", "green", "blue")
    assert told.metrics == {"accuracy": 0.5, "loss": None, "unknown": None}
    assert told.provenance["run"] == "runs/toy/1"
    assert told.provenance["jax"] == jax.__version__
    assert told.methods["predict_proba"] == artifact.MethodSpec(
        inputs={"features": artifact.Tensor(dtype="float32", shape=(-1, 4))},
        outputs={
            "predictions": artifact.Tensor(dtype="int32", shape=(-1,)),
            "probabilities": artifact.Tensor(dtype="float32", shape=(-1, 3)),
        },
    )
    assert list(told.methods["sample"].inputs) == ["seed"]
    assert told.methods["embed"].outputs["vectors"].dtype == "bfloat16"


def test_only_what_is_read_is_kept(published):
    params = safetensors.numpy.load((published / "params.safetensors").read_bytes())
    assert params.keys() == {"params.kernel", "params.scale", "key"}
    np.testing.assert_array_equal(params["params.kernel"], STATE.params["kernel"])
    assert params["params.scale"].shape == ()


def test_no_pickle(published):
    for path in published.iterdir():
        with pytest.raises(Exception):  # noqa: B017, PT011  (whatever pickle says of nonsense)
            pickle.loads(path.read_bytes())


# What it answers


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_those_of_the_function(loaded, method):
    wanted = METHODS[method](STATE, ROWS)
    fields = loaded.manifest.methods[method].inputs
    for count in (1, 2, 5, 6):
        answers = loaded.call(method, {field: ROWS[field][:count] for field in fields})
        for name, value in wanted.items():
            assert answers[name].dtype == value.dtype
            np.testing.assert_allclose(
                answers[name].astype(float), np.asarray(value[:count], float), rtol=1e-5, atol=1e-6
            )


def test_a_row_has_the_same_bits_in_any_batch(loaded):
    full = loaded.compile("predict_proba", 6)({"features": ROWS["features"]})["probabilities"]
    pair = loaded.call("predict_proba", {"features": ROWS["features"][3:5]})["probabilities"]
    np.testing.assert_array_equal(pair, full[3:5])


def test_no_rows_are_answered_with_none(loaded):
    answers = loaded.call("embed", {"codes": np.zeros(0, np.int32)})
    assert answers["vectors"].shape == (0, 3)
    assert answers["vectors"].dtype.name == "bfloat16"


def test_compiled_once_for_each_batch(loaded):
    assert loaded.compile("embed", 2) is loaded.compile("embed", 2)
    assert loaded.compile("embed", 2) is not loaded.compile("embed", 6)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({}, "inputs are none, not features"),
        ({"seed": ROWS["seed"]}, "inputs are seed, not features"),
        ({**ROWS}, "not features"),
        ({"features": np.zeros((6, 4))}, r"features is float64\[6, 4\], not float32\[6, 4\]"),
        ({"features": np.zeros((6, 5), "f4")}, r"features is float32\[6, 5\], not"),
        ({"features": np.zeros((5, 4), "f4")}, r"features is float32\[5, 4\], not"),
        ({"features": np.zeros((6, 4), ">f4")}, "features is >f4"),
    ],
)
def test_wrong_inputs(loaded, x, message):
    with pytest.raises(ValueError, match=message):
        loaded.compile("predict_proba", 6)(x)


def test_wrong_calls(loaded):
    with pytest.raises(ValueError, match="method is 'fit', not one of predict_proba"):
        loaded.compile("fit", 2)
    with pytest.raises(ValueError, match="batch is 0"):
        loaded.compile("embed", 0)
    with pytest.raises(ValueError, match="one and the same number of rows"):
        loaded.call("embed", {"codes": np.int32(1)})


def test_linear_algebra_is_allowed(tmp_path):
    def algebra(state, x):
        gram = x["features"][:, :, None] * x["features"][:, None, :] + 4 * jnp.eye(4)[None]
        values, _ = tuple(jnp.linalg.eigh(gram))
        return {
            "solution": jnp.linalg.solve(gram, x["features"][:, :, None])[:, :, 0],
            "log_det": 2 * jnp.log(jnp.linalg.cholesky(gram)[:, 0, 0])
            + jnp.cumsum(values, 1)[:, 0],
            "rank": jax.lax.top_k(jnp.sort(values), 2)[0],
        }

    folder = put(tmp_path, {"algebra": algebra})
    assert load(folder).manifest.methods.keys() == {"algebra"}


def test_an_output_may_have_the_name_of_an_input(tmp_path):
    def step(state, x):
        return {"features": x["features"] * state["decay"], "codes": x["codes"] + 1}

    loaded = load(put(tmp_path, {"step": step}, state={"decay": jnp.float32(0.5)}))
    x = {"features": ROWS["features"], "codes": ROWS["codes"]}
    for _ in range(2):
        x = loaded.call("step", x)
    np.testing.assert_array_equal(x["features"], ROWS["features"] / 4)
    np.testing.assert_array_equal(x["codes"], ROWS["codes"] + 2)


# Where it lies


def test_versions(published, tmp_path):
    models = published.parents[1]
    for folder in (".hidden/1", "toy/latest", "toy/01", "toy/.2", "empty", "bad name/1"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    assert artifact.versions(models) == ({"toy": (1,)}, {})
    with pytest.raises(ArtifactError, match="cannot be read"):
        artifact.versions(tmp_path / "absent")


def test_a_folder_has_the_name_and_the_number_that_were_published(published, tmp_path):
    for place in ("toy/2", "fox/1"):
        copy = shutil.copytree(published, tmp_path / place)
        with pytest.raises(ArtifactError, match=r"renamed, its manifest\.json says toy/1: rename"):
            load(copy)
    assert load(shutil.copytree(published, tmp_path / "anywhere")).manifest.version == 1


def test_a_digest_says_what_is_in_it(published, tmp_path):
    copy = shutil.copytree(published, tmp_path / "1")
    assert artifact.digest(copy) == artifact.digest(published) is not None
    sums = copy / "SHA256SUMS"
    sums.write_text(sums.read_text() + " ")
    assert artifact.digest(copy) != artifact.digest(published)
    sums.unlink()
    assert artifact.digest(copy) is None


def test_platforms(published):
    assert load(published, platform="cpu").manifest.name == "toy"
    with pytest.raises(ArtifactError, match="no platform 'cuda'"):
        load(published, platform="cuda")


def test_64_bits(tmp_path, published):
    def line(state, x):
        return {"predictions": x["features"] @ state["kernel"][:, 0]}

    with jax.enable_x64(True):
        x = {"features": RNG.normal(size=(4, 4))}
        state = {"kernel": RNG.normal(size=(4, 3))}
        wide = put(tmp_path, {"predict": line}, rows=x, state=state, classes=())
        answers = load(wide).call("predict", x)["predictions"]
        np.testing.assert_allclose(answers, line(state, x)["predictions"], rtol=1e-14)
        narrow = load(published).call("embed", {"codes": ROWS["codes"]})["vectors"]
    np.testing.assert_array_equal(narrow, embed(STATE, ROWS)["vectors"])
    with pytest.raises(ArtifactError, match=r"works in 64 bits: .* JAX_ENABLE_X64=1"):
        load(wide)


@pytest.mark.parametrize(
    ("dtype", "error", "same"),
    [
        ("float32", 0.0, True),
        ("float32", 5e-5, True),
        ("float32", 5e-4, False),
        ("float64", 5e-5, False),
        ("bfloat16", 1e-2, True),
        ("int32", 1, False),
    ],
)
def test_agreement(dtype, error, same):
    golden = np.asarray(jnp.ones((3, 2), dtype if dtype != "float64" else "float32"))
    golden = golden.astype(dtype)
    other = golden.copy()
    other[1, 1] = other[1, 1] + np.asarray(error, golden.dtype)
    assert artifact.agree(other, golden) == same


def test_agreement_of_what_is_not_finite():
    golden = np.array([[np.nan, 1.0], [np.inf, 2.0]], np.float32)
    assert artifact.agree(golden.copy(), golden)
    assert not artifact.agree(np.nan_to_num(golden), golden)
    assert not artifact.agree(golden, np.nan_to_num(golden))
    assert not artifact.agree(golden[:1], golden)
