"""Scores of generated texts and pictures."""
