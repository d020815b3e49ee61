"""Texts without a language model: sentences of a small grammar, filled with what stands in catalogue and history."""
