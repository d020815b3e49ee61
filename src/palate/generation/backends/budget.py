"""A budget of tokens and money that is asked before anything is spent."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from palate.core.errors import BackendError


@dataclass(frozen=True)
class Spending:
    """Tokens of requests.

    Attributes:
        tokens_in: of prompts.
        tokens_out: of answers.
    """

    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)

    def __sub__(self, other: Spending) -> Spending:
        return Spending(self.tokens_in - other.tokens_in, self.tokens_out - other.tokens_out)


class Budget:
    """What may be spent over the life of a backend, by all its threads together.

    Args:
        tokens: of prompts and answers together; None is unlimited.
        money: in the currency of the prices; None is unlimited.
        price_in: of a million tokens of prompts.
        price_out: of a million tokens of answers.

    Attributes:
        spent: what was used.
        reserved: what requests in progress may use.
    """

    def __init__(
        self, tokens: int | None = None, money: float | None = None, price_in: float = 0.0, price_out: float = 0.0
    ) -> None:
        self.tokens, self.money, self.price_in, self.price_out = tokens, money, price_in, price_out
        self.spent = self.reserved = Spending()
        self._lock = threading.Lock()

    def cost(self, spending: Spending) -> float:
        """What tokens cost.

        Args:
            spending: the tokens.
        """
        return (spending.tokens_in * self.price_in + spending.tokens_out * self.price_out) / 1e6

    def reserve(self, most: Spending) -> None:
        """Set aside what a request may use at most.

        Args:
            most: an upper bound.

        Raises:
            BackendError: where the budget does not allow it; nothing is set aside then.
        """
        with self._lock:
            total = self.spent + self.reserved + most
            if self.tokens is not None and total.tokens_in + total.tokens_out > self.tokens:
                raise BackendError(
                    f"the request may bring the tokens used to {total.tokens_in + total.tokens_out}, above the budget "
                    f"of {self.tokens}",
                    key="tokens",
                )
            if self.money is not None and self.cost(total) > self.money:
                raise BackendError(
                    f"the request may bring the cost to {self.cost(total):.6g}, above the budget of {self.money:g}",
                    key="money",
                )
            self.reserved += most

    def settle(self, reserved: Spending, used: Spending) -> None:
        """Count what a request used, in place of what was set aside for it.

        Args:
            reserved: as it was given to :meth:`reserve`.
            used: what the request used; nothing where it failed unanswered.
        """
        with self._lock:
            self.reserved -= reserved
            self.spent += used
