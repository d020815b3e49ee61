"""Helpers of several readers."""
