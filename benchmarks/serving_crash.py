"""SIGKILL of the whole server while events come in: what was acknowledged is there, once, and nothing else is.

    python benchmarks/serving_crash.py [--events 5000] [--kills 100]

Four clients write small batches over HTTP; a batch that is not acknowledged is sent again with the same keys until it
is. The server (two workers) is killed after a random number of acknowledgements, and every tenth time while it starts.
At the end the database is compared with what the clients were told.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _common import WORK, fresh, keep
from _served import Served
from _shops import ids, shop

CLIENTS, BATCH = 4, 5


@dataclass
class Told:
    """What the clients were told. Attributes: events: key -> what was acknowledged. again: batches sent once more."""

    target: int
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> bool:
        return len(self.events) >= self.target or bool(self.refused)


def write(served: Served, told: Told, name: int, users: list[str], items: list[str]) -> None:
    draws = random.Random(name)
    number = 0
    while not told.done:
        events = []
        for _ in range(draws.randint(1, BATCH)):
            kind = draws.choice(("click", "like", "hide"))
            events.append({"user": draws.choice(users), "item": draws.choice(items), "type": kind})
            events[-1]["event_id"] = f"{name}-{number}"
            number += 1
        while True:
            try:
                status, answer = served.request("POST", "/v1/events", {"events": events})
            except OSError:
                status, answer = 0, None
            if status == 201:
                break
            if status not in (0, 503):
                told.refused.append(f"{status}: {answer}")
                return
            with told.lock:
                told.again += 1
            time.sleep(0.1)
        with told.lock:
            told.events |= {event["event_id"]: event for event in events}


def compare(file: Path, told: Told) -> dict[str, int | str]:
    with sqlite3.connect(file) as connection:
        rows = connection.execute("select key, user, item, kind from events").fetchall()
        whole = connection.execute("pragma integrity_check").fetchone()[0]
    stored: dict[str, list[tuple[str, str, str]]] = {}
    for key, *what in rows:
        stored.setdefault(key, []).append(tuple(what))
    wanted = {key: (e["user"], e["item"], e["type"]) for key, e in told.events.items()}
    return {
        "stored": len(rows), "lost": sum(key not in stored for key in wanted),
        "doubled": sum(len(found) > 1 for found in stored.values()),
        "changed": sum(key in stored and stored[key][0] != what for key, what in wanted.items()),
        "unknown": sum(key not in wanted for key in stored), "integrity_check": whole,
    }  # fmt: skip


def main() -> None:
    from palate.training.saving import versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draws, told = random.Random(args.seed), Told(args.events)
    run, state = shop(500, 200, 16), fresh(WORK / "serving" / "crash-state")
    users, items = ids(run)
    served = Served(run, state, "--rate", "0", "--no-page")
    served.start()
    clients = [threading.Thread(target=write, args=(served, told, n, users, items)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    share, kills, while_starting = args.events / args.kills, 0, 0
    while kills < args.kills and not told.refused:
        # as many on average as leave the last ones for the last life
        goal = min(len(told.events) + draws.uniform(0, 2 * share), args.events * (kills + 1) / (args.kills + 1))
        while len(told.events) < goal and not told.done:
            time.sleep(0.001)
        time.sleep(draws.uniform(0, 0.02))
        served.kill()
        kills += 1
        if kills % 10 == 0 and kills < args.kills:
            threading.Timer(draws.uniform(0.2, 4), served.kill).start()
            kills, while_starting = kills + 1, while_starting + 1
            with suppress(RuntimeError):
                served.start()
                time.sleep(4)
            served.kill()
        served.start()
        print(f"{kills} kills, {len(told.events)} events acknowledged", flush=True)
    for client in clients:
        client.join()
    served.kill()
    found = compare(state / "shop.db", told)
    command = f"python benchmarks/serving_crash.py --events {args.events} --kills {args.kills} --seed {args.seed}"
    result = {
        "command": command, "seed": args.seed, "workers": 2, "clients": CLIENTS, "kills": kills,
        "of_them_while_starting": while_starting, "acknowledged": len(told.events), "batches_sent_again": told.again,
        "refused": told.refused, **found, "versions": versions(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if told.refused or any(found[name] for name in ("lost", "doubled", "changed", "unknown")) or kills < args.kills:
        sys.exit(1)
    keep("serving_crash", result)


if __name__ == "__main__":
    main()
