"""Trackers that remember, fail or hang."""

import threading
import types

from mastery_jax.workflow.track import tensorboard


class Sayings:
    """What a progress line was told."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


class Fake:
    """A tracker that keeps every call, as (verb, lane, arguments)."""

    def __init__(self, *, fails=(), hangs=()):
        self.calls, self.fails, self.hangs = [], dict(fails), dict(hangs)
        self.release = threading.Event()
        self.threads = set()

    def open(self, whole):
        self.whole = whole
        self.call("open", None)
        return types.SimpleNamespace(
            lane=self.lane, close=lambda state: self.call("close", None, state)
        )

    def lane(self, number):
        verbs = ("start", "log", "artifact", "finish")
        return types.SimpleNamespace(
            **{verb: lambda *args, verb=verb: self.call(verb, number, *args) for verb in verbs}
        )

    def call(self, verb, number, *args):
        self.calls.append((verb, number, args))
        self.threads.add(threading.current_thread())
        count = sum(called == verb for called, *_ in self.calls)
        if self.hangs.get(verb) == count:
            self.release.wait(60)
        if self.fails.get(verb) == count:
            raise ConnectionError(f"no answer to {verb}")

    def of(self, verb):
        return [args for called, _, args in self.calls if called == verb]

    @property
    def steps(self):
        return [row["step"] for (rows,) in self.of("log") for row in rows]

    def replace(self, monkeypatch, module=tensorboard):
        monkeypatch.setattr(module, "open", self.open)
        return self
