"""The OpenAPI description: errors under their media type, the key, and short names of operations."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from palate.serving.api.permissions import HEALTH
from palate.serving.api.problems import MEDIA_TYPE

SCHEME = "HTTPBearer"
PROBLEM = {"$ref": "#/components/schemas/Problem"}


def operation_id(route: APIRoute) -> str:
    """The id of an operation: the name of its function, which generated clients take for the name of a method.

    Args:
        route: the route.
    """
    return route.name


def describe(app: FastAPI) -> None:
    """Complete the description that FastAPI makes of an app.

    Args:
        app: the app.
    """
    make = app.openapi

    def openapi() -> dict[str, Any]:
        complete = app.openapi_schema is not None
        schema = make()
        if not complete:
            _complete(schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    schema["components"]["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "description": "an API key; only where the server has keys"}
    }
    for path, item in schema["paths"].items():
        for operation in item.values():
            if path not in HEALTH:
                # a server without keys asks for none
                operation["security"] = [{SCHEME: []}, {}]
            for response in operation["responses"].values():
                content = response.get("content", {})
                if content.get("application/json", {}).get("schema") == PROBLEM:
                    response["content"] = {MEDIA_TYPE: {"schema": PROBLEM}}
