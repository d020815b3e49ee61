"""Scorers, and exact top-k over a catalogue: of score blocks, and of dot products."""
