"""Ratings by people: pairs of contents, which of each is better, and what follows from the answers."""
