"""The server's routes from Python: typed answers, one kind of error, NumPy arrays welcome.

with Client("http://127.0.0.1:8000") as client:
    client.predict([5.1, 3.5, 1.4, 0.2], model="iris").labels

A model is ``iris``, ``iris@canary`` (a label) or ``iris@3`` (a version).
"""

from serving.caller.ask import ServingError
from serving.caller.awaiting import AsyncClient
from serving.caller.blocking import Client

__all__ = ["AsyncClient", "Client", "ServingError"]
