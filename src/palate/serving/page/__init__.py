"""The web page: rendered on the server, live where the browser runs its script, complete where it does not.

``pages()`` creates the routes; the app that includes them holds a
:class:`palate.serving.service.RecommenderService` as ``state.service``.
"""

from palate.serving.page.router import pages

__all__ = ["pages"]
