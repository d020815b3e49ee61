"""Rerankers: the order of a short list, chosen for the list and not item by item."""
