"""The endpoints of the API; thin: they translate between JSON and the service."""

from __future__ import annotations

from fastapi import APIRouter

from palate.serving.api.endpoints import generation, items, lists, server, users

router = APIRouter()
for part in (lists, items, users, generation, server):
    router.include_router(part.router)

__all__ = ["router"]
