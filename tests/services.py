"""Real servers for tests: in a temporary folder, at a free port, ended by who started them."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

FOLDERS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian keeps them
PATIENCE = 60  # seconds until a server must answer, on a busy machine
POSTGRES, REDIS = "postgres", "redis-server"


def find(program):
    """Return the path of a program, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, FOLDERS)])
    return shutil.which(program, path=path)


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


class Postgres:
    """PostgreSQL; it refuses to be root, and then runs as the user that its package made."""

    def __init__(self, folder):
        self.folder, self.port = folder / "data", free_port()
        self.user = "postgres" if os.geteuid() == 0 else None
        self.url = f"postgresql://mastery@127.0.0.1:{self.port}/postgres"
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        options = ["--auth=trust", "--username=mastery", "--no-sync", "--encoding=UTF8"]
        self._run("initdb", "-D", self.folder, *options, "--locale=C")

    def _run(self, program, *options):
        done = subprocess.run(
            [find(program), *map(str, options)],
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        sockets = self.folder.parent
        said = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {sockets} -c fsync=off"
        log = self.folder.parent / "log"
        self._run("pg_ctl", "start", "-D", self.folder, "-l", log, "-w", "-o", said)

    def stop(self):
        self._run("pg_ctl", "stop", "-D", self.folder, "-m", "immediate", "-w")


@contextlib.contextmanager
def postgres():
    """Run PostgreSQL; its folder is no one's of pytest, where only the tests' user may pass."""
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(pathlib.Path(folder))
        server.start()
        try:
            yield server
        finally:
            if (server.folder / "postmaster.pid").exists():
                server.stop()


class Redis:
    """Redis, in memory alone."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self, *options):
        command = [find(REDIS), "--port", self.port, "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", self.folder, "--logfile", self.folder / "log", *options]
        self.process = subprocess.Popen([str(word) for word in command])
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def freeze(self):
        """Let it answer no more, and keep its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(PATIENCE)


@contextlib.contextmanager
def redis():
    """Run Redis."""
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(pathlib.Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
