"""Maps and factors: t-SNE against scikit-learn and openTSNE, ratings against implicit.

One judge of all maps: the divergence from probabilities of perplexity 30 over exact near rows, by
openTSNE, summed over all pairs in double precision. Ours may not end higher than a peer. Maps start
from principal components everywhere, and take 750 steps where nothing else is said.

Factors of what users did, from the same start: everybody makes as many steps as are needed for the
objective after ten exact ones, to 1e-3 of it.
All in single precision, but openTSNE, which knows double precision alone.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.harness import Call, Row, contest, enter_alone, fastest, in_turn, save

FAMILY = "embedding"
PERPLEXITY = 30
STEPS = 750
USERS, ITEMS, AMOUNTS, FACTORS, PENALTY = 943, 1682, 100_000, 20, 1.0


def divergence(X: Any) -> Callable[[Any], float]:
    """Return what judges a map of these rows."""
    import numpy as np
    from openTSNE.affinity import PerplexityBasedNN

    P = PerplexityBasedNN(X, PERPLEXITY, method="exact", n_jobs=1).P.tocoo()

    def judge(Y: Any) -> float:
        Y = np.asarray(Y, np.double)
        squares, total = (Y**2).sum(axis=1), -len(Y)
        for start in range(0, len(Y), 1000):
            near = slice(start, start + 1000)
            D = squares[near, None] + squares[None, :] - 2 * Y[near] @ Y.T
            total += (1 / (1 + np.maximum(D, 0))).sum()
        w = 1 / (1 + ((Y[P.row] - Y[P.col]) ** 2).sum(axis=1))
        return float((P.data * np.log(P.data * total / w)).sum())

    return judge


def images(num_rows: int | None = None) -> Any:
    """Return digits, or that many noisy copies of them along 50 principal components."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    X = load_digits().data
    if num_rows is None:
        return X
    X = np.repeat(X, -(-num_rows // len(X)), axis=0)[:num_rows]
    X = X + 3 * np.random.default_rng(0).normal(size=X.shape)
    return PCA(50, random_state=0).fit_transform(X)


def ours(X: Any, **options: Any) -> Call:
    """Return a call for our map."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.learning.components import tsne

    rows = jnp.asarray(X, jnp.float32)
    options = {"num_steps": STEPS, "perplexity": float(PERPLEXITY)} | options
    return lambda: jax.block_until_ready(tsne.fit(rows, **options)[0].embedding)


def sklearn(X: Any, **options: Any) -> Call:
    """Return a call for scikit-learn's map, by Barnes and Hut's tree."""
    import numpy as np
    from sklearn.manifold import TSNE

    rows = X.astype(np.single)
    options = {"perplexity": PERPLEXITY, "n_jobs": 1, "random_state": 0} | options
    return lambda: TSNE(**options).fit_transform(rows)


def opentsne(X: Any, **options: Any) -> Call:
    """Return a call for openTSNE's map."""
    import openTSNE

    options = {"perplexity": PERPLEXITY, "n_jobs": 1, "random_state": 0, "n_iter": 500} | options
    return lambda: openTSNE.TSNE(**options).fit(X)


def judged(what: str, judge: Callable[[Any], float]) -> Callable[[dict], tuple[bool, str]]:
    """Return a judge who lets ours, by whatever number of steps, be no worse than its peers."""

    def verdict(maps: dict) -> tuple[bool, str]:
        found = {name: judge(Y) for name, Y in maps.items()}
        listed = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
        mine = max(value for name, value in found.items() if name.startswith("ours"))
        least = min(value for name, value in found.items() if not name.startswith("ours"))
        # Fewer steps of ours are compared with the peer's own number alone.
        least = max(least, found.get("TSNE as it comes", least))
        return mine <= least, f"{what}: divergences {listed} nats."

    return verdict


def small() -> tuple[list[Row], list[str]]:
    """Lay out the digits."""
    X = images()
    quick = "ours, 500 steps"
    peers = {
        "TSNE, 750 steps": sklearn(X, max_iter=STEPS),
        "TSNE as it comes": sklearn(X),
        "openTSNE, Barnes-Hut": opentsne(X, negative_gradient_method="bh"),
    }
    calls = {"ours": ours(X), quick: ours(X, num_steps=500, exaggeration_steps=150)}
    what = f"t-SNE, digits {X.shape[0]:,} x {X.shape[1]}"
    found = contest(calls | peers, judged(what, divergence(X)))
    rows = [found.row(what, "TSNE, 750 steps", 10)]
    more = f"{what}, 500 steps of ours, 1,000 of the peer"
    rows.append(found.row(more, "TSNE as it comes", 10, ours=quick)._replace(note=""))
    rows.append(found.row(what, "openTSNE, Barnes-Hut", 1.2)._replace(note=""))
    first = f"{what}: our first call takes {found.first['ours'].cpu:.2g} CPU-s."
    return rows, [first, parts(X, found.again["ours"].cpu)]


def parts(X: Any, whole: float) -> str:
    """Return where our time goes."""
    import jax
    import jax.numpy as jnp

    from mastery_jax.learning.components import affinities, exact_repulsion

    rows = jnp.asarray(X, jnp.float32)
    Y = jnp.asarray(ours(X)().T)

    @jax.jit
    def start(rows: Any) -> Any:
        near = affinities.nearest(rows, rows, 90, is_same=True)
        p, _ = affinities.perplexed(near.squares, perplexity=float(PERPLEXITY))
        return affinities.edges(near, p)

    edges = jax.block_until_ready(start(rows))
    attract, repel = jax.jit(affinities.attraction), jax.jit(exact_repulsion.repulsion)
    calls = {
        "probabilities": lambda: jax.block_until_ready(start(rows)),
        "attraction": lambda: jax.block_until_ready(attract(Y, edges)),
        "repulsion": lambda: jax.block_until_ready(repel(Y)),
    }
    _, costs = in_turn(calls, rounds=5)
    each = {name: costs[name].cpu * (1 if name == "probabilities" else STEPS) for name in calls}
    listed = ", ".join(f"{name} {cost:.2g}" for name, cost in each.items())
    pairs = 1e9 * each["repulsion"] / STEPS / len(X) ** 2
    return (
        f"t-SNE, digits: of our {whole:.2g} CPU-s, timed one by one, {listed}: {pairs:.2g} ns a "
        "pair, of all pairs, where a tree asks some hundred cells a point."
    )


def large() -> tuple[list[Row], list[str]]:
    """Lay out 20,000 images; the peer on a coarser grid, its faster setting."""
    X = images(20_000)
    coarse = "openTSNE, FFT, 2 intervals"
    fine = {"as it comes": opentsne(X, negative_gradient_method="fft")}
    peer = opentsne(X, negative_gradient_method="fft", ints_in_interval=2)
    what = f"t-SNE, images with noise {X.shape[0]:,} x {X.shape[1]}"
    found = contest({"ours": ours(X), coarse: peer}, judged(what, divergence(X)), rounds=3)
    _, said = fastest(fine)
    first = f"{what}: our first call takes {found.first['ours'].cpu:.2g} CPU-s."
    return [found.row(what, coarse, 0.7)], [first, f"{what}: openTSNE's finer grid, {said}."]


def amounts() -> tuple[Any, Any, Any]:
    """Return who did how much with what: items as popular as a power law has it."""
    import numpy as np

    rng = np.random.default_rng(0)
    liked = rng.normal(size=(USERS, 8)) @ rng.normal(size=(8, ITEMS))
    popular = -np.log(1 + np.arange(ITEMS))[None, :] + rng.normal(size=(USERS, 1))
    keys = liked / 2 + popular + rng.gumbel(size=liked.shape)
    users, items = np.divmod(np.argsort(-keys, axis=None)[:AMOUNTS], ITEMS)
    return users.astype(np.int32), items.astype(np.int32), rng.integers(1, 6, AMOUNTS)


def objective(factors: tuple[Any, Any]) -> float:
    """Return Hu, Koren and Volinsky's objective over the whole table."""
    import numpy as np

    users, items, amount = amounts()
    P, Q = (np.asarray(factor, np.double) for factor in factors)
    C, table = np.ones((USERS, ITEMS)), np.zeros((USERS, ITEMS))
    C[users, items], table[users, items] = 1.0 + amount, 1
    return float((C * (table - P @ Q.T) ** 2).sum() + PENALTY * ((P**2).sum() + (Q**2).sum()))


def implicit(start: Any) -> Callable[..., Call]:
    """Return (number of steps, whether by conjugate gradients) -> a call for implicit's factors."""
    import numpy as np
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    users, items, amount = amounts()
    confidence = csr_matrix((1.0 + amount, (users, items)), (USERS, ITEMS), dtype=np.single)

    def steps(num_steps: int, *, use_cg: bool) -> Call:
        def call() -> tuple[Any, Any]:
            model = AlternatingLeastSquares(
                factors=FACTORS, regularization=PENALTY, alpha=1.0, use_cg=use_cg,
                iterations=num_steps, num_threads=1,
            )  # fmt: skip
            model.user_factors, model.item_factors = (np.array(factor) for factor in start)
            model.fit(confidence, show_progress=False)
            return model.user_factors, model.item_factors

        return call

    return steps


def factors() -> tuple[list[Row], list[str]]:
    """Factor a table of a hundred thousand amounts."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from mastery_jax.learning.components import implicit_als

    users, items, amount = amounts()
    given = [jnp.asarray(a) for a in (users, items, amount.astype(np.single))]
    sizes = {"num_users": USERS, "num_items": ITEMS, "num_factors": FACTORS}
    theirs = implicit(implicit_als.init(jax.random.key(0), *given, **sizes))
    enough = 1.001 * objective(theirs(10, use_cg=False)())
    exact, approximate = (
        next(n for n in range(1, 100) if objective(theirs(n, use_cg=use_cg)()) <= enough)
        for use_cg in (False, True)
    )
    options = {"alpha": 1.0, "l2": PENALTY, "rtol": 0.0, "max_steps": exact}

    def ours() -> tuple[Any, Any]:
        state, _ = implicit_als.fit(jax.random.key(0), *given, **sizes, **options)
        return tuple(jax.block_until_ready(state))

    peers = {
        f"implicit, {exact} exact steps": theirs(exact, use_cg=False),
        f"implicit, {approximate} by conjugate gradients": theirs(approximate, use_cg=True),
    }
    what = f"factors of amounts, {AMOUNTS:,} of {USERS} x {ITEMS:,}, {FACTORS} factors"

    def judge(answers: dict) -> tuple[bool, str]:
        found = {name: objective(answer) for name, answer in answers.items()}
        listed = ", ".join(f"{name} {value:.5g}" for name, value in found.items())
        said = f"{what}: objectives {listed} ({enough:.5g} allowed)."
        return max(found.values()) <= 1.0001 * enough, said

    found = contest({"ours": ours} | peers, judge, rounds=7)
    first, second = peers
    rows = [found.row(what, first, 1), found.row(what, second, 1)._replace(note="")]
    return rows, [
        f"{what}: our first call takes {found.first['ours'].cpu:.2g} CPU-s. An exact half costs "
        "O(k²) an amount, a step of conjugate gradients O(k), and three of them do here."
    ]


def main() -> None:
    """Measure one after the other, and save."""
    enter_alone(FAMILY)
    found = [small(), large(), factors()]
    rows = [row for each, _ in found for row in each]
    save(FAMILY, "Maps and factors", rows, notes=[note for _, said in found for note in said])


if __name__ == "__main__":
    main()
