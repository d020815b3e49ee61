"""Parts that several matching models share."""
