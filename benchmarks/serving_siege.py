"""A server under siege: unfinished uploads, endless heads, silent connections, and 20 browsers at once.

python benchmarks/serving_siege.py --seconds 5
"""

from __future__ import annotations

import argparse
import http.client
import re
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

import palate
from _common import WORK, fresh, keep
from _served import Served
from palate.evaluation.runs import run_fit
from palate.features.plan import plan_content
from palate.simulation.world import World
from palate.training.saving import versions

KEY = "manage-0123456789abcdef"
UPLOADS, SILENT, BROWSERS, VIEWS, PARALLEL = 200, 1500, 20, 2, 6
"""Unfinished uploads; silent connections; browsers, home views of each, and connections of each for pictures."""
ENDLESS_BYTES = 62 * 2**20
UNFINISHED = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\nAuthorization: Bearer %s\r\n\r\nx"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="seconds that a key holder asks during the uploads")
    args = parser.parse_args()
    folder = fresh(WORK / "siege")
    run = fit(folder)
    keys = folder / "keys"
    keys.write_text(f"{KEY} manage\n")
    with Served(run, folder / "one", "--keys", str(keys), "--rate", "0", workers=1) as server:
        uploads = {
            "/login, no key": under_uploads(server, b"/login", b"", args.seconds),
            "/v1/recommend, a key": under_uploads(server, b"/v1/recommend", KEY.encode(), args.seconds),
        }
    with Served(run, folder / "two", workers=1) as server:
        browsers = views(server)
    with Served(run, folder / "three", workers=1) as server:
        memory = endless(server)
    result = {
        "command": f"python benchmarks/serving_siege.py --seconds {args.seconds:g}",
        "unfinished_uploads": UPLOADS,
        "key_holder": uploads,
        "browsers": {"browsers": BROWSERS, "views_each": VIEWS, **browsers},
        "endless": memory,
        "versions": versions(),
    }
    keep("serving_siege", result, table(result))


def fit(folder: Path) -> Path:
    """A run over a small simulated shop with pictures.

    Args:
        folder: where it is kept.

    Returns:
        The run folder.
    """
    data = World.make(preset="shop", seed=3, n_items=300, n_users=200).write(folder / "shop")
    loaded = palate.load(data)
    content = plan_content(loaded, {"text": "tfidf", "image": "image_stats", "audio": "none"}, str(folder / "store"))
    run_fit(loaded, "content_knn", folder / "run", content=content, baselines=False)
    return folder / "run"


