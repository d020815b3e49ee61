"""What the server measures of itself, for Prometheus; summed over worker processes where there are several."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Folder in which workers of one server meet, if it is set before this is imported."""


class Measures:
    """Requests and their seconds, what was shed, what stages came to; sizes of the shop when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = None if os.environ.get(SHARED) else self.registry
        self.requests = Histogram(
            "palate_request_seconds", "Time from a request to its answer", ("route", "method", "status"),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.stages = Histogram(
            "palate_stage_seconds", "Time of a stage", ("stage", "outcome"), buckets=SECONDS, registry=registry
        )
        self.refused = Counter("palate_shed_total", "Requests for which there was no room", registry=registry)
        self.sizes = Gauge(
            "palate_size", "Items and events", ("what",), registry=registry, multiprocess_mode="mostrecent"
        )

    def took(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        # whoever asks chooses the method, and must not choose how many series there are
        method = method if method in METHODS else "other"
        self.requests.labels(route, method, str(status)).observe(seconds)

    def staged(self, stage: str, seconds: float, outcome: str) -> None:
        """Count a stage."""
        self.stages.labels(stage, outcome).observe(seconds)

    def shed(self) -> None:
        """Count a request that was turned away."""
        self.refused.inc()

    def page(self, sizes: Callable[[], dict[str, int]]) -> bytes:
        """All of it in Prometheus' text form."""
        for what, size in sizes().items():
            self.sizes.labels(what).set(size)
        if not os.environ.get(SHARED):
            return generate_latest(self.registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)
        return generate_latest(every)
