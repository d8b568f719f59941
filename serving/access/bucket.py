"""A rate with a burst, in two numbers: O(1) in time and memory, whatever was asked before."""

import collections

__all__ = ["Bucket", "Buckets"]


class Bucket:
    """Holds at most ``burst`` tokens, and gets ``rate`` of them a second."""

    __slots__ = ("burst", "rate", "since", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.since = burst, now

    def take(self, now: float) -> float:
        """Take a token; return 0, or the seconds until there is one.

        Args:
            now: On the monotonic clock; earlier than before counts as the same instant.
        """
        tokens = self.tokens
        if now > self.since:
            tokens = min(self.burst, tokens + (now - self.since) * self.rate)
            self.since = now
        if tokens < 1:
            self.tokens = tokens
            return (1 - tokens) / self.rate
        self.tokens = tokens - 1
        return 0.0


class Buckets:
    """A bucket for each of the names that came last; a name that is forgotten starts anew."""

    def __init__(self, rate: float, burst: float, *, most: int = 4096) -> None:
        self.rate, self.burst, self.most = rate, burst, most
        self._buckets: collections.OrderedDict[str, Bucket] = collections.OrderedDict()

    def take(self, name: str, now: float) -> float:
        """Take a token of ``name``; return 0, or the seconds until there is one."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self.rate, self.burst, now)
            if len(self._buckets) > self.most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(name)
        return bucket.take(now)
