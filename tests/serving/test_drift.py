"""What shifted is seen, what did not is not, and nothing of it holds up an answer."""

import numpy as np
import pytest
from litestar.testing import TestClient

from mastery_jax.workflow.artifact import Histogram
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.publish import _histogram
from serving.app import create_app
from serving.drift import measures
from serving.drift.columns import Columns
from serving.drift.exposition import MOST
from serving.drift.predictions import Predictions
from serving.drift.watch import FEWEST, named
from serving.settings import Settings, check
from tests.serving import served
from tests.serving.served import samples

NAMES = ("a", "b", "c")
REFERENCE = np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)


def histograms(values):
    return [_histogram(f"x{i}", column) for i, column in enumerate(values.T.astype(np.float64))]


def counted(histogram, values):
    """Count by the definition of a bin, one value at a time."""
    counts = [0] * (len(histogram.edges) + 1)
    for value in values:
        if np.isfinite(value):
            counts[sum(float(value) > edge for edge in histogram.edges)] += 1
    return counts


def psi(p_counts, q_counts):
    """Return the sum of the definition, a bin at a time."""
    p_total, q_total, found = sum(p_counts), sum(q_counts), 0.0
    for p_count, q_count in zip(p_counts, q_counts, strict=True):
        p = (p_count + 0.5) / (p_total + len(p_counts) / 2)
        q = (q_count + 0.5) / (q_total + len(q_counts) / 2)
        found += (q - p) * np.log(q / p)
    return found


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_counts_and_distances_are_those_of_the_definition(dtype):
    rng = np.random.default_rng(2)
    reference = rng.normal(size=(300, 4)).astype(dtype)
    reference[:, 2] = rng.integers(0, 3, 300)  # few bins
    known = histograms(reference)
    columns = Columns(known, double=dtype is np.float64, half=10_000)
    x = rng.normal(0.3, 1.2, size=(777, 4)).astype(dtype)
    x[:, 2] = rng.integers(0, 3, 777)
    x[:, 3] = rng.choice([*known[3].edges, 0.1], 777)  # on the edges themselves
    x[rng.random(x.shape) < 0.05] = np.nan
    x[5, 0], x[6, 1] = np.inf, -np.inf
    for part in np.split(x, [1, 3, 300, 640]):
        columns.take(part)
    counts, missing, rows = columns.window
    assert rows == 777
    np.testing.assert_array_equal(missing, (~np.isfinite(x)).sum(axis=0))
    found = measures.psi(columns.reference, counts, columns.is_bin)
    distances = measures.ks(columns.reference, counts)
    for i, histogram in enumerate(known):
        wanted = counted(histogram, x[:, i])
        assert counts[i][columns.is_bin[i]].tolist() == wanted
        assert counts[i].sum() == sum(wanted)
        assert found[i] == pytest.approx(psi(histogram.counts, wanted), rel=1e-12)
        up_to = np.cumsum(histogram.counts) / sum(histogram.counts)
        ours = np.cumsum(wanted) / sum(wanted)
        assert distances[i] == pytest.approx(abs(up_to - ours).max(), rel=1e-12)


def test_a_window_forgets_by_halves():
    columns = Columns(histograms(REFERENCE), double=False, half=500)
    rows = []
    for value in range(5):
        columns.take(np.full((250, 3), value, np.float32))
        rows.append(columns.window[2])
    assert rows == [250, 500, 750, 500, 750]
    counts, _, _ = columns.window
    assert counts[0].tolist() == counted(
        histograms(REFERENCE)[0], [2] * 250 + [3] * 250 + [4] * 250
    )


def test_no_alarm_where_nothing_shifted():
    """64 features, 60 to 2,000 rows of reference: 60 windows, at most 1 in 1,000 is an alarm."""
    rng = np.random.default_rng(3)
    for n in (60, 200, 2000):
        for _ in range(20):
            columns = Columns(histograms(rng.normal(size=(n, 64))), double=True, half=5000)
            columns.take(rng.normal(size=(4000, 64)))
            counts, _, _ = columns.window
            rows = columns.reference.sum(1), counts.sum(1)
            limit = measures.psi_limit(*rows, columns.is_bin.sum(1), 64)
            assert (measures.psi(columns.reference, counts, columns.is_bin) < limit).all()
            assert (measures.ks(columns.reference, counts) < measures.ks_limit(*rows, 64)).all()


@pytest.mark.parametrize(("shift", "scale"), [(1.0, 1.0), (-1.0, 1.0), (0.0, 3.0)])
def test_a_planted_shift_is_an_alarm(shift, scale):
    rng = np.random.default_rng(4)
    columns = Columns(histograms(rng.normal(size=(200, 8))), double=True, half=5000)
    x = rng.normal(size=(1000, 8))
    x[:, 5] = scale * x[:, 5] + shift
    columns.take(x)
    counts, _, _ = columns.window
    limit = measures.psi_limit(
        columns.reference.sum(1), counts.sum(1), columns.is_bin.sum(1), tests=8
    )
    found = measures.psi(columns.reference, counts, columns.is_bin) > limit
    assert found.tolist() == [i == 5 for i in range(8)]


