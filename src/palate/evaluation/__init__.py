"""Protocols, compare, search and the report."""
