"""Lanes on a cluster, through Ray: one task for each part of a group.

A task runs many lanes of one program, so that starting a worker and compiling is paid once for all
of them. What lanes say goes to a collector beside the driver, which writes the sweep's files. Ray
places the tasks, and starts one again when its worker or its machine is lost; the new one asks the
collector what is known, leaves out the lanes that are over and goes on with the others from their
last step.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import joining, remote
from mastery_jax.workflow.sweep.ledger import Listener
from mastery_jax.workflow.sweep.plan import Lane
from mastery_jax.workflow.sweep.strategies import Due

__all__ = ["Cluster", "Collector"]

RETRIES = 3  # of one task; each goes on where the last one was
SECONDS = 0.2  # between two looks at the collector
SECONDS_TO_BEGIN = 10.0  # that no task may begin before it is said what they wait for


class Collector:
    """What all tasks have said, until the driver takes it; an actor of Ray."""

    def __init__(self) -> None:
        self._news: list[remote.News] = []
        self._newest: dict[int, remote.News] = {}
        self._begun: set[tuple[int, ...]] = set()
        self._is_stopping = False

    def put(self, news: remote.News) -> None:
        """Take in news; of a lane that is over, or further, nothing more is heard.

        A machine that is taken for lost may go on for a while, behind what replaced it.
        """
        before = self._newest.get(news.number)
        if before is None or _is_further(news, before):
            self._newest[news.number] = news
            self._news.append(news)

    def take(self) -> list[remote.News]:
        """Return what came since the last call."""
        taken, self._news = self._news, []
        return taken

    def begin(self, numbers: tuple[int, ...]) -> dict[int, remote.News] | None:
        """Return the newest of some lanes to the task that begins with them; None: leave them."""
        self._begun.add(numbers)
        return None if self._is_stopping else self.known(numbers)

    def begun(self) -> set[tuple[int, ...]]:
        """Return the lanes of the tasks that have begun."""
        return self._begun

    def known(self, numbers: tuple[int, ...]) -> dict[int, remote.News]:
        """Return the newest of some lanes."""
        return {number: self._newest[number] for number in numbers if number in self._newest}

    def forget(self) -> None:
        """Begin anew: the driver has moved lanes since, or stopped them."""
        self._newest.clear()
        self._begun.clear()

    def stop(self) -> set[tuple[int, ...]]:
        """Ask all tasks to pause their lanes; return those of the tasks that will hear of it."""
        self._is_stopping = True
        return self._begun

    def is_stopping(self) -> bool:
        """Say whether tasks are to pause."""
        return self._is_stopping


def _is_further(news: remote.News, before: remote.News) -> bool:
    """Say whether a lane has ended, or come to a later step."""
    return before.step is not None and (news.step is None or news.step > before.step)


def _task(part: remote.Part, collector: Any) -> list[str]:
    """Run a part in a worker of Ray, and return the digests of its programs."""
    import ray

    known: Any = ray.get(collector.begin.remote(part.numbers))
    if known is None:
        return []
    return remote.work(
        part,
        lambda news: ray.get(collector.put.remote(news)),
        known=known,
        is_stopping=lambda: ray.get(collector.is_stopping.remote()),
    )


class Cluster:
    """A cluster of Ray, joined or started here."""

    def __init__(
        self,
        experiment: str,
        *,
        strategy: str,
        width: int,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Join the cluster.

        Args:
            experiment: The module.
            strategy: ``loop``, ``vmap`` or ``map``, within each task.
            width: The most lanes of a batch.
            address: Of a running cluster, as Ray writes it; by default one is started here.
            resources: What a task takes, by Ray's names: ``{"CPU": 2, "GPU": 1}``; by default one
                CPU. As many lanes run at a time as it has CPUs.
            say: Where to say that a task was lost.

        Raises:
            RunError: See ``joining.join``.
        """
        self._say = say
        self._digests: set[str] = set()
        self._resources = dict(resources or {"CPU": 1})
        threads = max(1, int(self._resources.get("CPU", 1)))
        self._how = remote.How(experiment, strategy, width, threads)
        joining.join(address, self._resources)
        self._collector = self._collect()

    def _collect(self) -> Any:
        """Start the collector on the driver's own machine, so that it lives as long as that."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return (
            ray.remote(Collector)
            .options(num_cpus=0, scheduling_strategy=here, max_concurrency=1)
            .remote()
        )

    def digests(self) -> list[str]:
        """Return the digests of what tasks have compiled that came to their end."""
        return sorted(self._digests)

    def advance(self, due: Due, until: int, listener: Listener, interrupt: Interrupt) -> None:
        """Run every lane to the step ``until`` or its end, and tell the listener."""
        import ray

        lanes = {entry.lane.number: entry.lane for _, entries in due for entry in entries}
        ray.get(self._collector.forget.remote())
        slots = int(ray.cluster_resources().get("CPU", 1) // self._how.threads)
        pieces = remote.deal(due, slots)
        run = self._task()
        parts = [remote.pack(piece, self._how, until, listener.keeps_states) for piece in pieces]
        tasks = {run.remote(part, self._collector): part.numbers for part in parts}
        try:
            self._wait(tasks, lanes, listener, interrupt)
        except BaseException:
            self._collector.stop.remote()  # lanes of other tasks are not wanted any more
            raise

    def _wait(
        self,
        tasks: Mapping[Any, tuple[int, ...]],
        lanes: Mapping[int, Lane],
        listener: Listener,
        interrupt: Interrupt,
    ) -> None:
        """Pass on what tasks say until all have ended."""
        import ray

        left, has_asked, patience = list(tasks), False, time.monotonic() + SECONDS_TO_BEGIN
        while left:
            over, left = ray.wait(left, num_returns=len(left), timeout=SECONDS)
            self._pass_on(lanes, listener)
            for task in over:
                self._finish(task)
            if interrupt.asked and not has_asked:
                has_asked = True
                hearing = ray.get(self._collector.stop.remote())
                for task in left:
                    if tasks[task] not in hearing:  # it may wait for ever, or begin for nothing
                        ray.cancel(task)
            if patience and time.monotonic() > patience and not has_asked:
                patience = 0.0
                if not ray.get(self._collector.begun.remote()):
                    self._say(joining.waits_for(self._resources))
        self._pass_on(lanes, listener)

    def _task(self) -> Any:
        import ray

        others = {k: v for k, v in self._resources.items() if k not in ("CPU", "GPU")}
        return ray.remote(_task).options(
            num_cpus=self._resources.get("CPU", 0),
            num_gpus=self._resources.get("GPU", 0),
            resources=others,
            max_retries=RETRIES,
        )

    def _pass_on(self, lanes: Mapping[int, Lane], listener: Listener) -> None:
        import ray

        for news in ray.get(self._collector.take.remote()):
            remote.tell(news, lanes[news.number], listener)

    def _finish(self, task: Any) -> None:
        """Return when a task has ended well."""
        import ray
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError

        try:
            self._digests.update(ray.get(task))
        except TaskCancelledError:  # it had not begun when a signal came
            return
        except RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except RayError as error:
            first = str(error).strip().splitlines()[0]
            raise RunError(
                f"a task was lost {RETRIES + 1} times ({first}); mastery resume goes on with what "
                "is there"
            ) from error
