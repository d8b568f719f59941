"""Convex problems: LASSO paths against scikit-learn, and small quadratic programs against OSQP.

The path: 5,000 samples of 50 correlated features, of which ten count; 100 penalties on 5 folds, at
the same penalties, folds and tolerance of the duality gap; errors must agree before anything is
timed. LassoCV runs with its Gram matrix precomputed and without, whichever is faster, in one
thread. The programs: 1,000 random ones of 10 variables and 15 rows, ours by one ``lax.map``, OSQP's
one after the other, each with a workspace that is set up once and updated.
"""

import os
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "convex"
SAMPLES, FEATURES, PENALTIES, FOLDS, RTOL = 5000, 50, 100, 5, 1e-4
PROGRAMS, VARIABLES, ROWS = 1000, 10, 15
Call = Callable[[], Any]


def regression() -> tuple[Any, Any]:
    """Return samples whose features share half of their variance."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(SAMPLES, FEATURES)) + rng.normal(size=(SAMPLES, 1))
    weights = np.where(np.arange(FEATURES) < 10, rng.normal(size=FEATURES), 0)
    return X, X @ weights + 3 * rng.normal(size=SAMPLES)


def ours_path(X: Any, y: Any) -> tuple[Call, Call, Any]:
    """Return the search over folds and penalties, one fit, and the penalties."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.numerics.optimize import coordinate_descent, lasso

    X, y = jnp.asarray(X), jnp.asarray(y)
    rows = jnp.arange(SAMPLES).reshape(FOLDS, -1)
    alphas = lasso.penalties(lasso.moments(X, y, jnp.ones(SAMPLES)), num=PENALTIES)

    @jax.jit
    def search(X: Any, y: Any, rows: Any) -> Any:
        moments = lasso.moments(X, y, jnp.ones(len(y)))
        alphas = lasso.penalties(moments, num=PENALTIES)
        errors, _ = coordinate_descent.cross_validate(X, y, rows, alphas, rtol=RTOL)
        best = alphas[errors.mean(axis=0).argmin()]
        return errors, coordinate_descent.fit(moments, alpha=best, rtol=RTOL)

    @jax.jit
    def single(X: Any, y: Any, alpha: Any) -> Any:
        moments = lasso.moments(X, y, jnp.ones(len(y)))
        return coordinate_descent.fit(moments, alpha=alpha, rtol=RTOL)[0].weights

    return (
        lambda: jax.block_until_ready(search(X, y, rows)),
        lambda: jax.block_until_ready(single(X, y, alphas[50])),
        alphas,
    )


def sklearn_path(X: Any, y: Any, alphas: Any, precompute: bool) -> tuple[Call, Call]:
    """Return the same by scikit-learn."""
    import numpy as np
    from sklearn.linear_model import Lasso, LassoCV
    from sklearn.model_selection import KFold

    alphas, folds = np.asarray(alphas), KFold(FOLDS)
    many = LassoCV(alphas=alphas, cv=folds, tol=RTOL, precompute=precompute, max_iter=10_000)
    one = Lasso(alpha=float(alphas[50]), tol=RTOL, precompute=precompute, max_iter=10_000)
    return lambda: many.fit(X, y), lambda: one.fit(X, y).coef_


def programs() -> tuple[Any, ...]:
    """Return 1,000 programs with a solution: boxes, and a few rows more."""
    import numpy as np

    rng = np.random.default_rng(1)
    half = rng.normal(size=(PROGRAMS, VARIABLES, VARIABLES))
    P = half @ half.transpose(0, 2, 1) / VARIABLES + 0.1 * np.eye(VARIABLES)
    A = np.tile(np.eye(ROWS, VARIABLES), (PROGRAMS, 1, 1))
    A[:, VARIABLES:] = rng.normal(size=(PROGRAMS, ROWS - VARIABLES, VARIABLES))
    inside = (A @ rng.normal(size=(PROGRAMS, VARIABLES, 1)))[..., 0]
    lower, upper = (inside + s * rng.exponential(size=inside.shape) for s in (-1, 1))
    return P, rng.normal(size=(PROGRAMS, VARIABLES)), A, lower, upper


def ours_programs(given: tuple[Any, ...]) -> Call:
    """Return all solutions."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.numerics.optimize import quadratic_program

    arrays = tuple(map(jnp.asarray, given))

    @jax.jit
    def run(arrays: Any) -> Any:
        return jax.lax.map(lambda program: quadratic_program.solve(*program)[0].x, arrays)

    return lambda: jax.block_until_ready(run(arrays))


def osqp_programs(given: tuple[Any, ...]) -> Call:
    """Return all solutions, by one workspace that takes new numbers."""
    import numpy as np
    import osqp
    from scipy import sparse

    P, q, A, lower, upper = given
    full = sparse.csc_matrix(np.ones((ROWS, VARIABLES)))
    triangle = sparse.csc_matrix(np.triu(np.ones((VARIABLES, VARIABLES))))
    order = np.argsort(np.triu_indices(VARIABLES)[1], kind="stable")
    i, j = (index[order] for index in np.triu_indices(VARIABLES))
    solver = osqp.OSQP()
    solver.setup(
        triangle, q[0], full, lower[0], upper[0],
        verbose=False, eps_abs=1e-5, eps_rel=1e-5, polishing=True,
    )  # fmt: skip

    def run() -> Any:
        found = []
        for k in range(PROGRAMS):
            solver.update(Px=P[k][i, j], Ax=A[k].T.ravel(), q=q[k], l=lower[k], u=upper[k])
            found.append(solver.solve().x)
        return np.stack(found)

    return run


def main() -> None:
    """Check that answers agree, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    import numpy as np

    X, y = regression()
    path, single, alphas = ours_path(X, y)
    peers = {flag: sklearn_path(X, y, alphas, flag) for flag in (True, False)}
    apart = np.abs(np.asarray(path()[0]).T / peers[False][0]().mse_path_ - 1).max()
    _, again = in_turn({"ours": path, "gram": peers[True][0], "plain": peers[False][0]})
    _, alone = in_turn({"ours": single, "gram": peers[True][1], "plain": peers[False][1]})
    given = programs()
    calls = {"ours": ours_programs(given), "osqp": osqp_programs(given)}
    worst = float(np.abs(np.asarray(calls["ours"]()) - calls["osqp"]()).max())
    if not (apart < 5e-3 and worst < 1e-3):  # both stop at a gap of 1e-4
        raise RuntimeError(f"answers are {apart:.1g} and {worst:.1g} apart, not 5e-3 and 1e-3")
    _, small = in_turn(calls)

    def row(what: str, peer: str, costs: Any, names: tuple[str, ...], goal: float) -> Row:
        theirs = min(costs[name].cpu for name in names)
        return Row(what, peer, 1e3 * costs["ours"].cpu, 1e3 * theirs, "ms CPU", goal)

    size = f"{SAMPLES:,} x {FEATURES}"
    rows = [
        row(f"LASSO, {PENALTIES} penalties x {FOLDS} folds, {size}", "LassoCV", again,
            ("gram", "plain"), 5),
        row(f"one LASSO, {size}", "Lasso", alone, ("gram", "plain"), 1),
        row(f"{PROGRAMS:,} quadratic programs, {VARIABLES} variables", "OSQP", small, ("osqp",), 1),
    ]  # fmt: skip
    notes = [
        f"Errors of every penalty and fold are within {apart:.1g} (relative) of LassoCV's, "
        f"solutions of the programs within {worst:.1g} of OSQP's.",
    ]
    save(FAMILY, "Convex problems", rows, notes=notes)


if __name__ == "__main__":
    main()
