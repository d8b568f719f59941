"""The one thread that has the database.

It writes what waits ten times a second, or as soon as there are 500 records. Whatever happens to
the database (locked, read-only, full, gone, restarted, not yet upgraded), what was taken is kept
and tried again each second; beyond its bounds the queue drops and counts. The server's log has
one line when it begins and one when it is over.
"""

import collections
import logging
import threading
import time
from collections.abc import Iterable, Sequence

from litestar.exceptions import HTTPException
from sqlalchemy import exc

from serving.store import queries, records
from serving.store.database import READS, Database, reason
from serving.store.log import CHUNK, Job, Waiting, unreachable

__all__ = ["Writer"]

LOG = logging.getLogger(__name__)
INTERVAL = 0.1  # seconds between looks at what waits
RETRY = 1.0  # seconds between tries of a database that failed
CHORES = 60.0  # seconds between looks for what is too old
REFRESH = 2.0  # seconds between computations of the live accuracy, while feedback comes
REST = 10.0  # times as long as one has taken, at least: it must not keep records waiting
GRACE = 5.0  # seconds for what waits when the server stops
WINDOW = 7.0  # days of the live accuracy in the metrics
DAY = 86_400.0
clock = time.monotonic


class Writer:
    """Writes what waits, asks what is asked, and throws away what is old.

    Raises:
        ConfigError: the URL is none, or its driver is missing.
    """

    def __init__(self, url: str, waiting: Waiting, *, keep_days: float) -> None:
        self.database = Database(url)
        self.live: Sequence[queries.Agreement] = ()  # as it was when last computed
        self.written = 0
        self._waiting, self._keep_days = waiting, keep_days
        self._chunk: list[records.Record] = []  # taken, and not yet written
        self._is_ready = self._is_over = self._is_judged = False
        self._trouble: str | None = None
        self._again = self._chores = self._refresh = 0.0  # when, on the monotonic clock
        self._thread = threading.Thread(target=self._run, name="predictions", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, for some seconds at most, and end."""
        self._is_over = True
        self._waiting.wake.set()
        self._thread.join(GRACE)
        if self._thread.is_alive():
            LOG.warning("the database does not answer: what waits for it is lost")

    def _run(self) -> None:
        while not self._is_over:
            self._waiting.wake.wait(INTERVAL)
            self._waiting.wake.clear()
            if clock() < self._again:
                self._refuse(self._jobs())
            else:
                self._turn()
        self._turn()
        lost = len(self._chunk) + len(self._waiting)
        if lost:
            self._waiting.drop(lost)
            LOG.warning("%d predictions were not recorded: %s", lost, self._trouble)
        self.database.engine.dispose()

    def _turn(self) -> None:
        """Do all that there is to do; a fault of the database is said once, and tried again."""
        jobs = self._jobs()  # first: what is recorded before a question is there when it is asked
        try:
            self._prepare()
            self._flush()
            self._answer(jobs)
            self._clean()
        except Exception as error:
            self._fail(error)
            self._refuse([*jobs, *self._jobs()])
            return
        if self._trouble is not None:
            LOG.info("predictions are recorded again; %d were lost", self._waiting.dropped)
            self._trouble = None

    def _fail(self, error: Exception) -> None:
        self._is_ready = False  # it may come back as another one
        self._again = clock() + RETRY
        if self._trouble is None:
            LOG.warning("predictions are not recorded now: %s", reason(error))
        self._trouble = reason(error)

    def _refuse(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job.future.set_exception(unreachable())

    def _jobs(self) -> collections.deque[Job]:
        """Return what is asked, less what nobody waits for."""
        jobs = self._waiting.jobs
        asked = [jobs.popleft() for _ in range(len(jobs))]
        return collections.deque(j for j in asked if j.future.set_running_or_notify_cancel())

    def _prepare(self) -> None:
        if self._is_ready and not self.database.is_there():
            self.database.engine.dispose()
            self._is_ready = False
        if not self._is_ready:
            self.database.prepare()
            self._is_ready = True

    def _flush(self) -> None:
        """Write what has come by now; what comes meanwhile is for the next time."""
        for _ in range(len(self._waiting) // CHUNK + 2):
            self._chunk = self._chunk or [
                records.Record._make(fields) for fields in self._waiting.take()
            ]
            if not self._chunk:
                return
            self._write(self._chunk)
            self._waiting.free([record.size for record in self._chunk])
            self._chunk = []

    def _write(self, chunk: Sequence[records.Record]) -> None:
        rows = [records.row(record) for record in chunk]
        try:
            with self.database.engine.begin() as connection:
                queries.insert(connection, rows)
        except (exc.DataError, exc.IntegrityError) as error:  # one of them is at fault
            if len(chunk) > 1:
                for record in chunk:
                    self._write([record])
                return
            LOG.warning("prediction %s cannot be recorded: %s", chunk[0].id, reason(error))
            self._waiting.drop(1)
            return
        self.written += len(rows)

    def _answer(self, jobs: collections.deque[Job]) -> None:
        """Answer in order; what is left when the database fails has no answer yet."""
        while jobs:
            try:
                answer = self._ask(jobs[0])
            except (HTTPException, exc.DataError) as error:  # of the question
                jobs.popleft().future.set_exception(error)
            else:
                jobs.popleft().future.set_result(answer)

    def _ask(self, job: Job) -> object:
        with (
            self.database.engine.connect().execution_options(**{READS: job.reads}) as connection,
            connection.begin(),
        ):
            found = job.run(connection)
        self._is_judged |= not job.reads
        return found

    def _clean(self) -> None:
        """Throw away some of what is too old, and see how the models do; seldom."""
        now = clock()
        if now >= self._chores:
            self._chores = now + CHORES
            with self.database.engine.begin() as connection:
                before = time.time() - self._keep_days * DAY
                if queries.delete(connection, before, CHUNK) == CHUNK:
                    self._chores = now  # there are more: the next few in the next turn
            self._is_judged = True  # by less than before
        if self._is_judged and now >= self._refresh:
            self._is_judged = False
            with self.database.engine.connect().execution_options(**{READS: True}) as connection:
                self.live = queries.agreements(connection, since=time.time() - WINDOW * DAY)
            self._refresh = clock() + max(REFRESH, REST * (clock() - now))
