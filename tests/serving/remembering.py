"""What the tests of answers that are remembered share."""

from tests.serving.served import ROWS, post, samples

FLOWER = {"features": ROWS[0].tolist(), "model_id": "flower"}
BY = (("method", "predict_proba"), ("model", "flower"), ("version", "1"))


def predict(client, question=FLOWER):
    answer = post(client, "/predict", question)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return {k: body[k] for k in ("predictions", "probabilities", "labels")}


def counts(client, by=BY):
    """Return hits, misses and batches."""
    found = samples(client)
    names = ("ml_cache_hits_total", "ml_cache_misses_total", "ml_execution_count_total")
    return tuple(found[name, by] for name in names)
