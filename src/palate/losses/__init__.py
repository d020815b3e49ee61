"""Training objectives; each documents its inputs, the data it needs, related losses, and an example."""
