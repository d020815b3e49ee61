"""A shop of 63,000 items under load: two workers, exact top 50, the client on the same machine.

    python benchmarks/serving_load.py steady --minutes 10     200 requests a second
    python benchmarks/serving_load.py overload                five times as many for 10 s, then 200 again
    python benchmarks/serving_load.py across                  what is written to one worker is seen by the other
    python benchmarks/serving_load.py swap                    runs and items change under load
    python benchmarks/serving_load.py memory --minutes 60     resident memory under mixed load
    python benchmarks/serving_load.py views --seconds 30      home pages of films for 20 clients at once, one worker

Each part starts a server of its own and is merged into benchmarks/results/serving.json. The loop is open: requests come
at Poisson times, and latency counts from when they were to be sent. Users are drawn from those the run knows.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from _common import RESULTS, WORK, fresh, keep
from _load import Answer, Client, open_loop, request, run, summary
from _served import Served, quantile
from _shops import LACKING, films, ids, shop
from palate.core.files import read_tensors

ITEMS, USERS, DIM, K, RATE = 63_000, 50_000, 64, 50, 200
CLIENTS = 20
OPTIONS = ("--rate", "0", "--no-page")
Part = dict[str, Any]


def asks(users: list[str], seed: int) -> Any:
    """Requests by number, the same for the same seed."""
    drawn = random.Random(seed).choices(users, k=4096)
    raw = [request("POST", "/v1/recommend", {"user": user, "k": K}) for user in drawn]
    return drawn, lambda number: raw[number % len(raw)]


def serve(name: str, place: Path | None = None) -> Served:
    return Served(place or shop(ITEMS, USERS, DIM), fresh(WORK / "serving" / f"{name}-state"), *OPTIONS)


def steady(args: argparse.Namespace) -> Part:
    """Latency at the client and at the server; a sample of the answers is compared with the model itself."""
    import palate

    place = shop(ITEMS, USERS, DIM)
    drawn, make = asks(ids(place)[0], 1)
    sample: dict[str, list[dict[str, Any]]] = {}
    rss: list[tuple[float, float]] = []

    def look(number: int, answer: Answer, body: bytes) -> None:
        if answer.status == 200 and len(sample) < 200:
            sample[drawn[number % len(drawn)]] = json.loads(body)["items"]

    with serve("steady") as served:

        async def main() -> list[Answer]:
            client = await Client(served.port).open()
            await open_loop(client, make, RATE, 10, seed=9)
            begun.update(served.metrics().get("palate_request_seconds_bucket", {}))
            return await open_loop(client, make, args.rate, 60 * args.minutes, look=look)

        begun: dict[Any, float] = {}
        watch = sampled(served, rss, 5)
        answers = run(main())
        watch.set()
        after, others = served.metrics().get("palate_request_seconds_bucket", {}), served.foreign_load()
    model = palate.restore(place)
    exact = {user: found for (user,), found in model.recommend(users=list(sample), k=K).group_by("user")}

    def as_said(user: str) -> bool:
        """The same items, or others with the same scores in float32."""
        wanted, found = exact[user].sort("rank"), sample[user]
        same = [item["id"] for item in found] == wanted["item"].to_list()
        return same or np.allclose([item["score"] for item in found], wanted["score"].to_numpy(), rtol=1e-5)

    there = {name: quantile(begun, after, q, route="/v1/recommend") * 1e3 for name, q in (("p50", 0.5), ("p99", 0.99))}
    return {
        "rate": args.rate, "minutes": args.minutes, "client": summary(answers), "server_ms": there,
        "cores_taken_by_others": others,
        "answers_compared": len(sample), "answers_not_exact": sum(not as_said(user) for user in sample),
        "rss_mib": [rss[0][1], rss[-1][1]] if rss else [],
    }  # fmt: skip


def overload(args: argparse.Namespace) -> Part:
    """Before, during and after the peak; recovered is the first half second whose p99 is as before."""
    _, make = asks(ids(shop(ITEMS, USERS, DIM))[0], 2)
    with serve("overload") as served:

        async def main() -> list[list[Answer]]:
            client = await Client(served.port).open()
            await open_loop(client, make, RATE, 5, seed=9)
            before = await open_loop(client, make, RATE, 20, seed=1)
            # not one after the other: what is still under way at the end of the peak is not waited for
            peak = asyncio.create_task(open_loop(client, make, 5 * RATE, 10, seed=2))
            await asyncio.sleep(10.05)
            after = await open_loop(client, make, RATE, 30, seed=3)
            return [before, await peak, after]

        before, peak, after = run(main())
        others = served.foreign_load()
    normal = max(2 * summary(before)["ms"]["p99"], 10)
    windows = [
        (start, [a.seconds * 1e3 if a.status == 200 else np.inf for a in after if start <= a.at < start + 0.5])
        for start in np.arange(0, 29.5, 0.1)
    ]
    calm = [float(start) for start, found in windows if found and np.percentile(found, 99, method="lower") <= normal]
    told = [summary(part) for part in (before, peak, after)]
    bad = sum(count for part in told for status, count in part["statuses"].items() if status not in ("200", "503"))
    return {
        "before": told[0], "peak": told[1], "after": told[2], "normal_p99_below_ms": normal,
        "seconds_until_normal": calm[0] if calm else None, "neither_200_nor_503": bad,
        "cores_taken_by_others": others,
    }  # fmt: skip


def across(args: argparse.Namespace) -> Part:
    """Each round writes through one worker and reads at once through the other, in a shop that takes in new items."""
    place, rounds = shop(2000, 1000, 0), 100
    left = set(ids(place)[1])
    faults, follow, took = (
        {"events": 0, "removed_but_listed": 0, "removed_but_known": 0, "puts": 0, "fields": 0},
        [],
        [],
    )

    async def told(line: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, found = await line.ask(request(method, path, body))
        if method != "GET" and status not in (200, 201, 204):
            raise RuntimeError(f"{method} {path}: {status} {found.decode()}")
        return status, json.loads(found) if found else None

    with serve("across", place) as served:

        async def main() -> None:
            client, holders = Client(served.port), {}
            for _ in range(64):
                line = await client.line()
                await line.ask(request("GET", "/healthz"))
                holders.setdefault(served.pid_of_connection(line.port), line)
                if len(holders) == 2:
                    break
            here, there = holders.values()
            draws = random.Random(4)
            for number in range(rounds):
                here, there = there, here
                user, item = f"visitor-{number}", draws.choice(sorted(left))
                began = time.perf_counter()
                sent = {"events": [{"user": user, "item": item, "type": "like"}]}
                await told(here, "POST", "/v1/events", sent)
                took.append(time.perf_counter() - began)
                _, list_there = await told(there, "POST", "/v1/recommend", {"user": user, "k": 5})
                _, wanted = await told(there, "POST", "/v1/recommend", {"history": [item], "k": 5})
                faults["events"] += [i["id"] for i in list_there["items"]] != [i["id"] for i in wanted["items"]]
                first = wanted["items"][0]["id"]
                await told(here, "DELETE", f"/v1/items/{first}")
                left.discard(first)
                status, _ = await told(there, "GET", f"/v1/items/{first}")
                _, again = await told(there, "POST", "/v1/recommend", {"user": user, "k": 5})
                faults["removed_but_known"] += status != 404
                faults["removed_but_listed"] += first in [i["id"] for i in again["items"]]
                fields = {"category": "seating", "brand": "Lumen & Loam", "price": 1.0 + number}
                new = {"items": [{"id": f"new-{number}", "fields": fields}]}
                await told(here, "POST", "/v1/items", new)
                began = time.perf_counter()
                status, _ = await told(there, "GET", f"/v1/items/new-{number}")
                faults["puts"] += status != 200
                while (found := await told(there, "GET", f"/v1/items/new-{number}"))[0] != 200:
                    await asyncio.sleep(0.01)
                follow.append(time.perf_counter() - began)
                faults["fields"] += found[1]["fields"]["price"] != 1.0 + number

        run(main())
    return {
        "run": place, "rounds": rounds, "not_seen_at_once": faults, "event_ms_p50": float(np.median(took)) * 1e3,
        "longest_until_a_put_is_seen_s": max(follow),
    }  # fmt: skip


def swap(args: argparse.Namespace) -> Part:
    """Two runs take turns behind a link, items go and come back; every answer must be true of what was there."""
    runs = [shop(ITEMS, USERS, DIM), shop(ITEMS, USERS, DIM, seed=1)]
    users, known = ids(runs[1])[0], [set(ids(place)[1]) for place in runs]
    only = sorted(known[0] - known[1])
    assert abs(len(only) - ITEMS // LACKING) <= 1
    link = WORK / "serving" / "swapped-run"
    _, make = asks(users, 5)
    gone: dict[str, float] = {}
    """Item -> when its removal was acknowledged, until it is put again."""
    wrong, short = {"removed": 0, "of_neither_run": 0}, 0
    spoke: dict[str, int] = {}
    changes = {"drops": 0, "puts": 0, "links": 0}
    refused: list[str] = []

    def point(number: int) -> None:
        aside = link.with_name("swapped-run-aside")
        aside.unlink(missing_ok=True)
        aside.symlink_to(runs[number % 2])
        os.replace(aside, link)

    point(0)
    with serve("swap", link) as served:

        async def main() -> list[Answer]:
            client, loop = await Client(served.port).open(), asyncio.get_running_loop()
            lacks: dict[str, set[str]] = {}
            for number in range(2):
                point(number)
                while (found := (await client.json("GET", "/readyz"))[1]) and found["run"] in lacks:
                    await asyncio.sleep(0.1)
                lacks[found["run"]] = known[number]
                await asyncio.sleep(3)
            await open_loop(client, make, RATE, 5, seed=9)
            sent: dict[int, dict[str, float]] = {}
            began = loop.time()

            def ask(number: int) -> bytes:
                sent[number] = dict(gone)
                return make(number)

            def look(number: int, answer: Answer, body: bytes) -> None:
                nonlocal short
                before = sent.pop(number)
                if answer.status != 200:
                    return
                found = json.loads(body)
                names = {item["id"] for item in found["items"]}
                spoke[found["run"]] = spoke.get(found["run"], 0) + 1
                # what was gone when the request was sent, and has not been asked back since
                wrong["removed"] += bool(names & {item for item in before if gone.get(item) == before[item]})
                wrong["of_neither_run"] += bool(names - lacks.get(found["run"], set()))
                # an item that goes away while a list is made leaves a gap
                short += len(names) != K

            async def change() -> None:
                draws = random.Random(6)
                _, popular = await client.json("POST", "/v1/recommend", {"k": 200})
                shown = [item["id"] for item in popular["items"]]
                while loop.time() - began < args.seconds:
                    item = draws.choice(shown)
                    if item in gone:
                        del gone[item]
                        body = {"items": [{"id": item, "fields": {"price": draws.uniform(1, 99)}}]}
                        status, told = await client.json("POST", "/v1/items", body)
                        changes["puts"] += 1
                    else:
                        status, told = await client.json("DELETE", f"/v1/items/{item}")
                        changes["drops"] += 1
                        if status == 204:
                            gone[item] = loop.time()
                    if status not in (201, 204):
                        refused.append(f"{item}: {status} {told}")
                    await asyncio.sleep(0.1)

            async def turn() -> None:
                while loop.time() - began < args.seconds:
                    point(changes["links"])
                    changes["links"] += 1
                    await asyncio.sleep(10)

            others = [asyncio.create_task(change()), asyncio.create_task(turn())]
            answers = await open_loop(client, ask, RATE / 2, args.seconds, look=look)
            await asyncio.gather(*others)
            return answers

        answers = run(main())
        others = served.foreign_load()
    return {
        "rate": RATE / 2, "seconds": args.seconds, "client": summary(answers), "changes": changes, "wrong": wrong,
        "shorter_lists": short, "cores_taken_by_others": others,
        "refused_changes": refused[:5], "answers_by_run": spoke,
    }  # fmt: skip


def memory(args: argparse.Namespace) -> Part:
    """Lists, likenesses and events at half the rate; the drift is a straight line through the last two thirds."""
    users, items = ids(shop(ITEMS, USERS, DIM))
    draws, rss = random.Random(7), list[tuple[float, float]]()

    def make(number: int) -> bytes:
        user, item = draws.choice(users), draws.choice(items)
        if number % 10 == 0:
            return request("POST", "/v1/events", {"events": [{"user": user, "item": item}]})
        if number % 10 == 1:
            return request("POST", "/v1/similar", {"item": item, "k": K})
        return request("POST", "/v1/recommend", {"user": user, "k": K})

    with serve("memory") as served:

        async def main() -> list[Answer]:
            return await open_loop(await Client(served.port).open(), make, RATE / 2, 60 * args.minutes)

        watch = sampled(served, rss, 5)
        answers = run(main())
        watch.set()
        others = served.foreign_load()
    times, sizes = np.array(rss[len(rss) // 3 :]).T
    slope = float(np.polyfit(times / 3600, sizes, 1)[0])
    return {
        "minutes": args.minutes, "client": summary(answers), "rss_mib": [rss[0][1], float(sizes.mean()), rss[-1][1]],
        "cores_taken_by_others": others, "drift_mib_an_hour": slope,
        "drift_percent_an_hour": 100 * slope / float(sizes.mean()),
    }  # fmt: skip


def views(args: argparse.Namespace) -> Part:
    """Home pages of known users, as fast as 20 clients take them; whose list each page shows, by its own words."""
    place = films()
    users = random.Random(8).sample(_with_history(place), 200)
    kinds, took, statuses = Counter[str](), list[float](), Counter[str]()
    with Served(place, fresh(WORK / "serving" / "views-state"), "--rate", "0", workers=1) as served:
        cookies = {user: _cookie(served.port, user) for user in users}
        deadline = time.monotonic() + args.seconds

        def client(seed: int) -> None:
            draws = random.Random(seed)
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
            while time.monotonic() < deadline:
                began = time.perf_counter()
                connection.request("GET", "/", headers={"Cookie": cookies[draws.choice(users)]})
                answer = connection.getresponse()
                text = answer.read().decode()
                took.append(time.perf_counter() - began)
                statuses[str(answer.status)] += 1
                kinds[_whose(text) if answer.status == 200 else "refused"] += 1

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        others = served.foreign_load()
        late = {
            ", ".join(f"{name} {value}" for name, value in labels): count
            for labels, count in served.metrics().get("palate_fallback_total", {}).items()
        }
    total = sum(kinds.values())
    return {
        "run": place, "clients": CLIENTS, "seconds": args.seconds, "views": total, "lists": dict(kinds),
        "statuses": dict(statuses), "own_share": (kinds["own"] + kinds["own, the last one"]) / max(total, 1),
        "ms": {f"p{q}": float(np.percentile(took, q)) * 1e3 for q in (50, 95, 99)}, "fallbacks": late,
        "cores_taken_by_others": others,
    }  # fmt: skip


def _with_history(run: Path) -> list[str]:
    """Users of a run of whom something is known; others get popular items at any load."""
    lengths = np.diff(read_tensors(run / "seen.safetensors")["indptr"])
    return [str(user) for user, length in zip(ids(run)[0], lengths) if length]


def _cookie(port: int, user: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body, headers = f"user={quote(user)}", {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/users/select", body, headers)
    return str(connection.getresponse().getheader("set-cookie")).partition(";")[0]


def _whose(text: str) -> str:
    """Whose list the first row of a home page is."""
    head = text.partition('id="row-for-you"')[2].partition("</div>")[0]
    if ">For you<" not in head:
        return "popular"
    return "own, the last one" if "Your last list" in head else "own"


def sampled(served: Served, into: list[tuple[float, float]], every: float) -> threading.Event:
    """Read memory now and then until told to stop."""
    stop, began = threading.Event(), time.monotonic()

    def look() -> None:
        while not stop.wait(every):
            into.append((time.monotonic() - began, served.memory()))

    threading.Thread(target=look, daemon=True).start()
    return stop


PARTS = {part.__name__: part for part in (steady, overload, across, swap, memory, views)}


def line(told: Part) -> str:
    ms = told["ms"]
    return f"p50 {ms['p50']:.1f} ms, p99 {ms['p99']:.1f} ms, answers {told['statuses']}" if ms else "no answers"


def table(result: dict[str, Part]) -> str:
    lines = [f"# Serving {ITEMS:,} items: two workers, exact top {K}, client on the same machine", ""]
    lines += ["| part | what was found |", "|---|---|"]
    if part := result.get("steady"):
        there = part["server_ms"]
        lines += [
            f"| steady | {part['rate']} a second for {part['minutes']:g} min: {line(part['client'])}; at the server "
            f"p50 {there['p50']:.1f}, p99 {there['p99']:.1f} ms; {part['answers_not_exact']} of "
            f"{part['answers_compared']} answers differ from the model's own |"
        ]
    if part := result.get("overload"):
        lines += [
            f"| overload | before {line(part['before'])}; at five times the rate {line(part['peak'])}; p99 normal "
            f"again after {part['seconds_until_normal']} s; neither 200 nor 503: {part['neither_200_nor_503']} |"
        ]
    if part := result.get("across"):
        lines += [
            f"| across | {part['rounds']} rounds, not seen by the other worker at once: {part['not_seen_at_once']}; an "
            f"event is on disk after {part['event_ms_p50']:.1f} ms; a put is seen after at most "
            f"{part['longest_until_a_put_is_seen_s']:.2f} s |"
        ]
    if part := result.get("swap"):
        lines += [
            f"| swap | {part['rate']:g} a second for {part['seconds']:g} s while {part['changes']}: "
            f"{line(part['client'])}; wrong: {part['wrong']} |"
        ]
    if part := result.get("memory"):
        lines += [
            f"| memory | {part['minutes']:g} min: {part['drift_percent_an_hour']:+.2f} % an hour of "
            f"{part['rss_mib'][1]:.0f} MiB |"
        ]
    if part := result.get("views"):
        ms = part["ms"]
        lines += [
            f"| views | home pages of films for {part['clients']} clients at once, one worker, {part['seconds']:g} s: "
            f"{part['views']} views, own lists {100 * part['own_share']:.1f} % ({part['lists']}), p50 {ms['p50']:.0f}, "
            f"p95 {ms['p95']:.0f} ms |"
        ]
    busy = ", ".join(
        f"{name} {p['cores_taken_by_others']:.1f}" for name, p in result.items() if "cores_taken_by_others" in p
    )
    lines += ["", f"Cores of {os.cpu_count()} that other programs took meanwhile: {busy}."] if busy else []
    return "\n".join([*lines, ""])


def main() -> None:
    from palate.core.files import read_json
    from palate.training.saving import versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--minutes", type=float, default=10, help="of steady and memory")
    parser.add_argument("--seconds", type=float, default=120, help="of swap and views")
    parser.add_argument("--rate", type=float, default=RATE, help="of steady")
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    args = parser.parse_args()
    part = PARTS[args.part](args)
    manifest = read_json((part.pop("run", None) or shop(ITEMS, USERS, DIM)) / "manifest.json")
    part |= {"command": " ".join(["python benchmarks/serving_load.py", *sys.argv[1:]]), "cores": os.cpu_count()}
    part |= {"data_hash": manifest["about"]["hash"], "model": manifest["model"], "versions": versions()}
    print(json.dumps(part, indent=2))
    if args.dry:
        return
    file = RESULTS / "serving.json"
    result = (read_json(file) if file.is_file() else {}) | {args.part: part}
    keep("serving", result, table(result))


if __name__ == "__main__":
    main()
