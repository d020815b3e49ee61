"""Build the wheel, install it into a fresh environment outside the checkout, and use it there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
USE = """
import palate, pathlib, tempfile
assert "site-packages" in palate.__file__, palate.__file__
assert (pathlib.Path(palate.__file__).parent / "py.typed").is_file()
import polars as pl
names = [f"i{n}" for n in range(30)]
items = pl.DataFrame({"item_id": names, "title": [f"thing {n % 5} of kind {n % 3}" for n in range(30)]})
log = pl.DataFrame({"user_id": [f"u{n % 20}" for n in range(300)], "item_id": [names[n * 7 % 30] for n in range(300)]})
data = palate.Dataset.from_frames(items, log)
model = palate.models.EASE(l2=10.0).fit(data)
before = model.recommend(users=["u1"], k=3, filter_seen=False)
with tempfile.TemporaryDirectory() as folder:
    model.save(folder + "/run")
    assert palate.restore(folder + "/run").recommend(users=["u1"], k=3, filter_seen=False).equals(before)
from palate.serving.page.render import environment, static_files
assert {"page.css", "page.js", "icon.svg"} <= set(static_files()) and "home.html" in environment().list_templates()
print("the wheel works outside the checkout")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)], check=True)
        wheel = next(folder.glob("*.whl"))
        venv.create(folder / "env", with_pip=True, system_site_packages=False)
        python = folder / "env" / "bin" / "python"
        shared = next(Path(p) for p in sys.path if p.endswith("site-packages"))
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", str(wheel)], check=True)
        target = next((folder / "env" / "lib").glob("python*/site-packages"))
        (target / "dependencies.pth").write_text(f"{shared}\n")
        for leftover in target.glob("__editable__*"):
            shutil.rmtree(leftover, ignore_errors=True)
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run([python, "-c", USE], check=True, cwd=folder, env=env)
        subprocess.run(
            [folder / "env" / "bin" / "palate", "--help"], check=True, cwd=folder, env=env, stdout=subprocess.DEVNULL
        )


if __name__ == "__main__":
    main()
