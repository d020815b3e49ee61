"""Contracts, registry, errors, atomic files, the run folder and progress: what every other room may use."""
