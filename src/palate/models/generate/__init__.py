"""Generators: one file each, found by name."""
