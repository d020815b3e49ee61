"""Torch building blocks without I/O: graph propagation, content projectors."""
