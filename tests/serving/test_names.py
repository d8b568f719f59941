"""What predictions are called: one name each, and none that somebody could guess."""

import numpy as np

from serving.store.names import Names, check_id
from tests.serving.recorded import predict
from tests.serving.served import start


def test_no_id_follows_from_another(published, tmp_path):
    with start(published, store=f"sqlite:///{tmp_path}/p.sqlite3") as client:
        names = [predict(client)["prediction_id"] for _ in range(20)]
    starts, tails = zip(*(name.split("-") for name in names), strict=True)
    assert len(set(starts)) == 1
    assert [int(tail[:-16], 16) for tail in tails] == list(range(20)), "none comes twice"
    letters = [tail[-16:] for tail in tails]
    assert len(set(letters)) == 20
    other = Names()
    assert not {next(other)[-16:] for _ in range(20)} & set(letters), "another secret"
    bits = np.array([[int(letter, 16) >> bit & 1 for bit in range(64)] for letter in letters])
    assert 0.4 < bits.mean() < 0.6


def test_ids_of_before_are_ids():
    for name in ("5912a5442276-1f", "0" * 12 + "-" + "f" * 16, next(Names())):
        assert check_id(name) == name
