"""A server of a run, as a group of processes that can be asked, measured, stopped and killed."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
Labels = tuple[tuple[str, str], ...]


class Served:
    """``palate serve RUN`` on a free port of this machine.

    Args:
        run: folder. state: the server's own folder. options: of ``palate serve``. log: file that it writes to.
    """

    def __init__(self, run: Path, state: Path, *options: str, workers: int = 2, port: int = 0) -> None:
        self.port = port or free_port()
        self.log = state.with_name(state.name + ".log")
        self.command = [
            sys.executable,
            "-m",
            "palate",
            "serve",
            str(run),
            "--state",
            str(state),
            "--port",
            str(self.port),
        ]
        self.command += ["--workers", str(workers), *options]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, patience: float = 600) -> Served:
        """Until it is ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True, env=environment
            )
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: see {self.log}")
            with suppress(OSError):
                if self.ask("GET", "/readyz")[0] == 200:
                    self.ready = (time.monotonic(), *self.busy())
                    return self
            time.sleep(0.02)
        raise RuntimeError(f"the server is not ready after {patience} s: see {self.log}")

    def stop(self) -> None:
        """As one asks it to."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.kill()

    def kill(self) -> None:
        """All of its processes, at once."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and what the JSON says, on a connection of its own."""
        status, found = self.text(method, path, body)
        return status, json.loads(found) if found else None

    def text(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def memory(self) -> float:
        """Resident MiB of its processes together; what they share counts for each."""
        return sum(process.memory_info().rss for process in self.processes()) / 2**20

    def busy(self) -> tuple[float, float]:
        """Processor seconds of the machine, and of the server and this process."""
        machine = psutil.cpu_times()
        ours = [process.cpu_times() for process in (*self.processes(), psutil.Process())]
        return sum(machine) - machine.idle - machine.iowait, sum(times.user + times.system for times in ours)

    def others(self) -> float:
        """Cores that programs of other people have taken since the server was ready; a quiet machine is near 0."""
        began, every, ours = self.ready
        now, mine = self.busy()
        return (now - every - (mine - ours)) / (time.monotonic() - began)

    def holder(self, port: int) -> int:
        """The process at the other end of a connection from ``port``."""
        for process in self.processes():
            if any(c.raddr and c.raddr.port == port for c in process.net_connections("tcp")):
                return process.pid
        raise LookupError(f"nobody holds {port}")

    def metrics(self) -> dict[str, dict[Labels, float]]:
        """Samples of /metrics by name and labels."""
        found: dict[str, dict[Labels, float]] = {}
        for line in self.text("GET", "/metrics")[1].splitlines():
            if match := SAMPLE.match(line):
                labels = tuple(sorted(LABEL.findall(match[2] or "")))
                found.setdefault(match[1], {})[labels] = float(match[3])
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quantile(before: dict[Labels, float], after: dict[Labels, float], share: float, **wanted: str) -> float:
    """A quantile of what came between two readings of a histogram's buckets, straight lines within a bucket."""
    counts: dict[float, float] = {}
    for labels, value in after.items():
        named = dict(labels)
        if all(named.get(name) == text for name, text in wanted.items()):
            bound = float(named["le"])
            counts[bound] = counts.get(bound, 0) + value - before.get(labels, 0)
    bounds = sorted(counts)
    if not bounds or not counts[bounds[-1]]:
        return float("nan")
    target, low, below = share * counts[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= target:
            return low if bound == float("inf") else low + (bound - low) * (target - below) / (counts[bound] - below)
        low, below = bound, counts[bound]
    return low
