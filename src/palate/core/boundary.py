"""The edge of the library: an error about a user's input ends there with the user's own line and the message."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from palate.core.errors import PalateError

DEBUG = "PALATE_DEBUG"
"""Environment variable: with any value tracebacks keep all their frames."""

P = ParamSpec("P")
R = TypeVar("R")


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate an entry point: the traceback of a :class:`PalateError` leaves out frames inside the library.

    Args:
        function: what users call.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except PalateError as caught:
            if os.environ.get(DEBUG):
                raise
            error = caught.with_traceback(None)
        raise error from None  # PALATE_DEBUG=1 shows where it was found

    return call
