"""A server of a run as a group of processes: send requests to it, measure it, stop and kill it."""

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
    """``palate serve RUN`` on this machine; its output goes to ``<state>.log``.

    Args:
        run: run folder.
        state: state folder of the service.
        options: further options of ``palate serve``.
        workers: number of processes.
        port: port to listen on, 0 for a free one.
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

    def start(self, timeout: float = 600) -> Served:
        """Start it and wait until it is ready.

        Args:
            timeout: seconds to wait.

        Raises:
            RuntimeError: if it ends, or is not ready in time.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True, env=environment
            )
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server has ended: see {self.log}")
            with suppress(OSError):
                if self.request("GET", "/readyz")[0] == 200:
                    self.ready = (time.monotonic(), *self.cpu_seconds())
                    return self
            time.sleep(0.02)
        raise RuntimeError(f"the server is not ready after {timeout} s: see {self.log}")

    def stop(self) -> None:
        """Stop it gracefully."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill all of its processes at once."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Served:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and parsed JSON of a request on a new connection.

        Args:
            method: HTTP method.
            path: path with query.
            body: any JSON value.
        """
        status, text = self.request_text(method, path, body)
        return status, json.loads(text) if text else None

    def request_text(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and text of a request on a new connection.

        Args:
            method: HTTP method.
            path: path with query.
            body: any JSON value.

        Raises:
            OSError: if the connection breaks.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"content-type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def memory(self) -> float:
        """Resident memory of its processes in MiB; shared pages count for each."""
        return sum(process.memory_info().rss for process in self.processes()) / 2**20

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU seconds of the machine, and of the server together with this process."""
        machine = psutil.cpu_times()
        ours = [process.cpu_times() for process in (*self.processes(), psutil.Process())]
        return sum(machine) - machine.idle - machine.iowait, sum(times.user + times.system for times in ours)

    def foreign_load(self) -> float:
        """Mean number of cores that other programs have used since the server was ready; near 0 on a quiet machine."""
        ready, machine, own = self.ready
        machine_now, own_now = self.cpu_seconds()
        return (machine_now - machine - (own_now - own)) / (time.monotonic() - ready)

    def pid_of_connection(self, port: int) -> int:
        """Id of the process at the other end of a connection from ``port``.

        Args:
            port: local port of the connection.

        Raises:
            LookupError: if none of the processes has it.
        """
        for process in self.processes():
            if any(c.raddr and c.raddr.port == port for c in process.net_connections("tcp")):
                return process.pid
        raise LookupError(f"no process has a connection from port {port}")

    def metrics(self) -> dict[str, dict[Labels, float]]:
        """Samples of ``/metrics`` by name and labels."""
        samples: dict[str, dict[Labels, float]] = {}
        for line in self.request_text("GET", "/metrics")[1].splitlines():
            if match := SAMPLE.match(line):
                labels = tuple(sorted(LABEL.findall(match[2] or "")))
                samples.setdefault(match[1], {})[labels] = float(match[3])
        return samples


def free_port() -> int:
    """A port that no program listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quantile(before: dict[Labels, float], after: dict[Labels, float], share: float, **wanted: str) -> float:
    """A quantile of the observations between two readings of a histogram, linear within a bucket.

    Args:
        before: buckets of the first reading.
        after: buckets of the second reading.
        share: of the observations, 0 to 1.
        wanted: labels that are counted.
    """
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
