"""Settings of these tests: most shapes are seen once, so that compiling costs more than running."""

import jax
import pytest


@pytest.fixture(autouse=True)
def quick_compilation():
    """Have programs compiled in two thirds of the time, to slower code with the same answers."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
