"""Sources of training batches, one kind a file; a model returns the one it learns from."""
