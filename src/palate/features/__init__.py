"""Raw content to vectors, once: encoders and the feature store."""
