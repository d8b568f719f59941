"""Real server processes for tests: started, asked over raw sockets, never left behind."""

import contextlib
import pathlib
import socket
import subprocess
import sys
import time

from serving.client import Client, ServingError

MASTERY = [sys.executable, "-c", "from mastery_jax.cli import main; main()"]
PATIENCE = 60  # seconds; nothing here takes so long on a machine that is free


def free_port():
    """Return a port that nobody has."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


class Running:
    """A server process and its address."""

    def __init__(self, command, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def client(self, **options):
        return Client(self.url, **{"timeout": PATIENCE, **options})

    def wait_ready(self):
        with self.client() as client:
            until(lambda: client.ready() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.stderr.read()
        return self

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def stop(self, number):
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    def descriptors(self):
        """Return how many files and connections it has open."""
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def is_bound(self):
        with socket.socket() as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                door.bind(("127.0.0.1", self.port))
            except OSError:
                return True
        return False

    def kill(self):
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def running(models, *options, command=("serve",), before=""):
    """Serve a folder in a process that does not outlive the block.

    Args:
        models: The folder.
        options: Of the command.
        command: Which one.
        before: What is done to the supervisor first.
    """
    port = free_port()
    *python, code = MASTERY
    program = [*python, f"from serving.process import supervisor; {before}; {code}"]
    told = [*command, "--models", str(models), "--port", str(port), *options]
    server = Running([*(program if before else MASTERY), *told], port)
    try:
        yield server
    finally:
        server.kill()


def until(is_so):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.05)


def children(pid):
    """Return the living children of a process."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def is_alive(pid):
    with contextlib.suppress(OSError):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    return False


def read_all(connection):
    """Return what comes until the connection is closed, or reset."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(2**16):
            content += more
    return content


def refused(command):
    """Return the one sentence of a command that must be refused."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


__all__ = [
    "MASTERY",
    "Running",
    "ServingError",
    "children",
    "free_port",
    "is_alive",
    "read_all",
    "refused",
    "running",
    "until",
]
