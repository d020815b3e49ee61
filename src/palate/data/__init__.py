"""Nouns of the data: catalogue, interactions, relations, dataset; splits, batches and negative samplers."""
