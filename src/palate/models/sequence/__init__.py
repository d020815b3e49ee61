"""Sequential recommenders: what comes after a history."""