@pytest.mark.parametrize("classes", [3, None])
def test_predictions_against_the_first_of_them(classes):
    rng = np.random.default_rng(5)
    seen = Predictions(classes, half=600)
    first = rng.integers(0, 3, 600) if classes else rng.normal(size=600)
    seen.take(first[:7])
    assert (seen.seen.first, seen.seen.rows) == (7, 0)
    seen.take(first[7:])
    assert seen.seen.first == 600
    if classes:
        assert seen.reference.tolist() == np.bincount(first).tolist()
    else:
        assert seen.reference.tolist() == [60] * 10
    later = np.full(500, 2) if classes else np.full(500, 9.0)
    seen.take(later)
    counts = seen.seen.counts
    assert seen.seen.rows == 500
    assert counts.tolist() == [0] * (len(counts) - 1) + [500]


def test_names_are_told_apart():
    same = [Histogram(feature=f, edges=(0.0,), counts=(1, 1), missing=0) for f in ("a", "a", "b")]
    assert named(same, taken=set()) == ["a", "a[1]", "b"]
    assert named(same[:1], taken={"a", "a[0]"}) == ["a[0]'"]


@pytest.fixture
def watched(tmp_path):
    """Serve a model with a reference, and one without."""
    served.put(
        tmp_path,
        "flower",
        served.CLASSIFIER,
        classes=("red", "blue"),
        reference={"features": REFERENCE},
    )
    served.put(tmp_path, "line", served.LINE)
    settings = Settings(models=tmp_path, buckets=(2, 64), drift_rows=2000)
    with TestClient(create_app(settings)) as client:
        yield client


def send(client, rows):
    answer = client.post("/predict/batch", json={"features": rows.tolist(), "model_id": "flower"})
    assert answer.status_code == 200


def test_from_requests_to_the_report(watched):
    rng = np.random.default_rng(6)
    (before,) = watched.get("/models/flower/drift").json()["versions"]
    assert before["reason"] == f"the window has 0 rows, wanted {FEWEST} at least"
    assert (before["features"], before["is_drifted"]) == ([], False)
    send(watched, rng.normal(size=(1600, 3)))
    (calm,) = watched.get("/models/flower@1/drift").json()["versions"]
    assert (calm["rows"], calm["reason"], calm["is_drifted"]) == (1600, None, False)
    assert {f["feature"] for f in calm["features"]} == set(NAMES)
    assert max(f["psi"] for f in calm["features"]) < 0.05
    assert calm["predictions"]["kind"] == "classes"
    assert calm["predictions"]["psi"] < 0.05

    shifted = rng.normal(size=(2000, 3))
    shifted[:, 1] += 2
    send(watched, shifted)
    (now,) = watched.get("/models/flower/drift").json()["versions"]
    assert now["is_drifted"]
    assert [f["feature"] for f in now["features"] if f["is_drifted"]] == ["b"]
    assert now["features"][0]["feature"] == "b", "the largest first"
    assert now["features"][0]["ks"] > now["features"][0]["ks_limit"]
    assert now["predictions"]["is_drifted"], "b decides the class"

    found = samples(watched)
    version = (("model", "flower"), ("version", "1"))
    (value,) = [v for (name, labels), v in found.items() if is_of(name, labels, "b")]
    assert value == pytest.approx(now["features"][0]["psi"])
    assert found["ml_prediction_shift", version] > found["ml_prediction_shift_limit", version]
    assert found["ml_drift_rows", version] == now["rows"]
    assert found["ml_recompiles_total", ()] == 0


def is_of(name, labels, feature):
    return name == "ml_drift_psi" and ("feature", feature) in labels


def test_a_model_without_a_reference_says_so(watched):
    (line,) = watched.get("/models/line/drift").json()["versions"]
    assert line["reason"] == "the reference has less than 50 rows"
    assert (line["features"], line["is_drifted"]) == ([], False)
    assert watched.get("/models/nobody/drift").status_code == 404


def test_series_are_bounded(tmp_path):
    import jax.numpy as jnp

    from mastery_jax.workflow import publish
    from mastery_jax.workflow.experiment import Experiment

    wide = np.random.default_rng(7).normal(size=(100, MOST + 30)).astype(np.float32)
    publish.publish(
        tmp_path,
        "wide",
        experiment=Experiment(
            init=lambda key, data: data,
            step=lambda key, state, data: (state, {}),
            evaluate=lambda state, data: {},
            methods={"predict": lambda s, x: {"predictions": x["features"] @ s["w"]}},
            example=lambda data: {"features": data[:4]},
        ),
        state={"w": jnp.ones(MOST + 30)},
        data=wide,
        task="regress",
        features=tuple(f"f{i}" for i in range(MOST + 30)),
        classes=(),
        metrics={},
        provenance={},
        reference={"features": wide},
    )
    with TestClient(create_app(Settings(models=tmp_path, buckets=(64,)))) as client:
        rows = np.tile(wide, (6, 1))
        assert client.post("/predict/batch", json={"features": rows.tolist()}).status_code == 200
        (told,) = client.get("/models/wide/drift").json()["versions"]
        assert len(told["features"]) == MOST + 30
        assert sum(name == "ml_drift_psi" for name, _ in samples(client)) == MOST


def test_what_fails_in_it_is_no_fault_of_the_answer(watched, monkeypatch, caplog):
    def broken(self, x):
        raise FloatingPointError("planted")

    monkeypatch.setattr(Columns, "take", broken)
    for _ in range(3):
        send(watched, np.zeros((3, 3)))
    told = [r.getMessage() for r in caplog.records if r.name == "serving.drift.watch"]
    assert told == ["flower/1: drift is watched no more"], "once"


def test_windows_that_are_too_small(tmp_path):
    with pytest.raises(ConfigError, match=f"drift_rows: 10 is below {2 * FEWEST}"):
        check(Settings(models=tmp_path, drift_rows=10))
