"""New items and serving: hide items to measure how new ones fare, then serve a run and add an item while it is in use.

python examples/new_items_and_serving.py [FOLDER]
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import palate
from palate.evaluation.evaluate import evaluate
from palate.features.plan import plan_content
from palate.simulation.world import World


def main(folder: Path) -> dict:
    """Measure cold items, serve, add an item over HTTP, get it recommended."""
    shop = World.make("shop", seed=2, n_items=240, n_users=200, image_size=64, audio_seconds=0.5).write(folder / "shop")

    # 1. How good are lists of items that nobody has taken yet? The split hides 20 % of the items from fitting.
    cold = palate.load(shop, split="item_cold:seed=0")
    content = plan_content(cold, {"text": "tfidf"}, store=folder / "store")
    for model in (palate.models.Popularity(), palate.models.ContentKNN()):
        metrics = evaluate(model.fit(cold, content=content), cold).metrics
        print(f"{model.name:12} capped recall@10 of new items {metrics['capped_recall@10']:.3f}")

    # 2. A run to serve; ease_content scores new items by the content they share with known ones.
    data = palate.load(shop, split="temporal")
    run = palate.models.EASEContent().fit(data, content=content).save(folder / "run")

    # 3. Serve it, and use the API as a shop would. `palate serve` also serves a page; see docs/serving.md.
    first = data.items.frame.row(0, named=True)
    words = {column: first[column] for column, kind in data.items.kinds.items() if kind in ("text", "attributes")}
    with serving(run) as address:
        call(address, "/v1/items", {"items": [{"id": "brand-new", "fields": words}]})
        answer = call(address, "/v1/similar", {"item": first["item_id"], "k": 50})
    ranked = [item["id"] for item in answer["items"]]
    print(f"like the first item: {', '.join(ranked[:5])}; the new one is number {ranked.index('brand-new') + 1}")
    return {"ranked": ranked}


class serving:
    """``palate serve`` on a free port, as long as the ``with`` block lasts."""

    def __init__(self, run: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "palate", "serve", str(run), "--port", str(self.port), "--no-page"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> str:
        address = f"http://127.0.0.1:{self.port}"
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{address}/readyz"):
                    return address
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise TimeoutError("the server did not become ready")

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(20)


def call(address: str, route: str, body: dict) -> dict:
    """Send JSON, get JSON."""
    request = urllib.request.Request(address + route, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))
