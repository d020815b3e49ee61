"""Write the files that are made from code: stubs and list of models, the page of settings, the picture of the house.

python tools/generate.py           write them
python tools/generate.py --check   exit with 1 where one is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import house_picture
import model_stubs
import settings_page
import systems_file

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "src/palate/models/__init__.pyi": model_stubs.render,
    "src/palate/models/systems.json": systems_file.render,
    "docs/settings.md": settings_page.render,
    "docs/pictures/house.svg": house_picture.render,
}


def stale() -> list[str]:
    """Files whose contents differ from what the code says."""
    return [name for name, render in FILES.items() if not _same(ROOT / name, render())]


def main() -> int:
    """Write or check all files."""
    if "--check" in sys.argv:
        wrong = stale()
        for name in wrong:
            print(f"{name} is out of date: run make generate")
        return bool(wrong)
    for name, render in FILES.items():
        text = render()
        if not _same(ROOT / name, text):
            (ROOT / name).write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 0


def _same(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
