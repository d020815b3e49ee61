"""Taggers: labels of items from their content."""
