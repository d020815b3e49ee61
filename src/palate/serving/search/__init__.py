"""Search by words: tokens, a word index over the catalogue, and its fusion with content vectors."""
