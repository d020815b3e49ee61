"""Request rate of each client, limited by a token bucket."""

from __future__ import annotations

import time
from collections import OrderedDict

MAX_CLIENTS = 10_000
"""Buckets that are remembered; a client whose bucket was dropped starts with a full one."""


class RateLimiter:
    """Token buckets, one a client. Each worker process counts on its own.

    Args:
        rate: requests per second and client in the long run, twice as many in a burst; 0 for no limit.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.capacity = rate, max(2 * rate, 1)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, client: str) -> bool:
        """Take one token from the client's bucket; False if it is empty.

        Args:
            client: address of the client, or hash of its key.
        """
        if not self.rate:
            return True
        now = time.monotonic()
        tokens, updated = self._buckets.pop(client, (self.capacity, now))
        tokens = min(self.capacity, tokens + (now - updated) * self.rate)
        self._buckets[client] = (tokens - 1 if tokens >= 1 else tokens, now)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return tokens >= 1
