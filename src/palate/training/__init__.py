"""The one training loop: phases, checkpoints, early stopping, tuning, distributed."""
