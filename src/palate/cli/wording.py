"""Hints of the library in the words of the command line."""

from __future__ import annotations

import re

# what a hint says to callers in Python, and the option that does the same
PYTHON = {
    r'(?:pass )?\bon_unknown="(\w+)" or "(\w+)"': r"--on-unknown \1 or \2",
    r'(?:pass )?\bon_unknown="?(\w+)"?': r"--on-unknown \1",
    r"\bon_unknown is\b": "--on-unknown is",
    r"\bwith name=(?!\w)": "with --name",
    r"\bname=(?=:|$)": "--name",
    r"(--overwrite) \(overwrite=True\)": r"\1",
    r"(?:pass )?\boverwrite=True\b": "--overwrite",
    r"\bor overwrite\b": "or --overwrite",
    r"(?<!-)\bset ([a-z_]+)=([\w.]+)": r"--set \1=\2",
    r"\buse ([a-z_]+)=([\w.]+)": r"use --set \1=\2",
    r"\busers=\[\.\.\.\] of model\.user_ids\b": "--user U",
    r"\bhistory=\[\.\.\.\]": "--history ITEM,ITEM",
    r"\b(?:call )?fit\(data\)(?: first)?": "palate fit DATA --out RUN",
    r"\bpalate\.restore\(folder\)": "a folder that palate fit wrote",
    r"\bcall update_items\(features\) first\b": "fit the run again",
    r'(?:pass )?\bdevice="?(\w+)"?': r"--device \1",
    r"\binit_from\b": "--init-from",
    r"\bmodel\.(?:recommend|item_vectors|predict)\([^)]*\)": "palate recommend",
}


def for_command_line(text: str) -> str:
    """A message with options in place of Python's keywords.

    Args:
        text: of an error.
    """
    for pattern, option in PYTHON.items():
        text = re.sub(pattern, option, text)
    return text
