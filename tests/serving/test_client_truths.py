"""Feedback, accuracy and the record of predictions by both clients."""

import asyncio

import httpx
import pytest

from serving.caller import plans
from serving.client import AsyncClient, Client, ServingError
from tests.serving.served import ROWS, start


def asking(kind, client):
    """Return a client whose requests go to the application, and what its calls come to."""
    if kind is Client:
        asked = Client("http://testserver.local")
        asked.close()
        asked._http = client
        return asked, lambda answer: answer
    asked = AsyncClient("http://testserver.local")
    transport = httpx.ASGITransport(client.app)
    asked._http = httpx.AsyncClient(transport=transport, base_url="http://testserver.local")
    return asked, asyncio.run


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_clients_tell_the_truth(published, tmp_path, kind):
    with start(published, store=f"sqlite:///{tmp_path / 'p.sqlite3'}") as client:
        asked, come = asking(kind, client)
        answer = come(asked.predict_batch(ROWS[:2].tolist(), "flower"))
        name, (first, second) = answer.prediction_id, answer.labels
        other = {"red": "blue", "blue": "red"}[second]
        assert come(asked.feedback(name, first)).truth == answer.predictions[0]
        judged = come(asked.feedback(name, other, row=1))
        assert (judged.row, judged.is_replaced) == (1, False)
        (version,) = come(asked.accuracy("flower", days=1)).versions
        assert (version.rows, version.accuracy) == (2, 0.5)
        come(asked.predict(ROWS[0].tolist(), "line"))
        assert [each.model_id for each in come(asked.predictions())] == ["line", "flower"]
        assert [each.rows for each in come(asked.predictions("flower", limit=1))] == [2]
        with pytest.raises(ServingError, match="404: prediction 0123456789ab-0 is not recorded"):
            come(asked.feedback("0123456789ab-0", 1))


def test_what_a_client_sends_in_binary_is_recorded(published, tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "LARGE", 1)
    with start(published, store=f"sqlite:///{tmp_path / 'p.sqlite3'}") as client:
        asked, _ = asking(Client, client)
        name = asked.predict_batch(ROWS, "flower").prediction_id
        assert asked.feedback(name, 0, row=8).row == 8


def test_a_call_of_any_method_is_recorded(published, tmp_path):
    with start(published, store=f"sqlite:///{tmp_path / 'p.sqlite3'}") as client:
        asked, _ = asking(Client, client)
        rows = asked.call("line", "predict", features=ROWS[:3])
        assert asked.feedback(rows.prediction_id, 1.5, row=2).truth == 1.5
        (found,) = asked.predictions()
        assert (found.method, found.rows) == ("predict", 3)
