"""How far two distributions over the same bins are apart, and how far chance alone takes them.

Population stability index: PSI = sum_i (q_i - p_i) ln(q_i / p_i), the symmetric divergence of
Jeffreys. An empty bin would make it infinite: each share is estimated as (c_i + 1/2) / (n + B/2),
with B bins. When both samples come from one distribution, PSI is about (1/n + 1/m) times a chi
square variable of B - 1 degrees.

Kolmogorov and Smirnov: KS = max |P_i - Q_i| over the shares up to each bin; between two edges the
distance may be larger.

Source: Jeffreys 1946 (the divergence); Krichevsky and Trofimov 1981 (the halves); Siddiqi 2006
(PSI below 0.1: no shift, above 0.25: a large one); Yurdakul 2018 (its distribution); Wilson and
Hilferty 1931 (the chi square quantile); Smirnov 1948 (the limit of KS).
"""

import statistics

import numpy as np

__all__ = ["NOTABLE", "RATE", "ks", "ks_limit", "psi", "psi_limit"]

NOTABLE = 0.2  # a smaller PSI is no alarm, however sure it is
# Of false alarms: of one version, in one window, for all its features together. The bins outside
# of a small reference have heavier tails than chi square: 1 in 1,000 then.
RATE = 1e-4


def psi(reference: np.ndarray, counts: np.ndarray, is_bin: np.ndarray) -> np.ndarray:
    """Return the PSI of each row of counts.

    Args:
        reference: Counts, a row each, a bin a column.
        counts: The same of the other sample.
        is_bin: False where a row has no such bin.
    """
    p, q = _shares(reference, is_bin), _shares(counts, is_bin)
    return ((q - p) * np.log(q / p)).sum(axis=1)


def _shares(counts: np.ndarray, is_bin: np.ndarray) -> np.ndarray:
    filled = counts + 0.5
    return np.where(is_bin, filled / (filled * is_bin).sum(axis=1, keepdims=True), 1.0)


def ks(reference: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the KS distance of each row of counts; NaN where a row has none."""

    def up_to(counts: np.ndarray) -> np.ndarray:
        sums = counts.cumsum(axis=1)
        with np.errstate(invalid="ignore"):
            return sums / sums[:, -1:]

    return np.abs(up_to(reference) - up_to(counts)).max(axis=1)


def psi_limit(n: np.ndarray, m: np.ndarray, bins: np.ndarray, tests: int) -> np.ndarray:
    """Return the PSI above which there is an alarm.

    It is a false one at ``RATE`` for all ``tests`` together, or less often.

    Args:
        n: Rows of the reference, at least 1.
        m: Rows of the other sample, at least 1.
        bins: How many there are.
        tests: Comparisons that are made at the same time.
    """
    degrees = np.maximum(bins - 1, 1)
    z = statistics.NormalDist().inv_cdf(1 - RATE / tests)
    part = 2 / (9 * degrees)
    by_chance = degrees * (1 - part + z * np.sqrt(part)) ** 3
    return np.maximum(NOTABLE, (1 / n + 1 / m) * by_chance)


def ks_limit(n: np.ndarray, m: np.ndarray, tests: int) -> np.ndarray:
    """Return the KS distance that chance exceeds at ``RATE`` for all tests, or less often."""
    return np.sqrt(-0.5 * np.log(RATE / tests / 2) * (1 / n + 1 / m))
