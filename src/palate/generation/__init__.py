"""Personalised content: what generators are made of. Prompts, backends, scorers, checks of facts and the composer."""
