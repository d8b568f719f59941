import numpy as np
from scipy import linalg

from mastery_jax.core import smallmat
from tests.contract import Case

rng = np.random.default_rng(0)
half = rng.normal(size=(5, 5))
matrix = half @ half.T + 0.5 * np.eye(5)
factor = np.tril(half, -1) + np.diag(1 + rng.random(5))
vector, columns = rng.normal(size=5), rng.normal(size=(5, 3))

ANY_COLUMNS = "vectors may lie along any number of axes after the first"

CASES = (
    Case(
        "smallmat.product",
        smallmat.product,
        (half[:2], columns),
        oracle=np.matmul,
        unchecked=("1",),
        because=ANY_COLUMNS,
    ),
    Case(
        "smallmat.cholesky",
        smallmat.cholesky,
        (matrix,),
        oracle=lambda a: linalg.cholesky(a, lower=True),
    ),
    Case(
        "smallmat.solve",
        smallmat.solve,
        (matrix, columns),
        oracle=lambda a, b: linalg.solve(a, b),
        unchecked=("1",),
        because=ANY_COLUMNS,
    ),
    Case(
        "smallmat.solve_triangular",
        smallmat.solve_triangular,
        (factor, vector),
        static={"transpose": True},
        oracle=lambda a, b, transpose: linalg.solve_triangular(a, b, lower=True, trans=transpose),
        unchecked=("1",),
        because=ANY_COLUMNS,
    ),
    Case(
        "smallmat.log_det",
        smallmat.log_det,
        (matrix,),
        oracle=lambda a: np.log(linalg.eigvalsh(a)).sum(),
    ),
)
