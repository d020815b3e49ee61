"""The stub of ``palate.models``: every registered class by name, for type checkers and editors."""

from __future__ import annotations

from palate.contracts import models

HEAD = '''"""Registered models by class name. Written by tools/generate.py."""

'''


def render() -> str:
    """Text of ``src/palate/models/__init__.pyi``."""
    classes = sorted((kind.__module__, kind.__name__) for _, kind in models.items())
    ours = [(module, name) for module, name in classes if module.startswith("palate.")]
    imports = [f"from {module} import {name} as {name}" for module, name in ours]
    names = sorted(name for _, name in ours)
    listed = "".join(f'    "{name}",\n' for name in names)
    return f"{HEAD}{chr(10).join(imports)}\n\n__all__ = [\n{listed}]\n"
