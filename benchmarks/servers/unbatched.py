"""Ours without its queue: each request is computed when it comes. For comparison alone.

python unbatched.py MODELS PORT
"""

import asyncio
import pathlib
import sys

from serving import main
from serving.engine import method
from serving.engine.batcher import Batcher
from serving.settings import Settings


class Direct(Batcher):
    """A queue that holds nothing."""

    def submit(self, x, rows, deadline):
        """Compute here and now."""
        future = asyncio.get_running_loop().create_future()
        future.set_result(self._run(x, rows))
        return future


if __name__ == "__main__":
    models, port = sys.argv[1:]
    method.Batcher = Direct
    # As `mastery serve` does: predictions are recorded.
    store = f"sqlite:///{models}/unbatched.sqlite3"
    settings = Settings(models=pathlib.Path(models), port=int(port), store=store)
    sys.exit(main.run(settings))
