"""Trained, exported and served: a forest, boosted trees, logistic regression; as good as told."""

import numpy as np
import pytest
from litestar.testing import TestClient

from mastery_jax.workflow import config, data, export, records, run
from mastery_jax.workflow.progress import Progress
from serving.app import create_app
from serving.settings import Settings

pytestmark = [pytest.mark.engine, pytest.mark.slow]

QUIET = Progress(quiet=True)
MODELS = {  # name: config, the score that it is published for, its least value
    "classification_model": ("breast_cancer_forest", "test_accuracy", 0.80),
    "regression_model": ("friedman_boosting", "test_r2", 0.60),
    "logistic_model": ("digits_logistic", "test_accuracy", 0.65),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Train and export all three."""
    folder = tmp_path_factory.mktemp("classical")
    for name, (source, score, least) in MODELS.items():
        ran = run.run(config.load(source), runs=folder / "runs", progress=QUIET)
        assert records.metrics(ran)[-1][score] >= least
        export.export(ran, name=name, models=folder / "models", progress=QUIET)
    return folder / "models"


def test_all_three_answer_as_well_as_they_were_measured(models):
    with TestClient(create_app(Settings(models=models))) as client:
        assert client.get("/health").json()["models_loaded"] == 3
        for name, (source, score, _) in MODELS.items():
            test = data.load(config.load(source).value.data).arrays["test"]
            rows = test["X"][:100]
            asked = {"model_name": name, "features": rows.tolist()}
            answer = client.post("/predict/batch", json=asked)
            assert answer.status_code == 200
            found = np.asarray(answer.json()["predictions"])
            if score == "test_accuracy":
                assert np.mean(found == test["y"][:100]) > 0.9
                sums = np.sum(answer.json()["probabilities"], axis=1)
                np.testing.assert_allclose(sums, 1, atol=1e-5)
            else:
                assert np.corrcoef(found, test["y"][:100])[0, 1] ** 2 > 0.9
