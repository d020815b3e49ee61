"""What a request needs: a key, the permission ``manage``, a token of the client's rate, a place in the room."""

from __future__ import annotations

HEALTH = ("/healthz", "/readyz")
"""Paths that are answered before every check."""
PUBLIC = ("/login", "/static/", "/favicon.ico")
"""Prefixes of the paths that need no key: the login form and its files."""
FILES = ("/static/", "/image/", "/v1/images/")
"""Prefixes of pictures and files, dozens of which belong to one page; they have threads of their own."""
FILE_PATHS = ("/favicon.ico", "/image", "/v1/images")
MANAGED = (("POST", "/v1/items"), ("DELETE", "/v1/items"), ("DELETE", "/v1/users"), ("POST", "/v1/users/"))
"""(method, prefix) of requests that need the permission ``manage``; so does ``/metrics``."""
MANAGED_FORMS = ("/add", "/edit", "/remove")
MANAGED_PAGES = ("/users", "/compare", "/dashboard", "/report", "/add", "/edit")
"""Pages of the operator: users, comparisons of models, figures, forms of items."""
LOGIN_BYTES = 16 * 2**10
"""Size of the login form, which needs no key."""


def is_page(path: str) -> bool:
    """Whether a path belongs to the page, whose requests carry a session cookie.

    Args:
        path: path of the request.
    """
    return not path.startswith("/v1/") and path not in ("/v1", "/metrics", "/openapi.json")


def is_file(path: str) -> bool:
    """Whether a path is that of a picture or static file.

    Args:
        path: path of the request.
    """
    return path.startswith(FILES) or path in FILE_PATHS


def is_public(path: str) -> bool:
    """Whether a path needs no key.

    Args:
        path: path of the request.
    """
    return path.startswith(PUBLIC)


def needs_manage(method: str, path: str) -> bool:
    """Whether a request needs the permission ``manage``.

    Args:
        method: HTTP method.
        path: path of the request.
    """
    if path == "/metrics":
        return True
    if method == "GET":
        return any(path == page or path.startswith(page + "/") for page in MANAGED_PAGES)
    if method == "POST" and path.startswith(MANAGED_FORMS):
        return True
    return any(method == managed and path.startswith(prefix) for managed, prefix in MANAGED)


def is_counted(method: str, path: str) -> bool:
    """Whether a request counts against its client's rate: the API and forms, not pages with their pictures.

    Args:
        method: HTTP method.
        path: path of the request.
    """
    return method == "POST" or (path.startswith("/v1/") and not is_file(path))
