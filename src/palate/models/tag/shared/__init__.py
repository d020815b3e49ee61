"""Parts that taggers share."""
