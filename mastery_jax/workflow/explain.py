"""The slopes of a prediction in its features, as a method that can be published.

value_i = p_i[argmax p_i], or the prediction itself;  gradients_ij = d value_i / d features_ij

Source: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks (2014), section 3.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mastery_jax.workflow.errors import ArtifactError

__all__ = ["NAME", "method"]

NAME = "explain"
PREDICTORS = ("predict_proba", "predict")  # the first that a model has is explained

Function = Callable[[Any, Any], Any]  # (state, x) -> outputs


def method(
    name: str, methods: Mapping[str, Function], state: Any, x: Mapping[str, Any]
) -> Function:
    """Return the method ``explain``: of the same rows what is predicted, and its slopes.

    Cost: of a call, some three times that of the method.

    Args:
        name: The model's, in messages.
        methods: All of the model's.
        state: What they take.
        x: Example rows.

    Raises:
        ArtifactError: There is a method of that name, none that predicts from features, one
            without derivatives, or one whose slopes are zero at all example rows: steps, as trees
            are made of.
    """
    import jax

    if NAME in methods:
        raise ArtifactError(f"{name}: there is a method {NAME} already")
    found = next((n for n in PREDICTORS if n in methods), None)
    if found is None or "features" not in x:
        raise ArtifactError(f"{name}: {NAME} wants predict(features), and has {', '.join(methods)}")
    explained = _explained(methods[found])
    try:
        slopes = np.asarray(jax.jit(explained)(state, x)["gradients"])
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ArtifactError(
            f"{name}: {found} has no derivatives: {type(error).__name__}: {reason}"
        ) from error
    if not slopes.any():
        raise ArtifactError(
            f"{name}: {found} has slope 0 at every example row, as trees do; "
            "mastery_jax.trust.shap explains them"
        )
    return explained


def _explained(function: Function) -> Function:
    import jax
    import jax.numpy as jnp

    def explained(state: Any, x: Any) -> dict[str, Any]:
        def value(features: Any) -> tuple[Any, Any]:
            outputs = function(state, {**x, "features": features})
            predictions = outputs["predictions"]
            if "probabilities" not in outputs:
                return predictions, predictions
            probabilities = outputs["probabilities"]
            best = jnp.argmax(probabilities, axis=1, keepdims=True)
            return jnp.take_along_axis(probabilities, best, axis=1)[:, 0], predictions

        # One pullback for all rows, since none depends on another.
        found, pull, predictions = jax.vjp(value, x["features"], has_aux=True)
        (gradients,) = pull(jnp.ones_like(found))
        return {"predictions": predictions, "value": found, "gradients": gradients}

    return explained