def under_uploads(server: Served, path: bytes, key: bytes, seconds: float) -> dict[str, object]:
    """What a holder of a key meets while uploads hang; one that is ended is begun again.

    Args:
        server: the server.
        path: where the uploads go.
        key: key of the uploads.
        seconds: how long.

    Returns:
        Requests by status, and their seconds.
    """
    stopped = threading.Event()

    def hang() -> None:
        while not stopped.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                connection.sendall(UNFINISHED % (path, key))
                while not stopped.wait(0.2):
                    connection.settimeout(0.01)
                    with suppress(TimeoutError):
                        if not connection.recv(4096):
                            break

    threads = [threading.Thread(target=hang, daemon=True) for _ in range(UPLOADS)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    statuses, times = Counter[str](), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        statuses[str(ask(server, "POST", "/v1/recommend", b'{"k": 10}')[0])] += 1
        times.append(time.perf_counter() - started)
    ready, _ = ask(server, "GET", "/readyz")
    stopped.set()
    for thread in threads:
        thread.join()
    return {
        "statuses": dict(statuses), "readyz": ready,
        "median_s": round(float(np.median(times)), 4), "longest_s": round(max(times), 4),
    }  # fmt: skip


def views(server: Served) -> dict[str, object]:
    """Home views of browsers that start at once, each with all of its pictures and files.

    Args:
        server: the server.

    Returns:
        Requests by status, of pages and of files, and seconds.
    """
    pages, files = Counter[str](), Counter[str]()

    def browse(number: int) -> None:
        with ThreadPoolExecutor(PARALLEL) as pool:
            for _ in range(VIEWS):
                status, html = ask(server, "GET", "/")
                pages[str(status)] += 1
                found = re.findall(r'(?:src|href)="(/(?:image|static)/[^"]+)"', html.decode())
                for one, _ in pool.map(lambda path: ask(server, "GET", path.replace("&amp;", "&")), set(found)):
                    files[str(one)] += 1

    started = time.perf_counter()
    with ThreadPoolExecutor(BROWSERS) as pool:
        list(pool.map(browse, range(BROWSERS)))
    return {"pages": dict(pages), "files": dict(files), "seconds": round(time.perf_counter() - started, 1)}


def endless(server: Served) -> dict[str, object]:
    """Memory of the server under requests without an end, and how long silent connections stay.

    Args:
        server: the server.

    Returns:
        MiB before and at most, bytes that were taken, and connections that are left.
    """
    before = server.memory()
    result: dict[str, object] = {"rss_before_mib": round(before)}
    for name, first, piece in (
        ("header", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Endless: ", b"y" * 65536),
        ("headers", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"X-More: y\r\n" * 6000),
        ("url", b"GET /", b"z" * 65536),
    ):
        most, sent = before, 0
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(first)
            while sent < ENDLESS_BYTES:
                sent += connection.send(piece)
                if sent % (8 * 2**20) < 65536:
                    most = max(most, server.memory())
        answered = ask(server, "GET", "/healthz")[0]
        result[name] = {
            "sent_mib": round(sent / 2**20, 2),
            "rss_more_mib": round(most - before, 1),
            "healthz": answered,
        }
    with ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        started = time.perf_counter()
        answered = ask(server, "GET", "/healthz")[0]
        seconds = time.perf_counter() - started
        most = server.memory()
        time.sleep(12)
        left = sum(len(process.net_connections("tcp")) for process in server.processes()) - 1
    result["silent"] = {
        "connections": SILENT, "healthz": answered, "healthz_s": round(seconds, 4),
        "rss_more_mib": round(most - before, 1), "left_after_12_s": left,
    }  # fmt: skip
    return result


def ask(server: Served, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of a request with a key on a new connection; status 0 where the connection breaks.

    Args:
        server: the server.
        method: HTTP method.
        path: path with query.
        body: JSON.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def table(result: dict) -> str:
    lines = ["# A server under siege", "", f"`{result['command']}`, one worker.", ""]
    lines += [
        f"A holder of a key while {UPLOADS} uploads never end:",
        "",
        "| uploads | answers | median s | longest s |",
    ]
    lines += ["|---|---|---|---|"]
    for name, row in result["key_holder"].items():
        lines.append(f"| {name} | {counts(row['statuses'])} | {row['median_s']} | {row['longest_s']} |")
    browsers, endless_rows = result["browsers"], result["endless"]
    lines += ["", f"{BROWSERS} browsers, {VIEWS} home views each, all at once ({browsers['seconds']} s): "]
    lines[-1] += f"pages {counts(browsers['pages'])}; pictures and files {counts(browsers['files'])}."
    lines += ["", f"Memory before: {endless_rows['rss_before_mib']} MiB.", ""]
    lines += ["| request without an end | MiB taken | more memory, MiB |", "|---|---|---|"]
    for name in ("header", "headers", "url"):
        lines.append(f"| {name} | {endless_rows[name]['sent_mib']} | {endless_rows[name]['rss_more_mib']} |")
    silent = endless_rows["silent"]
    lines += ["", f"{silent['connections']} silent connections: {silent['rss_more_mib']} MiB more, another client is "]
    lines[-1] += f"answered in {silent['healthz_s']} s, and {silent['left_after_12_s']} are left after 12 s."
    return "\n".join(lines) + "\n"


def counts(statuses: dict[str, int]) -> str:
    return ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))


if __name__ == "__main__":
    main()
