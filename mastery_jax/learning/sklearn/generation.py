"""How a module becomes a class that scikit-learn knows.

A line of the table names a module with ``fit``. Its keywords become the constructor's parameters,
its other functions the methods, the fields of its State the attributes; data are validated by
scikit-learn's own functions, so that its sentences are said. The dtype of X decides: double
precision is computed in double, single in single, everything else is made double.

Source: Buitinck et al. (2013), *API design for machine learning software*, arXiv:1309.0238,
section 2; Pedregosa et al. (2011), *Scikit-learn*, *JMLR* 12.
"""

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Literal

from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    DensityMixin,
    RegressorMixin,
    TransformerMixin,
)

from mastery_jax.learning.sklearn import methods, signatures
from mastery_jax.learning.sklearn.base import Estimator, Plan

__all__ = ["Kind", "make"]

Kind = Literal["classifier", "regressor", "transformer", "embedding", "clusterer", "mixture"]

_MIXINS: dict[str, tuple[type, ...]] = {
    "classifier": (ClassifierMixin,),
    "regressor": (RegressorMixin,),
    "transformer": (),
    "embedding": (),
    "clusterer": (ClusterMixin,),
    "mixture": (DensityMixin,),
}
_TRANSFORMER = (ClassNamePrefixFeaturesOutMixin, TransformerMixin)
_HOME = "mastery_jax.learning.sklearn.estimators"  # where pickle looks for a class


def make(
    name: str,
    module: ModuleType,
    kind: Kind,
    *,
    verbs: ModuleType | None = None,
    bound: tuple[str, ...] = (),
    optional: Mapping[str, tuple[str, str]] | None = None,
    is_positive: bool = False,
    is_poor: bool = False,
    defaults: Mapping[str, object] | None = None,
) -> type[Estimator]:
    """Return the class of one line of the table.

    Args:
        name: What scikit-learn calls such an estimator.
        module: Where ``fit`` is.
        kind: What it is to scikit-learn.
        verbs: Where the functions of the State are, if not in ``module``.
        bound: Parameters of ``fit`` that the functions of the State take as well.
        optional: Methods that need a parameter other than 0, with the parameter, and with the field
            of the State that is NaN without it.
        is_positive: No feature may be negative.
        is_poor: It is not made for data such as clouds of points, where it scores badly.
        defaults: What differs from the defaults of ``fit``, or is not there.

    Raises:
        ValueError: a parameter without a default, or a default without a parameter.

    Example:
        >>> from mastery_jax.learning.linear import ridge
        >>> make("Firm", ridge, "regressor", defaults={"l2": 0.5})()
        Firm()
        >>> make("Firm", ridge, "regressor")(l2=0.25)
        Firm(l2=0.25)
    """
    fit: Callable[..., Any] = module.fit
    takes = signatures.takes(fit)
    named = {p.name: p.default for p in signatures.parameters(fit)} | dict(defaults or {})
    if kind == "classifier" and "weights" in takes:
        named["class_weight"] = None
    if "is_held_out" in takes:
        named["validation_fraction"] = None
    if "key" in takes:
        named["random_state"] = None
    known = {p.name for p in signatures.parameters(fit)} | methods.ADDED
    for parameter, default in named.items():
        if default is inspect.Parameter.empty or parameter not in known:
            problem = "has no default" if parameter in known else "is no parameter"
            raise ValueError(f"generation.make: {parameter} of {name} {problem}")
    plan = Plan(
        name=name,
        kind=kind,
        fit=fit,
        verbs=vars(verbs or module),
        parameters=signatures.parameters(fit),
        takes=takes,
        bound=bound,
        optional=dict(optional or {}),
        is_positive=is_positive,
        is_poor=is_poor,
    )
    is_transformer = kind == "embedding" or ("transform" in plan.verbs)
    mixins = (*(_TRANSFORMER if is_transformer else ()), *_MIXINS[kind])
    body = {
        "__doc__": _doc(module, fit, named),
        "__module__": _HOME,
        "__qualname__": name,
        "__init__": _constructor(name, named),
        "_plan": plan,
        **methods.of(plan),
    }
    made = type(name, (*mixins, Estimator), body)
    setattr(made, "__sklearn_tags__", methods.tags_of(made))  # noqa: B010
    return made


def _constructor(name: str, named: Mapping[str, object]) -> Callable[..., None]:
    def __init__(self: object, **given: object) -> None:
        for unknown in given.keys() - named.keys():
            raise TypeError(f"{name}: {unknown} is no parameter; there are {', '.join(named)}")
        for parameter, default in named.items():
            setattr(self, parameter, given.get(parameter, default))

    kind = inspect.Parameter.KEYWORD_ONLY
    keywords = [inspect.Parameter(key, kind, default=value) for key, value in named.items()]
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    __init__.__signature__ = inspect.Signature([itself, *keywords])  # pyright: ignore[reportFunctionMemberAccess]
    __init__.__qualname__ = f"{name}.__init__"
    return __init__


def _doc(module: ModuleType, fit: Callable[..., object], named: Mapping[str, object]) -> str:
    """Return the module's text, and its function's words about every parameter."""
    words = signatures.about(fit) | methods.ABOUT
    lines = [inspect.getdoc(module) or "", "", f"The functions are in ``{module.__name__}``.", ""]
    lines += ["Parameters", "----------"]
    for parameter, default in named.items():
        lines += [f"{parameter} : default={default!r}", f"    {words.get(parameter, '')}"]
    lines += ["", "Attributes", "----------"]
    for attribute, text in methods.SHOWN.items():
        lines += [attribute, f"    {text}"]
    return "\n".join(lines)
