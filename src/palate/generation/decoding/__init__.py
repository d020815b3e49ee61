"""How a language model is asked and its answers are drawn: layout of prompts, constraints, sampling, speculation."""
