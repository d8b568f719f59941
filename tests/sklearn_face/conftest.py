"""Settings of these tests: most shapes are seen once, so that compiling costs more than running."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def compiled_quickly(quick_compilation):
    """Compile every program of this folder quickly."""
