"""Whether a text says only what is known: claims, their check, and repair."""
