"""The peer MLServer, its scikit-learn runtime, with batching.

python mlserver_sklearn.py MODEL.joblib PORT

Inference is done in the server's own process (``parallel_workers`` of 0), which costs less than
the pool that is its default.
"""

import json
import os
import pathlib
import socket
import sys

SETTINGS = {
    "name": "digits",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "max_batch_size": 64,
    "max_batch_time": 0.005,
}


def free() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


if __name__ == "__main__":
    path, port = sys.argv[1:]
    folder = pathlib.Path(path).parent / f"mlserver-{port}"
    folder.mkdir()
    server = {
        "host": "127.0.0.1",
        "http_port": int(port),
        "grpc_port": free(),
        "metrics_port": free(),
        "metrics_dir": str(folder),
        "parallel_workers": 0,
        "debug": False,  # it is on by default, and writes a line for every request
    }
    (folder / "settings.json").write_text(json.dumps(server))
    model = SETTINGS | {"parameters": {"uri": path, "version": "1"}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    program = pathlib.Path(sys.executable).parent / "mlserver"
    os.execv(program, [str(program), "start", str(folder)])
