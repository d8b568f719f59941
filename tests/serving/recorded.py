"""What the tests of the record of predictions share."""

import secrets
import time

from serving.store import maintenance
from tests.serving.served import ROWS, post

PATIENCE = 60  # seconds for what a thread does, on a busy machine
FLOWER = {"features": ROWS[0].tolist(), "model_id": "flower"}
LINE = {"features": [1, 2, 3], "model_id": "line"}


def fresh(server, *, is_upgraded=True):
    """Return the URL of a new database, with its tables."""
    import psycopg

    name = f"d{secrets.token_hex(6)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = server.url.replace("/postgres", f"/{name}")
    if is_upgraded:
        maintenance.upgrade(url)
    return url


def predict(client, question=FLOWER):
    answer = post(client, "/predict", question)
    assert answer.status_code == 200, answer.text
    return answer.json()


def judge(client, name, truth, row=0):
    return post(client, f"/predictions/{name}/feedback", {"truth": truth, "row": row})


def until(condition):
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
