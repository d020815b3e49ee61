"""The page that people use: rendered on the server, lively where a browser runs its script, whole where it does not.

``pages()`` makes the routes; the app that includes them holds a
:class:`palate.serving.service.RecommenderService` as ``state.service``.
"""

from palate.serving.page.router import pages

__all__ = ["pages"]
