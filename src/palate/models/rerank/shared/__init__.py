"""What rerankers share: settings, the matcher below, candidates with their vectors and groups, the scorer."""
