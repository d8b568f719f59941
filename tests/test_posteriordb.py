"""NUTS draws the posteriors of posteriordb: first the model is right, then the moments are."""

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density

from tests.pages import DOCS
from tests.posteriors import POSTERIORS, judge, read

pytestmark = [pytest.mark.reference, pytest.mark.engine]


def name_of(this):
    return this.folder.split("-")[1]


def drawn(this):
    return pytest.param(this, marks=[pytest.mark.slow] if this.is_dear else [], id=name_of(this))


@pytest.mark.parametrize("this", POSTERIORS, ids=name_of)
def test_log_density_differences(reference, this):
    points = read(reference, this, "logdensity.json")["points"]
    with jax.enable_x64(True):
        model = this.model(read(reference, this, "data.json"))
        found = [log_density(model, (), {}, this.latents(p["params"]))[0] for p in points]
    expected = np.array([p["log_density"] for p in points])
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("this", [drawn(this) for this in POSTERIORS])
def test_moments(reference, this):
    judged = judge(reference, this)
    assert judged.min_step_size > 1e-6
    assert judged.min_sd > 0
    for name, z in judged.z.items():
        assert judged.rhat[name] < 1.01, name
        assert abs(z) < 4, name
        assert judged.sd_ratio[name] == pytest.approx(1, abs=0.1), name


def test_the_table_has_every_posterior():
    page = (DOCS / "POSTERIORS.md").read_text()
    rows = [line.split(" |")[0] for line in page.splitlines() if line.startswith("| ")]
    assert rows == ["| posterior", *(f"| {name_of(this)}" for this in POSTERIORS)]
