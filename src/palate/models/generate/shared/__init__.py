"""What several text generators share: item texts as ids, training pairs, and the verbs of a fitted generator."""
