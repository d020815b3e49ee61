"""Prometheus metrics of the server, summed over its worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from palate.serving.requests import RecommendResponse

BUCKETS = (0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the histograms, in seconds."""
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder that workers share; it must be set before this module is imported."""


class Metrics:
    """Durations of requests and stages, rejected requests, and sizes that are read when metrics are collected."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = None if os.environ.get(MULTIPROCESS_DIR) else self.registry
        self._requests = Histogram(
            "palate_request_seconds", "Time from request to response", ("route", "method", "status"),
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        self._stages = Histogram(
            "palate_stage_seconds", "Time of a stage", ("stage", "outcome"), buckets=BUCKETS, registry=registry
        )
        self._fallbacks = Counter(
            "palate_fallback_total", "Lists that are not the model's own", ("reason", "source"), registry=registry
        )
        self._rejected = Counter("palate_rejected_total", "Requests rejected under overload", registry=registry)
        self._sizes = Gauge(
            "palate_size", "Items and events", ("kind",), registry=registry, multiprocess_mode="mostrecent"
        )

        self._failed_runs = Gauge(
            "palate_failed_runs", "Runs that cannot take over, so that the former ones answer",
            registry=registry, multiprocess_mode="mostrecent",
        )  # fmt: skip

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Record a request.

        Args:
            route: path template of the route, never the path itself.
            method: HTTP method.
            status: HTTP status.
            seconds: time from request to response.
        """
        # clients choose the method, and must not be able to create any number of series
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).observe(seconds)

    def observe_list(self, response: RecommendResponse) -> None:
        """Record the stages of a list, and why it is not the model's own.

        Args:
            response: the list.
        """
        for stage, seconds, outcome in response.timings:
            self.observe_stage(stage, seconds, outcome)
        if response.fallback is not None:
            self._fallbacks.labels(response.fallback, response.source).inc()

    def observe_stage(self, stage: str, seconds: float, outcome: str) -> None:
        """Record a stage.

        Args:
            stage: name of the stage.
            seconds: time it took.
            outcome: ``ok``, ``late`` or ``failed``.
        """
        self._stages.labels(stage, outcome).observe(seconds)

    def count_rejected(self) -> None:
        """Count a request that was rejected under overload."""
        self._rejected.inc()

    def exposition(self, sizes: Callable[[], Mapping[str, int]], failed_runs: int = 0) -> bytes:
        """All metrics in Prometheus' text format.

        Args:
            sizes: kind -> number of things, read now.
            failed_runs: number of runs that cannot take over.
        """
        self._failed_runs.set(failed_runs)
        for kind, size in sizes().items():
            self._sizes.labels(kind).set(size)
        if not os.environ.get(MULTIPROCESS_DIR):
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)
