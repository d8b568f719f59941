"""The bootstrap of an effect with refitted scores, against a loop over scikit-learn.

Hajek's estimator with a logistic regression that is fitted again in each of 1,000 replicates of
the rows' weights: 1,000 patients, four covariates. scikit-learn gets the same weights, without a
penalty, and its fastest solver for few columns; its loop is timed on a share of the replicates and
scaled. Both must give equal replicates before anything is timed.
"""

import os
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Row, enter, in_turn, save
from mastery_jax.workflow import launch

FAMILY = "causal"
UNITS, REPLICATES, SHARE, ROUNDS = 1000, 1000, 50, 5


def problem(dtype: str) -> tuple[Any, ...]:
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(UNITS, 4))
    treatment = (rng.random(UNITS) < 1 / (1 + np.exp(-X @ [0.5, -0.5, 0.3, 0.0]))).astype("int32")
    y = X @ [1.0, 2.0, 0.0, 1.0] + treatment + rng.normal(size=UNITS)
    counts = rng.multinomial(UNITS, np.ones(UNITS) / UNITS, REPLICATES)
    return X.astype(dtype), treatment, y.astype(dtype), counts.astype(dtype)


def ours(dtype: str) -> Callable[[], Any]:
    """Return a call that estimates every replicate."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.inference.causal import weighting

    def one(X: Any, treatment: Any, y: Any, weights: Any) -> Any:
        return weighting.estimate(X, treatment, y, weights=weights)[0].estimate

    def every(X: Any, treatment: Any, y: Any, counts: Any) -> Any:
        return jax.lax.map(lambda w: one(X, treatment, y, w), counts, batch_size=16)

    given = tuple(map(jnp.asarray, problem(dtype)))
    solve = jax.jit(every)
    return lambda: jax.block_until_ready(solve(*given))


def sklearn(solver: str) -> Callable[[], Any]:
    """Return a call that estimates the first replicates, one after the other."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    X, treatment, y, counts = problem("float64")

    def one(weights: Any) -> float:
        model = LogisticRegression(C=np.inf, solver=solver, tol=1e-6, max_iter=1000)
        e = model.fit(X, treatment, sample_weight=weights).predict_proba(X)[:, 1]
        t, c = weights * treatment / e, weights * (1 - treatment) / (1 - e)
        return (t * y).sum() / t.sum() - (c * y).sum() / c.sum()

    return lambda: np.array([one(weights) for weights in counts[:SHARE]])


def main() -> None:
    """Check that replicates are equal, measure in turn, and save."""
    enter(FAMILY)
    os.environ |= {"JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    launch.prepare()
    measure()


def measure() -> None:
    """Time everybody in turn.

    Raises:
        RuntimeError: replicates differ.
    """
    import numpy as np

    calls = {
        "ours": ours("float64"),
        "ours, single precision": ours("float32"),
        "lbfgs": sklearn("lbfgs"),
        "newton-cholesky": sklearn("newton-cholesky"),
    }
    answers = {name: np.asarray(call())[:SHARE] for name, call in calls.items()}
    for name, found in answers.items():
        off = np.abs(found - answers["ours"]).max()
        if off > 2e-3:
            raise RuntimeError(f"{name} has replicates that differ by {off:.2g}")
    _, again = in_turn(calls, rounds=ROUNDS)
    scale = REPLICATES / SHARE
    rows = [
        Row(
            f"{what} of {REPLICATES:,}",
            peer,
            1e3 * again[mine].cpu,
            1e3 * scale * again[peer].cpu,
            "ms CPU",
            50,
        )
        for what, mine in (
            ("replicates", "ours"),
            ("replicates, float32", "ours, single precision"),
        )
        for peer in ("lbfgs", "newton-cholesky")
    ]
    spread = ", ".join(
        f"{name} {np.abs(found - answers['ours']).max():.1g}" for name, found in answers.items()
    )
    notes = [
        f"Replicates differ from ours in double precision by at most: {spread}.",
        f"The peers' loops were timed on {SHARE} of {REPLICATES:,} replicates and scaled.",
    ]
    save(FAMILY, "Causal effects", rows, notes=notes)


if __name__ == "__main__":
    main()
