"""Folds as masks of rows: which each fold learns from, and which it is judged by.

With m rows dealt over F folds, and r a row's place among them (in order, or at random)

    k_fold       fold of r: the first m mod F folds have ⌊m/F⌋ + 1 rows, the others ⌊m/F⌋
    stratified   rows sorted by class, place p in fold p mod F: how many of a class each fold gets
    grouped      groups from large to small, each to the fold that has fewest rows so far
    time_series  fold f is judged by places m − (F−f) s … m − (F−f−1) s − 1, and learns from those
                 before, s = ⌊m / (F+1)⌋

A row that is in neither mask has no say. The numbers of rows are those of scikit-learn's
``KFold``, ``StratifiedKFold``, ``GroupKFold`` and ``TimeSeriesSplit``, and so are the rows where
nothing is drawn. Every function deals the rows of ``among`` alone: folds within a fold.

Source: Stone (1974), *J. R. Stat. Soc. B* 36(2) (folds); Kohavi (1995), *IJCAI* (by class); Graham
(1969), *SIAM J. Appl. Math.* 17(2), theorem 3 (from large to small: 4/3 of the best balance at
most); Tashman (2000), *Int. J. Forecasting* 16(4) (rolling origins).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.probability.metrics import codes

__all__ = ["Folds", "grouped", "k_fold", "stratified", "time_series"]

Some = Bool[Array, " n"] | None
"""The rows to deal, all where None."""


class Folds(NamedTuple):
    """Masks of rows, one line a fold."""

    train: Bool[Array, "folds n"]
    test: Bool[Array, "folds n"]


@partial(jax.jit, static_argnames=("num_rows", "num_folds"))
@checked
def k_fold(
    num_rows: int, *, num_folds: int = 5, key: Key[Array, ""] | None = None, among: Some = None
) -> Folds:
    """Deal rows into folds of equal size. O(n F), and O(n log n) at random.

    Args:
        num_rows: n. Static.
        num_folds: F, from 2 to n; n leaves one row out at a time. Static.
        key: Consumed: deal at random. None: in blocks, as rows stand, which is wrong where they
            are sorted.
        among: Rows to deal; the others are in no mask.

    Returns:
        The masks. With fewer rows in ``among`` than folds the last folds are judged by none.

    Raises:
        ValueError: ``num_folds`` is out of range; ``among`` has another number of rows.

    Example:
        >>> k_fold(4, num_folds=2).test.astype(int)
        Array([[1, 1, 0, 0],
               [0, 0, 1, 1]], dtype=int32)
    """
    _insist("k_fold", num_folds, most=num_rows)
    among = jnp.ones(num_rows, bool) if among is None else among
    if len(among) != num_rows:
        raise ValueError(f"splits.k_fold: among has {len(among)} rows, not {num_rows}")
    place = _places(among, key)
    size, extra = jnp.divmod(among.sum(), num_folds)
    longer = extra * (size + 1)  # rows in the folds that have one more
    rest = extra + (place - longer) // jnp.maximum(size, 1)
    return _masks(jnp.where(place < longer, place // (size + 1), rest), num_folds, among)


@partial(jax.jit, static_argnames=("num_classes", "num_folds"))
@checked
def stratified(
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    num_folds: int = 5,
    key: Key[Array, ""] | None = None,
    among: Some = None,
) -> Folds:
    """Deal the rows of every class into folds of equal size. O(n (F + log n) + K F).

    Args:
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        num_folds: F, from 2 to n. Static. A class with fewer rows is absent from some folds.
        key: Consumed: deal at random within the classes. None: in blocks, as rows stand.
        among: Rows to deal; the others are in no mask, and their labels are not read.

    Returns:
        The masks; all False for a label that is no code.

    Raises:
        ValueError: fewer than two classes; ``num_folds`` is out of range; shapes that disagree.

    Example:
        >>> stratified(jnp.array([0, 0, 1, 1]), num_classes=2, num_folds=2).test.astype(int)
        Array([[1, 0, 1, 0],
               [0, 1, 0, 1]], dtype=int32)
    """
    if num_classes < 2:
        raise ValueError(f"splits.stratified: num_classes is {num_classes}, not at least 2")
    n = len(labels)
    _insist("stratified", num_folds, most=n)
    among = jnp.ones(n, bool) if among is None else among
    (labels,) = codes.widened(labels)
    is_code = (labels >= 0) & (labels < num_classes)
    # What is not dealt is a class of its own.
    kind = jnp.where(among & is_code, labels, num_classes)
    rows = jnp.arange(n, dtype=kind.dtype)
    counts = jnp.zeros(num_classes + 1, kind.dtype).at[kind].add(1)
    # Classes stand in the order in which they first occur: whom the first rows of a round go to.
    first = jnp.full(num_classes + 1, n, kind.dtype).at[kind].min(rows).at[-1].set(n + 1)
    order = jnp.argsort(first)
    ends = jnp.zeros_like(counts).at[order].set(jnp.cumsum(counts[order]))
    fold = jnp.arange(num_folds, dtype=kind.dtype)[None, :]
    till_end, till_start = (
        (bound[:, None] + num_folds - 1 - fold) // num_folds for bound in (ends, ends - counts)
    )
    until = jnp.cumsum(till_end - till_start, axis=1)  # (K, F): how many of a class are dealt
    place = _places_by_kind(kind, counts, key)
    number = (until[kind] <= place[:, None]).sum(axis=1)
    return _masks(number, num_folds, among & (is_code | ~among).all())


@partial(jax.jit, static_argnames=("num_groups", "num_folds"))
@checked
def grouped(
    groups: Int[Array, " n"],
    *,
    num_groups: int,
    num_folds: int = 5,
    key: Key[Array, ""] | None = None,
    among: Some = None,
) -> Folds:
    """Deal whole groups into folds of about as many rows. O(n F + G (F + log G)).

    Args:
        groups: Codes 0 … num_groups − 1: patients, sites, days. No group is in two folds.
        num_groups: G. Static.
        num_folds: F, from 2 to G. Static.
        key: Consumed: which of the groups of one size comes first. Balance leaves nothing else
            to chance.
        among: Rows to deal; the others are in no mask, and their groups are not read.

    Returns:
        The masks; all False for a group that is no code. With fewer groups that have rows than
        folds some folds are judged by none.

    Raises:
        ValueError: ``num_folds`` is out of range; shapes that disagree.

    Example:
        >>> grouped(jnp.array([0, 0, 1, 2]), num_groups=3, num_folds=2).test.astype(int)
        Array([[1, 1, 0, 0],
               [0, 0, 1, 1]], dtype=int32)
    """
    _insist("grouped", num_folds, most=num_groups)
    among = jnp.ones(len(groups), bool) if among is None else among
    (groups,) = codes.widened(groups)
    is_code = (groups >= 0) & (groups < num_groups)
    kind = jnp.where(among & is_code, groups, num_groups)
    sizes = jnp.zeros(num_groups + 1, kind.dtype).at[kind].add(1)[:num_groups]
    shuffled = jnp.arange(num_groups)
    shuffled = shuffled if key is None else jax.random.permutation(key, shuffled)
    order = shuffled[jnp.argsort(sizes[shuffled])][::-1]

    def give(loads: Array, group: Array) -> tuple[Array, Array]:
        lightest = loads.argmin()
        return loads.at[lightest].add(sizes[group]), lightest

    _, given = loop.scan(give, jnp.zeros(num_folds, sizes.dtype), order)
    number = jnp.zeros_like(given).at[order].set(given)[jnp.minimum(kind, num_groups - 1)]
    return _masks(number, num_folds, among & (is_code | ~among).all())


@partial(jax.jit, static_argnames=("num_folds", "test_size", "gap", "max_train_size"))
@checked
def time_series(
    times: Float[Array, " n"] | Int[Array, " n"],
    *,
    num_folds: int = 5,
    test_size: int | None = None,
    gap: int = 0,
    max_train_size: int | None = None,
    among: Some = None,
) -> Folds:
    """Judge by the rows that come next, learn from those before: a window that grows. O(n log n).

    Args:
        times: When each row was, in any unit; rows need not be sorted. Rows of one time keep their
            order, and may be on both sides of a border: leave a ``gap``.
        num_folds: F ≥ 1. Static.
        test_size: Rows that a fold is judged by; ⌊n / (F+1)⌋ where None. Static.
        gap: Rows left out between those learned from and those judged by. Static.
        max_train_size: Rows learned from, the latest; all before where None. Static.
        among: Rows to deal; the others are in no mask.

    Returns:
        The masks; all False for a time that is NaN. With too few rows in ``among`` the first folds
        learn from none.

    Raises:
        ValueError: a static number out of range; no row is left to learn from; shapes that
            disagree.

    Example:
        >>> folds = time_series(jnp.arange(6), num_folds=2)
        >>> folds.train.astype(int), folds.test.astype(int)
        (Array([[1, 1, 0, 0, 0, 0],
               [1, 1, 1, 1, 0, 0]], dtype=int32), Array([[0, 0, 1, 1, 0, 0],
               [0, 0, 0, 0, 1, 1]], dtype=int32))
    """
    n = len(times)
    _insist("time_series", num_folds, least=1, most=n - 1)
    size = n // (num_folds + 1) if test_size is None else test_size
    for name, value, least in (("test_size", size, 1), ("gap", gap, 0)):
        if value < least:
            raise ValueError(f"splits.time_series: {name} is {value}, not at least {least}")
    if max_train_size is not None and max_train_size < 1:
        raise ValueError(f"splits.time_series: max_train_size is {max_train_size}, not at least 1")
    if n - num_folds * size - gap < 1:
        taken = f"num_folds is {num_folds}, test_size {size} and gap {gap}"
        raise ValueError(
            f"splits.time_series: {taken}, which leaves none of {n} rows to learn from"
        )
    among = jnp.ones(n, bool) if among is None else among
    order = jnp.argsort(times)
    place = jnp.zeros_like(order).at[order].set(jnp.cumsum(among[order]) - 1)[None, :]
    total = among.sum()
    dealt = total // (num_folds + 1) if test_size is None else size
    start = (total - (num_folds - jnp.arange(num_folds)) * dealt)[:, None]
    is_sound = ~(among & jnp.isnan(times)).any()
    is_dealt = (among & is_sound)[None, :]
    earliest = 0 if max_train_size is None else start - gap - max_train_size
    train = (place >= earliest) & (place < start - gap) & is_dealt
    return Folds(train=train, test=(place >= start) & (place < start + dealt) & is_dealt)


def _insist(name: str, num_folds: int, *, most: int, least: int = 2) -> None:
    if not least <= num_folds <= most:
        raise ValueError(f"splits.{name}: num_folds is {num_folds}, not from {least} to {most}")


def _places(among: Array, key: Array | None) -> Array:
    """Return the place of every row among those to deal, in order or at random."""
    if key is None:
        return jnp.cumsum(among) - 1
    order = jax.random.permutation(key, len(among))
    return jnp.zeros_like(order).at[order].set(jnp.cumsum(among[order]) - 1)


def _places_by_kind(kind: Array, counts: Array, key: Array | None) -> Array:
    """Return the place of every row among those of its kind, in order or at random."""
    n = len(kind)
    order = jnp.arange(n) if key is None else jax.random.permutation(key, n)
    order = order[jnp.argsort(kind[order])]
    before = jnp.cumsum(counts) - counts
    place = jnp.arange(n, dtype=kind.dtype) - before[kind[order]]
    return jnp.zeros_like(place).at[order].set(place)


def _masks(number: Array, num_folds: int, among: Array) -> Folds:
    """Return the masks of rows that have the numbers of their folds."""
    test = (number[None, :] == jnp.arange(num_folds)[:, None]) & among[None, :]
    return Folds(train=~test & among[None, :], test=test)
