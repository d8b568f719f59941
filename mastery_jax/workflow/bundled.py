"""The sets that come with the package, or with scikit-learn, by name.

Those of scikit-learn are read from its files: its import costs three seconds, its files some
milliseconds. Where another release has moved them, its loaders are asked instead.

Source: digits, iris, wine, breast_cancer, diabetes: scikit-learn, ``sklearn.datasets``, from the
UCI repository and Efron et al. (2004). nile: Cobb (1978), annual flow at Aswan in 1e8 m^3.
eight_schools: Rubin (1981), effect of coaching in points and its standard error.
two_moons: two half circles with noise, and friedman: a number that five of ten features tell,
Friedman (1991), *Multivariate adaptive regression splines*, eq. 61, made here.
"""

import importlib.util
import pathlib
from collections.abc import Callable

import numpy as np

from mastery_jax.workflow import columns
from mastery_jax.workflow.columns import Table

__all__ = ["NAMES", "read"]

TARGET = "target"

_CELLS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_FEATURES = {
    "digits": tuple(f"pixel_{row}_{col}" for row in range(8) for col in range(8)),
    "iris": tuple(
        f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width")
    ),
    "wine": (
        "alcohol",
        "malic_acid",
        "ash",
        "alcalinity_of_ash",
        "magnesium",
        "total_phenols",
        "flavanoids",
        "nonflavanoid_phenols",
        "proanthocyanins",
        "color_intensity",
        "hue",
        "od280/od315_of_diluted_wines",
        "proline",
    ),
    "breast_cancer": (
        *(f"mean {cell}" for cell in _CELLS),
        *(f"{cell} error" for cell in _CELLS),
        *(f"worst {cell}" for cell in _CELLS),
    ),
    "diabetes": ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
}
_FILES = {"iris": "iris.csv", "wine": "wine_data.csv", "breast_cancer": "breast_cancer.csv"}


def read(name: str) -> Table:
    """Return a set by its name in :data:`NAMES`."""
    return _READERS[name](name)


def _sklearn(name: str) -> Table:
    try:
        X, y = _sklearn_files(name)
    except OSError:
        X, y = _sklearn_loader(name)
    features = dict(zip(_FEATURES[name], X.T, strict=True))
    return Table(name, {**features, TARGET: y}, TARGET)


def _sklearn_files(name: str) -> tuple[np.ndarray, np.ndarray]:
    folder = _sklearn_folder()
    if name == "diabetes":
        return (
            np.loadtxt(folder / "diabetes_data_raw.csv.gz"),
            np.loadtxt(folder / "diabetes_target.csv.gz"),
        )
    if name == "digits":
        table = np.loadtxt(folder / "digits.csv.gz", delimiter=",")
        return table[:, :-1], table[:, -1].astype(np.int64)
    with (folder / _FILES[name]).open(encoding="utf-8") as file:
        classes = np.array(file.readline().strip().split(",")[2:])
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], classes[table[:, -1].astype(np.int64)]


def _sklearn_folder() -> pathlib.Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("sklearn")
    return pathlib.Path(spec.origin).parent / "datasets" / "data"


def _sklearn_loader(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    found = getattr(datasets, f"load_{name}")(**options)
    return found.data, found.target if name == "diabetes" else found.target_names[found.target]


def _own_file(name: str) -> Table:
    path = pathlib.Path(__file__).parent / "datasets" / f"{name}.csv"
    return columns.read(str(path))._replace(name=name)


def _two_moons(name: str) -> Table:
    """Return 2,000 points: angles evenly over a half circle, normal noise of deviation 0.1."""
    angle = np.linspace(0.0, np.pi, 1000)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([upper, np.array([1.0, 0.5]) - upper])
    points += 0.1 * np.random.default_rng(0).standard_normal(points.shape)
    moon = np.repeat(["upper", "lower"], 1000)
    return Table(name, {"x0": points[:, 0], "x1": points[:, 1], TARGET: moon}, TARGET)


def _friedman(name: str) -> Table:
    """Return 2,000 points of ten uniform features; normal noise of deviation 1."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(2000, 10))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    y += 10 * X[:, 3] + 5 * X[:, 4] + rng.standard_normal(len(X))
    return Table(name, {**{f"x{i}": x for i, x in enumerate(X.T)}, TARGET: y}, TARGET)


_READERS: dict[str, Callable[[str], Table]] = {
    **dict.fromkeys(_FEATURES, _sklearn),
    "two_moons": _two_moons,
    "friedman": _friedman,
    "nile": _own_file,
    "eight_schools": _own_file,
}
NAMES = tuple(_READERS)
