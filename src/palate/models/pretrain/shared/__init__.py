"""Building blocks that several pretrainers share."""
