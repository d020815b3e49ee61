"""Training objectives; each documents its inputs and what data it needs."""
