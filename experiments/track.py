"""Where is it now? Levels that wander, seen with noise: a Kalman filter that learns its variances.

Every column has a level of its own, and the two variances are found by following the gradient of
the likelihood through the filter:

    level_t = level_{t-1} + w,  w ~ N(0, process_var)
    y_t     = level_t     + v,  v ~ N(0, emission_var)

Nothing is assumed of the first level: the belief starts at the first observation, N(y_1,
emission_var), and the likelihood is that of the rest, given y_1.

Source: Durbin & Koopman (2012), *Time Series Analysis by State Space Methods*, chapter 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from experiments.blocks import Optimizer, State
from mastery_jax.inference.filtering import kalman, rts
from mastery_jax.networks import training
from mastery_jax.probability.metrics import regression
from mastery_jax.workflow.data import Series
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "Params", "build", "check"]

MIN_ROWS = 3  # one to start from, and two to tell the variances apart


class Config(RunConfig, frozen=True, kw_only=True):
    """One series, of one or more columns."""

    data: Series
    optimizer: Optimizer = Optimizer(kind="adam", learning_rate=0.1, weight_decay=0.0)


class Params(NamedTuple):
    """Log variances, in units of the variance of the column."""

    log_emission_var: Float[Array, " obs"]
    log_process_var: Float[Array, " obs"]


def check(config: Config) -> None:
    """Refuse a run that would learn nothing."""
    if not config.num_steps:
        raise ConfigError("num_steps: 0, but variances are learned by steps; wanted 1 or more")


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""
    if (num_rows := spec.arrays["y"].shape[0]) < MIN_ROWS:
        raise ConfigError(f"data: the series has {num_rows} rows, not at least {MIN_ROWS}")
    optimizer = training.optimizer(
        config.optimizer.kind,
        learning_rate=config.optimizer.learning_rate,
        weight_decay=config.optimizer.weight_decay,
    )

    def init(_, data: Any) -> State:
        spread = data["y"].std(axis=0)
        start = jnp.full_like(spread, jnp.log(0.5))  # half of the variance is noise, or level
        params = Params(log_emission_var=start, log_process_var=start)
        return State(
            scaling={"scale": jnp.where(spread > 0, spread, 1)},
            model=training.init(params, {}, optimizer=optimizer),
        )

    def step(key: Array, state: State, data: Any) -> tuple[State, dict[str, Array]]:
        batch = (state.scaling, data["y"])
        model, info = training.step(
            key, state.model, batch, loss=Partial(_loss), optimizer=optimizer
        )
        return state._replace(model=model), info._asdict()

    def evaluate(state: State, data: Any) -> dict[str, Array]:
        ys, model = data["y"], _model(state.scaling, state.model.params)
        filtered, info = _follow(model, ys)
        smoothed = rts.smooth(filtered, model=model)
        columns = {
            "emission_var": jnp.diagonal(model.emission_cov),  # squared unit of the column
            "process_var": jnp.diagonal(model.process_cov),
            "forecast_rmse": jax.vmap(regression.rmse, 1)(filtered.mean[:-1], ys[1:]),  # its unit
            "smoothed_rmse": jax.vmap(regression.rmse, 1)(smoothed.mean, ys),
        }
        found = {"log_likelihood": info.log_likelihood.sum()}  # nats, of y_2 … given y_1
        for name, values in columns.items():
            for column, value in zip(spec.features, values, strict=True):
                found[name if len(values) == 1 else f"{name}_{column}"] = value
        return found

    return Experiment(
        init=init,
        step=step,
        evaluate=evaluate,
        methods={"step": _step, "forecast": _forecast},
        example=_example,
    )


def _model(scaling: dict[str, Array], params: Params) -> kalman.Model:
    """Return the model in the units of the data."""
    unit = scaling["scale"] ** 2
    identity = jnp.eye(unit.size, dtype=unit.dtype)
    return kalman.Model(
        transition=identity,
        process_cov=jnp.diag(unit * jnp.exp(params.log_process_var)),
        emission=identity,
        emission_cov=jnp.diag(unit * jnp.exp(params.log_emission_var)),
    )


def _follow(model: kalman.Model, ys: Array) -> tuple[kalman.Beliefs, kalman.Info]:
    """Return the belief at every t, from the first, and what each later observation told."""
    first = kalman.State(mean=ys[0], cov=model.emission_cov)
    later, info = kalman.filter(first, ys[1:], model=model)
    return jax.tree.map(
        lambda x, xs: jnp.append(x[None], xs, axis=0), kalman.Beliefs(*first), later
    ), info


def _loss(_key: Array, params: Params, statistics: Any, batch: Any) -> tuple[Array, Any]:
    scaling, ys = batch
    _, info = _follow(_model(scaling, params), ys)
    return -info.log_likelihood.mean(), statistics  # nats per observation


def _step(state: State, x: Any) -> dict[str, Array]:
    """Move each belief one step and condition it on an observation."""
    model = _model(state.scaling, state.model.params)

    def one(mean: Array, cov: Array, y: Array) -> tuple[kalman.State, kalman.Info]:
        return kalman.step(kalman.State(mean, cov), y, model=model)

    beliefs, info = jax.vmap(one)(x["mean"], x["cov"], x["y"])
    return beliefs._asdict() | {"log_likelihood": info.log_likelihood}


def _forecast(state: State, x: Any) -> dict[str, Array]:
    """Return mean and covariance of the next observation."""
    model = _model(state.scaling, state.model.params)

    def one(mean: Array, cov: Array) -> kalman.State:
        return kalman.predict(kalman.State(mean, cov), model=model)

    level = jax.vmap(one)(x["mean"], x["cov"])
    return {"y_mean": level.mean, "y_cov": level.cov + model.emission_cov[None]}


def _example(data: Any) -> dict[str, Array]:
    """Return beliefs that stand at an observation, each with the next one."""
    ys = data["y"][:9]
    spread = jnp.diag(data["y"].var(axis=0))
    return {
        "mean": ys[:-1],
        "cov": jnp.broadcast_to(spread, (len(ys) - 1, *spread.shape)),
        "y": ys[1:],
    }
