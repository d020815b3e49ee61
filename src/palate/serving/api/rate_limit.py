"""How often one client may ask: a bucket each, filled steadily."""

from __future__ import annotations

import time
from collections import OrderedDict

CLIENTS = 10_000
"""Clients remembered, the latest; who was forgotten starts with a full bucket."""


class Limits:
    """At most ``rate`` requests a second and client in the long run, ``2 x rate`` at once; 0 sets no limit.

    Each worker process counts for itself.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.most = rate, max(2 * rate, 1)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, client: str) -> bool:
        """Take one from the client's bucket; False if it is empty."""
        if not self.rate:
            return True
        now = time.monotonic()
        left, then = self._left.pop(client, (self.most, now))
        left = min(self.most, left + (now - then) * self.rate)
        self._left[client] = (max(left - 1, 0) if left >= 1 else left, now)
        while len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return left >= 1
