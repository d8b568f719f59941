"""Ours without its queue: each request is computed when it comes. For comparison alone.

python unbatched.py MODELS PORT
"""

import asyncio
import pathlib
import sys
import time

from serving import main
from serving.engine import method
from serving.engine.batcher import Batcher
from serving.engine.part import Part
from serving.settings import Settings


class Direct(Batcher):
    """A queue that holds nothing; what is computed is counted and watched as ever."""

    def submit(self, x, rows, deadline, *, is_shadow=False):
        """Compute here and now."""
        part = Part(x, rows, deadline, asyncio.get_running_loop().create_future())
        found = self._compute([part])
        self._deliver([part], found, time.monotonic() - part.came)
        return part.future


if __name__ == "__main__":
    models, port = sys.argv[1:]
    method.Batcher = Direct
    # As `mastery serve` does: predictions are recorded.
    store = f"sqlite:///{models}/unbatched.sqlite3"
    settings = Settings(models=pathlib.Path(models), port=int(port), store=store)
    sys.exit(main.run(settings))
