"""Parts that several rankers share."""
