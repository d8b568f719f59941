"""What experiments share: scaling, a fit in one go, or a network, its optimizer and the step."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
from jax.tree_util import Partial
from msgspec import Meta, Struct

from mastery_jax.core.functional import functional
from mastery_jax.networks import training
from mastery_jax.networks.mlp import MLP, Activation
from mastery_jax.workflow.errors import ConfigError

__all__ = [
    "BatchSize",
    "Count",
    "Depth",
    "Fitted",
    "Init",
    "Leaf",
    "Mlp",
    "OneGo",
    "Optimizer",
    "State",
    "Step",
    "Widths",
    "by_gradient",
    "by_mlp",
    "check_steps",
    "ended",
    "in_one_go",
    "insist_at_most",
    "standardize",
]

Count = Annotated[int, Meta(ge=1)]
Depth = Annotated[int, Meta(ge=1, description="most steps from the root to a leaf")]
Leaf = Annotated[float, Meta(ge=1, description="rows that a leaf has at least")]
BatchSize = Annotated[int, Meta(ge=1, description="rows drawn, with replacement, for each step")]
Widths = Annotated[
    tuple[Annotated[int, Meta(ge=1)], ...], Meta(description="units of each hidden layer")
]


class Optimizer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the parameters follow the gradient."""

    kind: training.Kind = "adamw"
    learning_rate: Annotated[float, Meta(gt=0, description="size of a step")] = 1e-3
    weight_decay: Annotated[float, Meta(ge=0, description="pull of the weights towards 0")] = 1e-4


class Mlp(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="mlp"
):
    """A multilayer perceptron."""

    widths: Widths = (64, 64)
    activation: Activation = "relu"
    dropout: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(description="share of hidden units dropped in a step; null builds none"),
    ] = None


class OneGo(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A model that is fitted while it is made, and takes no steps."""

    def check(self, num_rows: int, num_features: int) -> None:
        """Refuse what does not go with the size of the data.

        Raises:
            ConfigError: a field is larger than the data allow.
        """


class State(NamedTuple):
    """A model, and the units in which it sees the data."""

    scaling: dict[str, jax.Array]  # center and scale of X; of y too where y is a number
    model: Any


Fitted = tuple[Any, dict[str, jax.Array]]  # a model, and scalars that its fit says of itself
Init = Callable[[Any, Any], State]  # (key, data) -> state
Step = Callable[[Any, State, Any], tuple[State, dict[str, jax.Array]]]  # (key, state, data)


def standardize(scaling: dict[str, jax.Array], X: jax.Array) -> jax.Array:
    """Return the features in units of their spread in the training rows."""
    return (X - scaling["center"][None, :]) / scaling["scale"][None, :]


def insist_at_most(field: str, value: int | None, most: int, what: str) -> None:
    """Insist that a field of the model is no larger than the data allow.

    Raises:
        ConfigError: it is.
    """
    if value is not None and value > most:
        raise ConfigError(f"model.{field}: {value} of {most} {what}; wanted at most {most}")


def check_steps(config: Any) -> None:
    """Insist that a model fitted in one go takes no steps, and that every other takes some.

    Raises:
        ConfigError: ``num_steps`` does not go with ``model.kind``.
    """
    kind = config.model.__struct_config__.tag
    if isinstance(config.model, OneGo):
        if config.num_steps:
            raise ConfigError(
                f"num_steps: {config.num_steps} with model.kind {kind}, which is fitted in one "
                "go; wanted 0"
            )
    elif not config.num_steps:
        raise ConfigError(
            f"num_steps: 0 with model.kind {kind}, which learns by steps; wanted 1 or more"
        )


def in_one_go(
    fit: Callable[[Any, dict[str, jax.Array], Any], Fitted],
) -> tuple[Init, Step]:
    """Return the ``init`` and ``step`` of a model that is fitted while it is made.

    Args:
        fit: ``fit(key, scaling, rows)``; what it returns is the state's model.
    """

    def init(key: Any, data: Any) -> State:
        scaling = _scaling(data)
        return State(scaling=scaling, model=fit(key, scaling, data["train"]))

    return init, lambda _, state, __: (state, {})


def ended(info: Any) -> dict[str, jax.Array]:
    """Say whether a fit has converged, and how many steps it took, of its slowest part."""
    dtype = jax.dtypes.canonicalize_dtype(float)
    return {"is_converged": info.is_done.astype(dtype), "fit_steps": info.num_steps.max()}


def by_gradient(
    config: Any, make: Callable[[Any], tuple[Any, Any]], loss: Partial
) -> tuple[Init, Step]:
    """Return the ``init`` and ``step`` of a model that learns from minibatches.

    Args:
        config: Has ``optimizer`` and ``batch_size``.
        make: ``make(key) -> (params, statistics)``.
        loss: As in ``networks.training``; its batch is ``(scaling, rows)``.
    """
    optimizer = training.optimizer(
        config.optimizer.kind,
        learning_rate=config.optimizer.learning_rate,
        weight_decay=config.optimizer.weight_decay,
    )

    def init(key: Any, data: Any) -> State:
        model = training.init(*make(key), optimizer=optimizer)
        return State(scaling=_scaling(data), model=model)

    def step(key: Any, state: State, data: Any) -> tuple[State, dict[str, jax.Array]]:
        rows_key, loss_key = jax.random.split(key)
        rows = training.minibatch(rows_key, data["train"], size=config.batch_size)
        model, info = training.step(
            loss_key, state.model, (state.scaling, rows), loss=loss, optimizer=optimizer
        )
        return state._replace(model=model), info._asdict()

    return init, step


def by_mlp(
    config: Any,
    num_inputs: int,
    num_outputs: int,
    objective: Callable[[jax.Array, dict[str, jax.Array], dict[str, jax.Array]], jax.Array],
) -> tuple[Init, Step, Callable[[State, jax.Array], jax.Array]]:
    """Return ``init``, ``step`` and ``outputs(state, X)`` of a multilayer perceptron.

    Args:
        config: Has ``model``, an :class:`Mlp`, ``optimizer`` and ``batch_size``.
        num_inputs: Number of features.
        num_outputs: Number of outputs of the network.
        objective: ``objective(outputs, scaling, rows) -> loss``.
    """
    model = config.model
    network = functional(
        lambda rngs: MLP(
            num_inputs, model.widths, num_outputs, activation=model.activation, rngs=rngs
        )
    )

    def loss(key: Any, params: Any, statistics: Any, batch: Any, *, rate: Any) -> Any:
        scaling, rows = batch
        X = standardize(scaling, rows["X"])
        outputs, statistics = network.apply(params, statistics, X, rate, key=key, train=True)
        return objective(outputs, scaling, rows), statistics

    def outputs(state: State, X: jax.Array) -> jax.Array:
        params, statistics, _ = state.model
        return network.apply(params, statistics, standardize(state.scaling, X))[0]

    return *by_gradient(config, network.init, Partial(loss, rate=model.dropout)), outputs


def _scaling(data: Any) -> dict[str, jax.Array]:
    return {name: array for name, array in data.items() if name not in ("train", "test")}
