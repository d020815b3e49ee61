"""Torch building blocks without I/O: graphs, attention, towers of each modality, quantisers, adapters."""
