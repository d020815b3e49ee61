"""Pages of the site that lie outside ``docs/``, and a page of reference for each module; a hook of mkdocs."""

from __future__ import annotations

import re
from os.path import normpath, relpath
from pathlib import Path
from posixpath import dirname
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
ROOMS = {
    "contracts": "what a model, task or pretrainer is",
    "models": "named systems, and the classes that they extend",
    "batches": "sources of training batches",
    "data": "reading, splitting and checking data",
    "features": "encoders and the store of vectors",
    "training": "fitting, tuning, saving",
    "evaluation": "tasks, comparing, reports",
    "ranking": "scorers and top-k",
    "losses": "training objectives",
    "metrics": "what is measured",
    "modules": "torch blocks",
    "simulation": "shops whose truth is known",
    "serving": "a run in use",
    "core": "what all rooms share",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def places() -> dict[str, str]:
    """Path in the repository -> path in the site, for every file that pages may link to."""
    found = dict(OUTSIDE)
    for file in sorted((ROOT / "benchmarks" / "results").iterdir()):
        found[f"benchmarks/results/{file.name}"] = f"results/{file.name}"
    for file in sorted((ROOT / "examples").glob("*.py")):
        found[f"examples/{file.name}"] = f"examples/{file.name}"
    for file in sorted((ROOT / "docs").rglob("*")):
        if file.is_file():
            found[str(file.relative_to(ROOT))] = str(file.relative_to(ROOT / "docs"))
    return found


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside ``docs/`` and those of reference.

    Args:
        files: of the site so far.
        config: of mkdocs.
    """
    for source, target in places().items():
        if not source.startswith("docs/"):
            files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    modules = {room: modules_of(room) for room in ROOMS}
    for names in modules.values():
        for name in names:
            text = f"# `{name}`\n\n::: {name}\n    options:\n      show_root_heading: false\n      heading_level: 2\n"
            files.append(File.generated(config, f"reference/{name}.md", content=text))
    files.append(File.generated(config, "reference/index.md", content=_index(modules)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links that are right in the repository to the same files of the site.

    Args:
        markdown: text of a page.
        page: which one.
        config: of mkdocs.
        files: of the site.
    """
    target_of = places()
    here = page.file.src_uri
    source = next((source for source, target in target_of.items() if target == here), None)
    if source is None:
        return markdown

    def replace(match: re.Match[str]) -> str:
        image, text, link = match.groups()
        path, sign, anchor = link.partition("#")
        if not path or "://" in link:
            return match[0]
        wanted = normpath(f"{dirname(source)}/{path}" if dirname(source) else path)
        if wanted in target_of:
            return f"{image}[{text}]({relpath(target_of[wanted], dirname(here) or '.')}{sign}{anchor})"
        # a folder or a file of code, which the site does not hold
        return text if (ROOT / wanted).exists() else match[0]

    return LINK.sub(replace, markdown)


def modules_of(room: str) -> list[str]:
    """Dotted names of the public modules of a room."""
    folder = ROOT / "src" / "palate" / room
    names = []
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(ROOT / "src").with_suffix("").parts
        if parts[-1] == "__init__" and room != "contracts":
            continue
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts) and "page" not in parts:
            names.append(".".join(parts))
    return names


def _index(modules: dict[str, list[str]]) -> str:
    lines = ["# Reference", ""]
    for room, names in modules.items():
        lines += [f"## {room}", f"{ROOMS[room].capitalize()}.", ""]
        lines += [f"- [`{name}`]({name}.md)" for name in names] + [""]
    return "\n".join(lines)
