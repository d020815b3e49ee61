"""The page that people use: rendered on the server, lively where a browser runs its script, whole where it does not.

``pages()`` makes the routes; the app they are put into holds a :class:`palate.serving.shop.Shop` as ``state.shop``.
"""

from .routes import pages

__all__ = ["pages"]
