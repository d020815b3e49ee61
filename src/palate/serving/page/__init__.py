"""The page that people use."""

from fastapi import APIRouter


def pages() -> APIRouter:
    """Its routes."""
    return APIRouter()
