import numpy as np
from scipy import special, stats

from mastery_jax.numerics import activations
from tests.contract import Case

rng = np.random.default_rng(0)
x = 2 * rng.normal(size=(3, 4))
ANY_RANK = {"any_rank": True, "because": "an activation acts on arrays of any rank"}


def gelu_of_gpt2(x, *, approximate):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


CASES: tuple[Case, ...] = (
    Case("activations.sigmoid", activations.sigmoid, (x,), oracle=special.expit, **ANY_RANK),
    Case("activations.tanh", activations.tanh, (x,), oracle=np.tanh, **ANY_RANK),
    Case(
        "activations.relu",
        activations.relu,
        (x,),
        oracle=lambda x: np.maximum(x, 0),
        **ANY_RANK,
    ),
    Case(
        "activations.leaky_relu",
        activations.leaky_relu,
        (x,),
        {"negative_slope": 0.2},
        oracle=lambda x, negative_slope: np.maximum(x, negative_slope * x),
        **ANY_RANK,
    ),
    Case(
        "activations.silu",
        activations.silu,
        (x,),
        oracle=lambda x: x / (1 + np.exp(-x)),
        **ANY_RANK,
    ),
    Case(
        "activations.gelu",
        activations.gelu,
        (x,),
        oracle=lambda x: x * stats.norm.cdf(x),
        **ANY_RANK,
    ),
    Case(
        "activations.gelu by tanh",
        activations.gelu,
        (x,),
        static={"approximate": True},
        oracle=gelu_of_gpt2,
        **ANY_RANK,
    ),
    Case(
        "activations.softmax",
        activations.softmax,
        (x,),
        static={"axis": 0},
        oracle=special.softmax,
        **ANY_RANK,
    ),
    Case(
        "activations.log_softmax",
        activations.log_softmax,
        (x,),
        static={"axis": 0},
        oracle=special.log_softmax,
        **ANY_RANK,
    ),
)
