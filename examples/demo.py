"""The whole idea in two minutes: train, sweep, compare, export, serve and query, on real data.

Every step is a command that can be typed by hand; this script types them, and says what happened.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

FOLDER = pathlib.Path(".demo")
RUNS, MODELS = FOLDER / "runs", FOLDER / "models"
MASTERY = [sys.executable, "-m", "mastery_jax.cli"]


def mastery(*words: str) -> dict:
    """Type one command, show it, and return what it says to machines."""
    print(f"\n$ mastery {' '.join(words)}", flush=True)
    begun = time.perf_counter()
    done = subprocess.run([*MASTERY, *words, "--json"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"  [{time.perf_counter() - begun:.1f} s]", flush=True)
    return json.loads(done.stdout)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def serve_and_query(port: int) -> None:
    """Start the server, ask it about three real digits, and stop it."""
    from mastery_jax.workflow import data
    from serving.client import Client, ServingError

    words = ["serve", "--models", str(MODELS), "--port", str(port)]
    print(f"\n$ mastery {' '.join(words)} &", flush=True)
    server = subprocess.Popen([*MASTERY, *words])
    client = Client(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 60
        while server.poll() is None and time.monotonic() < deadline:
            try:
                print(f"  GET /health: {client.health()}", flush=True)
                break
            except ServingError:  # it is not up yet
                time.sleep(0.1)
        digits = data.load(data.Classification(source="digits"))
        X, y = digits.arrays["test"]["X"][:3], digits.arrays["test"]["y"][:3]
        answer = client.predict_batch(X, model="digits")
        print(f"  POST /predict/batch: predictions {answer.predictions}, truth {y.tolist()}")
        sure = ", ".join(f"{max(row):.3f}" for row in answer.probabilities or ())
        print(f"  with probability {sure}; {answer.processing_time * 1000:.2f} ms in the server")
    finally:
        client.close()
        server.terminate()
        server.wait(timeout=30)


def main() -> None:
    """Do the five steps."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    run = mastery("run", "digits_mlp", "--runs", str(RUNS))
    print(f"  accuracy on held-out digits: {run['metrics']['test_accuracy']:.4f}")
    rates = "optimizer.learning_rate=1e-4,1e-3,1e-2"
    sweep = mastery("sweep", "digits_mlp", rates, "seed=range(4)", "--runs", str(RUNS))
    print("\n$ mastery compare", sweep["folder"], flush=True)
    subprocess.run([*MASTERY, "compare", sweep["folder"]], check=True)
    best = ("--best", "test_accuracy:max", "--name", "digits", "--models", str(MODELS))
    exported = mastery("export", sweep["folder"], *best)
    print(f"  {exported['folder']}: StableHLO, safetensors and a manifest; no Python in it")
    serve_and_query(free_port())
    print(f"\nAll of it is in {FOLDER}/. By hand: see README.md.")


if __name__ == "__main__":
    main()
