"""Prompts: templates, worked examples, token budgets, answers cut out of completions."""
