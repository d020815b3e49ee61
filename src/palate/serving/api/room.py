"""Places of requests in flight in one worker: further requests are refused at once, so that those inside are quick."""

from __future__ import annotations


class Room:
    """Counts requests in flight.

    Args:
        places: number of requests at once.
    """

    def __init__(self, places: int) -> None:
        self.places, self.taken = places, 0

    def enter(self) -> bool:
        """Take a place; False if there is none."""
        if self.is_full:
            return False
        self.taken += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1

    @property
    def is_full(self) -> bool:
        """Whether further requests are refused."""
        return self.taken >= self.places
