"""What every estimator does with data: validate them, call a compiled function, keep its State.

The arrays of ``state_`` and ``info_`` are NumPy's, so that they are pickled, mapped to memory and
read outside of jax. A fit in double precision runs under ``jax.enable_x64``, whatever the program
has set; one in single precision runs as the program is.

Source: Buitinck et al. (2013), *API design for machine learning software*, arXiv:1309.0238,
section 2.2.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from mastery_jax.core.status import Status, describe
from mastery_jax.learning import class_weights
from mastery_jax.learning.sklearn import attributes, signatures, validation

__all__ = ["FLOATS", "Estimator", "Plan"]

FLOATS = (np.double, np.single)  # the first is what others are made


class Plan(NamedTuple):
    """What a class knows of its module."""

    name: str
    kind: str  # generation.Kind
    fit: Callable[..., Any]
    verbs: Mapping[str, Any]  # where the functions of the State are
    parameters: tuple[signatures.Parameter, ...]
    takes: frozenset[str]  # names of all parameters of ``fit``
    bound: tuple[str, ...]  # parameters that the functions of the State take as well
    optional: Mapping[str, tuple[str, str]]  # a method: its parameter, and its field of the State
    is_positive: bool  # no feature may be negative
    is_poor: bool  # on clouds of points


class Estimator(BaseEstimator):
    """Validation and the call; the methods of one estimator are made from its module."""

    _plan: ClassVar[Plan]
    state_: Any
    info_: Any
    classes_: np.ndarray
    random_state: Any
    validation_fraction: Any

    def __init__(self, **parameters: object) -> None:
        raise TypeError("Estimator is not fitted itself: its subclasses name their parameters")

    def _read(self, X: Any, *, reset: bool) -> Any:
        """Return X in a floating dtype, as scikit-learn validates it."""
        with self._naming(X):
            X = self._allowed(validate_data(self, X, reset=reset, **self._wanted()))
        return X if reset else X.astype(self._dtype(), copy=False)

    def _read_both(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Return X and y, as scikit-learn validates them."""
        is_numeric = self._plan.kind == "regressor"
        with self._naming(X):
            X, y = validate_data(self, X, y, reset=reset, y_numeric=is_numeric, **self._wanted())
        return self._allowed(X if reset else X.astype(self._dtype(), copy=False)), y

    @contextlib.contextmanager
    def _naming(self, X: Any) -> Iterator[None]:
        """Name the column where scikit-learn says that X has NaN or infinity in it."""
        try:
            yield
        except ValueError as error:
            if not str(error).startswith("Input X contains "):
                raise
            where = validation.column_of(X, is_nan_allowed="missing" in self._plan.takes)
            first, _, rest = str(error).partition("\n")
            raise ValueError(f"{first}{where}\n{rest}".rstrip()) from error

    def _wanted(self) -> dict[str, Any]:
        is_missing_read = "missing" in self._plan.takes
        finite = "allow-nan" if is_missing_read else True
        return {"dtype": list(FLOATS), "ensure_all_finite": finite}

    def _allowed(self, X: Any) -> Any:
        if self._plan.is_positive:
            check_non_negative(X, f"{self._plan.name} (input X)")
        return X

    def _dtype(self) -> np.dtype:
        leaves = jax.tree.leaves(self.state_)
        return next((leaf.dtype for leaf in leaves if leaf.dtype.kind == "f"), np.dtype(FLOATS[0]))

    def _weights(
        self, X: Any, sample_weight: Any, codes: Any = None, *, is_part: bool = False
    ) -> Any:
        """Return the weights of rows, with those of their classes; None where all are one."""
        weights = sample_weight
        if sample_weight is not None:
            weights = validation.weights(sample_weight, len(X), X.dtype)
        by_class = getattr(self, "class_weight", None)
        if by_class is not None:
            weights = np.ones(len(X), X.dtype) if weights is None else weights
            shares = self._class_weights(by_class, codes, weights)
            weights = weights * self._call(class_weights.spread, codes, shares, dtype=X.dtype)
        if codes is not None and not is_part:
            count = np.bincount(codes, weights)
            if (count > 0).sum() < 2:
                raise ValueError(
                    f"{self._plan.name}: the rows with weight are of one class, "
                    f"{self.classes_[count.argmax()].item()!r}, not of two or more"
                )
        return weights

    def _class_weights(self, by_class: Any, codes: Any, weights: Any) -> Any:
        classes = list(self.classes_)
        where = f"{self._plan.name}: class_weight"
        if isinstance(by_class, Mapping):
            if strange := [label for label in by_class if label not in classes]:
                raise ValueError(f"{where} has {strange[0]!r}, which is none of the classes")
            shares = np.asarray([by_class.get(label, 1.0) for label in classes], weights.dtype)
            if not (shares >= 0).all() or np.isinf(shares).any():
                raise ValueError(f"{where} is {by_class!r}, not weights of 0 or more")
            return shares
        if by_class != "balanced":
            raise ValueError(f"{where} is {by_class!r}, not 'balanced', a dict or None")
        given = {"num_classes": len(classes), "weights": weights}
        return self._call(class_weights.balanced, codes, given=given, dtype=weights.dtype)

    def _settled(self, X: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return what comes before the data, and what the parameters say."""
        plan, dtype = self._plan, X.dtype
        given: dict[str, Any] = {
            p.name: signatures.settle(p, self._chosen(p.name, X), dtype, where=plan.name)
            for p in plan.parameters
        }
        if "missing" in plan.takes:
            given["missing"] = "learned" if np.isnan(X).any() else "right"
        if "key" not in plan.takes:
            return [], given
        draw = check_random_state(self.random_state)
        words = draw.randint(0, 2**32, size=2, dtype=np.uint32)
        if "is_held_out" in plan.takes:
            given["is_held_out"] = self._held_out(draw, len(X))
        return [jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")], given

    def _chosen(self, name: str, X: Any) -> Any:
        """Return a parameter; as many components as there can be where it is None."""
        value = getattr(self, name)
        return min(X.shape) if name == "num_components" and value is None else value

    def _held_out(self, draw: Any, num_rows: int) -> Any:
        fraction = self.validation_fraction
        if fraction is None:
            return None
        count = round(fraction * num_rows) if 0 < fraction < 1 else 0
        if not 0 < count < num_rows:
            raise ValueError(
                f"{self._plan.name}: validation_fraction is {fraction!r}, which leaves no rows of "
                f"n_samples = {num_rows} on one side"
            )
        return draw.permutation(num_rows) < count

    def _call(
        self,
        function: Callable[..., Any],
        *args: Any,
        dtype: Any,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what a compiled function gives, in arrays of NumPy."""
        is_double = dtype == FLOATS[0]
        with jax.enable_x64(True) if is_double else contextlib.nullcontext():
            return jax.tree.map(np.asarray, function(*args, **(given or {})))

    def _learn(self, X: Any, targets: list[Any], weights: Any) -> None:
        """Call ``fit`` once, keep what it gives, and say how it ended."""
        before, given = self._settled(X)
        if "weights" in self._plan.takes:
            given["weights"] = weights
        if self._plan.kind == "classifier":
            given["num_classes"] = len(self.classes_)
        if "rows_per_class" in self._plan.takes:
            given["rows_per_class"] = int(np.bincount(targets[0]).max())
        try:
            found = self._call(self._plan.fit, *before, X, *targets, given=given, dtype=X.dtype)
        except ValueError as error:
            raise ValueError(f"{self._plan.name}: {error} {_sizes(X)}") from error
        is_state = hasattr(found, "_fields")
        self._keep(found if is_state else found[0], None if is_state else found[1], X)
        self._bound = {name: given[name] for name in self._plan.bound}

    def _keep(self, state: Any, info: Any, X: Any) -> None:
        """Take a State over, or refuse it; a doubtful end is a warning."""
        plan, name = self._plan, self._plan.name
        absent = {f for p, f in plan.optional.values() if not getattr(self, p)}
        is_whole = _is_whole([v for f, v in state._asdict().items() if f not in absent])
        status = int(info.status) if hasattr(info, "status") else int(Status.CONVERGED)
        if not is_whole:
            said = "has no finite answer" if status == Status.CONVERGED else describe(status)
            raise ValueError(f"{name}: the fit {said} {_sizes(X)}")
        if status != Status.CONVERGED:
            warnings.warn(f"{name}: the fit {describe(status)}", ConvergenceWarning, stacklevel=4)
        if (sizes := getattr(info, "sizes", None)) is not None and not sizes.all():
            said = f"{name}: {(sizes == 0).sum()} of {len(sizes)} clusters have no row"
            warnings.warn(said, ConvergenceWarning, stacklevel=4)
        self._show(state, info)

    def _show(self, state: Any, info: Any) -> None:
        """Set the attributes that follow from a State and an Info."""
        for attribute in attributes.NAMES & vars(self).keys():
            delattr(self, attribute)  # of an earlier fit
        self.state_, self.info_ = state, info
        for attribute, value in attributes.shown(state, info).items():
            setattr(self, attribute, value)

    def _ask(self, function: Callable[..., Any], X: Any) -> Any:
        """Return what a function of the State says of rows."""
        check_is_fitted(self, "state_")
        X = self._read(X, reset=False)
        return self._call(function, self.state_, X, given=self._bound, dtype=X.dtype)


def _sizes(X: Any) -> str:
    rows, columns = X.shape
    return f"(n_samples = {rows}, n_features = {columns})"


def _is_whole(state: Any) -> bool:
    leaves = jax.tree.leaves(state)
    return not any(leaf.dtype.kind == "f" and np.isnan(leaf).any() for leaf in leaves)
