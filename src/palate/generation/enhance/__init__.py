"""Language models that help a recommender: attributes of items, reranking of short lists, requests in words.

Vectors of items by a language model are the encoder ``causal_lm``.
"""
