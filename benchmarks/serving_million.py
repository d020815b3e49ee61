"""A million items served through cells: recall@10 against exact search, and latency, without and with a filter.

    python benchmarks/serving_million.py [--rate 50] [--seconds 60]

A simulated world of 1,000,000 items and 300,000 users, vectors of 128 numbers; two workers, the client on the same
machine, Poisson arrivals. The filter keeps the 2 % of items in the middle of the prices. The truth is what the model
itself says when it compares all vectors. The first start builds the cells, later ones find them in the state folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from typing import Any

import polars as pl

from _common import WORK, keep
from _load import Answer, Client, open_loop, request, run, summary
from _served import Served
from _shops import ids, shop

ITEMS, USERS, DIM, K, ASKED = 1_000_000, 300_000, 128, 10, 500
RaggedArray = dict[str, list[str]]


def truth(model: Any, users: list[str], allowed: list[str] | None) -> RaggedArray:
    found = model.recommend(users=users, k=K, allowed=allowed)
    return {user: rows["item"].to_list() for (user,), rows in found.group_by("user", maintain_order=True)}


def recall(found: RaggedArray, wanted: RaggedArray) -> float:
    """Of the lists that were answered."""
    hits = sum(len(set(found[user]) & set(wanted[user])) for user in found)
    return hits / sum(len(wanted[user]) for user in found)


def measure(
    served: Served, users: list[str], filters: dict[str, Any], rate: float, seconds: float
) -> tuple[RaggedArray, dict[str, Any]]:
    """The lists of ``users``, and latency while they are asked for again and again."""
    raw = [request("POST", "/v1/recommend", {"user": user, "k": K, "filters": filters}) for user in users]
    lists: RaggedArray = {}

    def look(number: int, answer: Answer, body: bytes) -> None:
        if answer.status == 200:
            lists[users[number % len(users)]] = [item["id"] for item in json.loads(body)["items"]]

    async def main() -> list[Answer]:
        client = await Client(served.port).open()
        await open_loop(client, lambda number: raw[-1 - number % len(raw)], rate, 10, seed=9)
        return await open_loop(client, lambda number: raw[number % len(raw)], rate, seconds, look=look)

    return lists, summary(run(main()))


def main() -> None:
    import palate
    from palate.core.files import read_json
    from palate.training.saving import versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--dry", action="store_true", help="print, keep nothing")
    args = parser.parse_args()
    place = shop(ITEMS, USERS, DIM)
    users = random.Random(0).sample(ids(place)[0], ASKED)
    model = palate.restore(place)
    goods: pl.DataFrame = model.deployment.items.frame.select("item_id", "price")
    low, high = (float(goods["price"].quantile(share) or 0) for share in (0.49, 0.51))
    allowed = goods.filter(pl.col("price").is_between(low, high))["item_id"].to_list()
    filters: dict[str, dict[str, Any]] = {"all": {}, "filtered": {"price": {"min": low, "max": high}}}
    wanted = {"all": truth(model, users, None), "filtered": truth(model, users, allowed)}
    del model
    state = WORK / "serving" / "million-state"
    state.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    served = Served(place, state, "--rate", "0", "--no-page")
    served.start(patience=1800)
    result: dict[str, Any] = {"seconds_until_ready": time.monotonic() - began}
    try:
        for name, given in filters.items():
            lists, told = measure(served, users, given, args.rate, args.seconds)
            result[name] = {"recall@10": recall(lists, wanted[name]), "lists_compared": len(lists), "client": told}
        result |= {"rss_mib": served.memory(), "cores_taken_by_others": served.foreign_load()}
    finally:
        served.stop()
    manifest = read_json(place / "manifest.json")
    result |= {
        "command": " ".join(["python benchmarks/serving_million.py", *sys.argv[1:]]), "items": ITEMS, "dim": DIM,
        "rate": args.rate, "workers": 2, "cores": os.cpu_count(), "users_asked": ASKED,
        "filter_keeps": len(allowed) / ITEMS, "data_hash": manifest["about"]["hash"], "model": manifest["model"],
        "seed": 0, "versions": versions(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if args.dry:
        return
    lines = [f"# {ITEMS:,} items of {DIM} numbers, {args.rate:g} requests a second, two workers", ""]
    lines += ["| items that may be found | recall@10 | p50, ms | p99, ms | answers |", "|---|---|---|---|---|"]
    for name, said in (("all", "all"), ("filtered", f"{len(allowed) / ITEMS:.1%}, by price")):
        part = result[name]
        ms, statuses = part["client"]["ms"], part["client"]["statuses"]
        lines.append(f"| {said} | {part['recall@10']:.4f} | {ms['p50']:.1f} | {ms['p99']:.1f} | {statuses} |")
    lines += ["", f"Cores of {os.cpu_count()} that other programs took: {result['cores_taken_by_others']:.1f}."]
    keep("serving_million", result, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
