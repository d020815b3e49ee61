"""A PostgreSQL of our own: started from the system's package, killed and started again, gone afterwards."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest


class Postgres:
    """A server on a unix socket in a folder of its own."""

    def __init__(self):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
        pytest.importorskip("psycopg")
        self.bin, self.databases = found[-1].parent, 0
        self.folder = Path(tempfile.mkdtemp(prefix="palate-pg-", dir="/tmp"))
        self.become = self._as_another() if os.getuid() == 0 else []
        self._run("initdb", "-D", self.folder / "data", "-U", "palate", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def _as_another(self):
        """PostgreSQL refuses to run as root."""
        for name in ("postgres", "nobody"):
            try:
                user = pwd.getpwnam(name)
            except KeyError:
                continue
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        pytest.skip("nobody here whom PostgreSQL could run as")

    def _run(self, program, *given):
        subprocess.run([*self.become, self.bin / program, *given], check=True, capture_output=True, cwd=self.folder)

    def start(self):
        settings = ("listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=on", "shared_buffers=16MB")
        given = [part for setting in settings for part in ("-c", setting)]
        command = [*self.become, self.bin / "postgres", "-D", self.folder / "data", *given]
        self.process = None
        for _ in range(2400):
            if self.process is None or self.process.poll() is not None:
                # children of a killed server hold its memory until they notice, and a new one gives up meanwhile
                with open(self.folder / "log", "a") as log:
                    self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
            ready = subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder, "-U", "palate", "-d", "postgres"])
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self):
        """All of its processes at once, as when the machine stops."""
        server = psutil.Process(self.process.pid)
        server.suspend()
        for process in [server, *server.children(recursive=True)]:
            process.kill()
        self.process.wait()

    def database(self):
        """The address of an empty database."""
        self.databases += 1
        name = f"shop{self.databases}"
        self._run("createdb", "-h", self.folder, "-U", "palate", name)
        return f"postgresql+psycopg://palate@/{name}?host={self.folder}"

    def stop(self):
        # fast: a connection that a test left open is not waited for
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        shutil.rmtree(self.folder)
