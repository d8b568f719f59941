"""Pictures of chains: the right numbers at the right places."""

import subprocess
import sys

import numpy as np
import pytest

from mastery_jax.plots import chains, style

rng = np.random.default_rng(0)
DRAWS = rng.normal(size=(4, 200))


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw and return the axes; the PNG is written too."""
    kept = {}
    save = style.save

    def keep(plane, file, **options):
        kept["plane"] = plane
        return save(plane, file, **options)

    monkeypatch.setattr(style, "save", keep)

    def draw(function, *draws, **options):
        file = function(*draws, file=tmp_path / "new" / "x.png", **options)
        assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        return kept["plane"]

    return draw


def test_every_chain_is_a_line(drawn):
    gappy = DRAWS.copy()
    gappy[1, 5] = np.inf
    plane = drawn(chains.trace, gappy, name="theta")
    assert len(plane.lines) == 4
    expected = DRAWS[1].copy()
    expected[5] = np.nan
    np.testing.assert_array_equal(plane.lines[1].get_ydata(), expected)
    assert plane.get_title(loc="left") == "theta over draws"


def test_ranks_of_each_chain_add_to_its_draws(drawn):
    plane = drawn(chains.rank, DRAWS, name="theta", num_bins=10)
    counts = np.array(
        [patch.get_data().values for patch in plane.patches if hasattr(patch, "get_data")]
    )
    assert counts.shape == (4, 10)
    assert (counts.sum(axis=1) == 200).all()
    assert (counts.sum(axis=0) == 80).all(), "all together they are even"
    ahead = drawn(chains.rank, DRAWS + 9 * np.eye(4)[0][:, None], name="theta", num_bins=4)
    first = next(patch for patch in ahead.patches if hasattr(patch, "get_data"))
    np.testing.assert_array_equal(first.get_data().values, [0, 0, 0, 200])


def test_equal_draws_share_their_rank(drawn):
    plane = drawn(chains.rank, np.ones((2, 9)), name="theta", num_bins=3)
    for patch in plane.patches:
        if hasattr(patch, "get_data"):
            np.testing.assert_array_equal(patch.get_data().values, [0, 9, 0])


def test_divergences_are_all_shown(drawn):
    many = rng.normal(size=(4, 5000))
    marks = np.zeros(many.shape, bool)
    marks[2, [3, 7]] = True
    plane = drawn(chains.pair, many, 2 * many, names=("mu", "log tau"), is_divergent=marks)
    plain, divergent = plane.lines
    assert len(plain.get_xdata()) <= 4000
    np.testing.assert_array_equal(divergent.get_xdata(), many[2, [3, 7]])
    np.testing.assert_array_equal(divergent.get_ydata(), 2 * many[2, [3, 7]])
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("mu", "log tau")
    assert len(drawn(chains.pair, many, many, names=("a", "b")).lines) == 1


def test_refuses(tmp_path):
    file = tmp_path / "x.png"
    with pytest.raises(ValueError, match=r"chains.trace: draws have shape \(3,\), not"):
        chains.trace(np.ones(3), name="x", file=file)
    with pytest.raises(ValueError, match=r"chains\.rank: draws are not all finite"):
        chains.rank([[1.0, np.nan]], name="x", file=file)
    with pytest.raises(ValueError, match="num_bins is 300, not between 2 and the 200 draws"):
        chains.rank(DRAWS, name="x", file=file, num_bins=300)
    with pytest.raises(ValueError, match=r"chains.pair: shapes .* differ"):
        chains.pair(DRAWS, DRAWS[:, 1:], names=("a", "b"), file=file)
    assert not file.exists()


def test_needs_no_jax():
    code = "import sys; from mastery_jax.plots import chains; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
