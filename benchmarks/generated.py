"""What each generator makes: one real example of each, and the page of the documentation that shows them.

    python benchmarks/generated.py [--page]

Generators without a network are asked about one item of a simulated shop, for one of its users; those that are trained
show the first case of the first reported seed of ``results/generation_points.json``. ``--page``
writes the page again from the result files alone. Written: ``results/generated.json``, pictures in ``docs/pictures``,
and ``docs/generated.md``.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

import palate
from _common import RESULTS, ROOT, WORK, keep
from palate.contracts import GenerationRequest, generators
from palate.core.files import atomic_path, read_json, write_text
from palate.core.progress import set_mode
from palate.evaluation.runs import command_line
from palate.features.plan import plan_content
from palate.generation.flows.copywriter import STYLES
from palate.models.generate.gcof import GCOF
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.offline import OfflineRun
from palate.simulation.world import World
from palate.training.saving import versions

PICTURES = ROOT / "docs" / "pictures"
ALPHA = 0.05
KINDS = ("explanation", "headline", "description", "marketing_copy", "email_subject", "answer", "keywords")
HIDDEN = ("image", "audio", "first_seen")
"""Columns that the page leaves out."""
COMMENTS = (
    {"id": "c1", "text": "An antique bench that travels well, and seats three.", "author": "Ada"},
    {"id": "c2", "text": "Write to me at ada@example.org if you want a second one!", "author": "Ada"},
)
HEAD = """# What each generator makes

Written by `python benchmarks/generated.py`: every text and figure on this page comes from a run of a command and stands
in [generated.json](../benchmarks/results/generated.json) or in the linked result file.
`palate generate RUN --user U --item I --kind K --generator NAME` makes one; [serving](serving.md#api)
tells how a server does. Trained ones are fitted first ([how](generators.md)), and named by the folder of their run.
Figures stand beside the claim that they test, whether they bear it out or not; p is Holm's over what was compared.
"""


def shop() -> OfflineRun:
    """A run of a small simulated shop."""
    folder = WORK / "worlds" / "generated"
    world = World.make("shop", seed=7, n_items=150, n_users=150, image_size=128)
    if not world.is_written(folder):
        world.write(folder, overwrite=True)
    data = palate.load(folder)
    plan = plan_content(data, {"text": "tfidf", "image": "image_stats", "audio": "none"})
    model = palate.models.ContentKNN().fit(data, content=plan)
    return OfflineRun(model.save(WORK / "generated-run", overwrite=True))


def requests(run: OfflineRun) -> dict[str, GenerationRequest]:
    """Kind -> what is asked for: a user with a long history, and the item that has most of what this user likes."""
    known = sorted(run.snapshot.users, key=lambda one: (-len(run.user(one).history), one))
    user = known[0]
    state, taken = run.user(user), set(run.user(user).history.tolist())
    seen = run.snapshot.items.frame["image"].is_not_null()
    rows = [row for row in range(len(run.snapshot.ids)) if row not in taken and seen[row]]

    def liked(row: int) -> int:
        asked = content_request(run.resolved, "headline", row, state, user)
        values = {str(value) for value in asked.item.values()}
        return sum(one.value in values for one in asked.preferences[:8])

    best = max(rows, key=lambda row: (liked(row), -row))
    question = ContentOptions(prompt="What does it cost?")
    return {
        kind: content_request(run.resolved, kind, best, state, user, question if kind == "answer" else None)  # type: ignore[arg-type]
        for kind in (*KINDS, "banner", "cover", "sticker", "clarifying_question", "video")
    }


def texts(asked: Mapping[str, GenerationRequest]) -> dict[str, dict[str, str | None]]:
    """Generator -> what is written, by kind."""
    written: dict[str, dict[str, str | None]] = {}
    written["template"] = {kind: generators.get("template")().generate([asked[kind]])[0].text for kind in KINDS}
    copywriter = GCOF(budget=48)
    copy = with_options(asked["marketing_copy"], entitlements=("", "free delivery"), styles=tuple(STYLES))
    written["gcof"] = {"marketing_copy": copywriter.generate([copy], seed=1)[0].text}
    question = generators.get("clarifying_questions")()
    some = with_options(asked["clarifying_question"], results=[asked["headline"].item, *asked["headline"].history])
    written["clarifying_questions"] = {"clarifying_question": question.generate([some], seed=1)[0].text}
    reasons = with_options(asked["explanation"], comments=COMMENTS)
    written["song_reasons"] = {"explanation": generators.get("song_reasons")().generate([reasons], seed=1)[0].text}
    written["co_creation"] = {"headline": generators.get("co_creation")().generate([asked["headline"]])[0].text}
    return written


def with_options(request: GenerationRequest, **options: Any) -> GenerationRequest:
    """The same request with options of a system."""
    return replace(request, options={**request.options, **options})


def pictures(asked: Mapping[str, GenerationRequest]) -> dict[str, str]:
    """Kind -> file of what ``creative`` composes and ``clip`` films."""
    found = {}
    for kind, side in (("banner", 480), ("cover", 480), ("sticker", 160)):
        made = generators.get("creative")().generate([asked[kind]])[0]
        assert made.image is not None
        found[kind] = small(made.image, f"generated-{kind}", side)
    film = generators.get("clip")().generate([asked["video"]])[0]
    found["video"] = f"{len(film.video or b'') / 1024:.0f} KiB"
    return found


def small(picture: bytes, name: str, width: int) -> str:
    """Keep a picture for the page."""
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
    image.thumbnail((width, width))
    file = PICTURES / f"{name}.webp"
    with atomic_path(file) as aside:
        image.save(aside, "WEBP", quality=80)
    return file.name


def page(found: Mapping[str, Any], points: Mapping[str, Any]) -> str:
    """The page of the documentation."""
    item, told = found["item"], points["elsewhere"]
    lines = [HEAD, "## Without a network", ""]
    lines += ["The item: " + "; ".join(f"{key} *{value}*" for key, value in item.items()) + ".", ""]
    lines += [f"The user took {found['taken']} items and likes {', '.join(found['likes'])}.", ""]
    for system, about in PLAIN.items():
        lines += [f"### `{system}`", about, ""]
        lines += [f"- {kind.replace('_', ' ')}: {text}" for kind, text in found["texts"].get(system, {}).items()]
        if system == "creative":
            files = {kind: name for kind, name in found["pictures"].items() if kind != "video"}
            lines += [" ".join(f"![{kind} of the item](pictures/{name})" for kind, name in files.items())]
        if system == "clip":
            lines += [f"- video: {found['pictures']['video']} of the same item"]
        lines += ["", *measured(system, told), ""]
    lines += ["## Trained", ""]
    for system, about in TRAINED.items():
        lines += [f"### `{system}`", about, ""]
        for one in (row for row in points["rows"] if row["system"] == system):
            lines += [*example(one), ""]
    lines += ["## Pictures and language models", ""]
    for system, about in OTHERS.items():
        lines += [f"### `{system}`", about, ""]
        lines += [*measured(system, told), ""]
    return "\n".join(lines).rstrip() + "\n"


def measured(system: str, told: Sequence[Mapping[str, str]]) -> list[str]:
    """The figures of a system that other benchmarks measured, with their source."""
    lines = [
        f"Claim: {row['claim']}. Measured: {row['figures']} ([table](../benchmarks/results/{row['file']}.md))."
        for row in told if system in row["system"].split(", ") and row["figures"] != "not measured"
    ]  # fmt: skip
    return [part for line in lines or ["Not measured by itself."] for part in ("", line)][1:]


def example(one: Mapping[str, Any]) -> list[str]:
    """A claim with its figure, and the first case."""
    metric = one["metrics"][0]
    means = {arm: float(np.mean(found[metric])) for arm, found in one["arms"].items()}
    against = [
        f"{arm} {means[arm]:.3f} (difference {by[metric]['gain']:+.3f} "
        f"[{by[metric]['low']:+.3f}, {by[metric]['high']:+.3f}])"
        for arm, by in one["gains"].items()
    ]
    table = "[table](../benchmarks/results/generation_points.md)"
    lines = [f"{one['claim']}: {metric} {means['whole']:.3f}, {', '.join(against)}; {table}."]
    if one["contradicted"]:
        lines += ["The contrary is shown."]
    elif not one["shown"]:
        lines += ["The claim is not shown by its criterion."]
    elif one["p, Holm"] >= ALPHA:
        lines += [f"Shown by its own interval; after Holm's correction over all claims p is {one['p, Holm']:.2g}."]
    worse = [
        f"{name} ({found['gain']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}] against {arm})"
        for arm, by in one["gains"].items() for name, found in by.items() if name != metric and found["high"] < 0
    ]  # fmt: skip
    if worse:
        lines += [f"Lower: {', '.join(worse)}."]
    if not one["example"]:
        return lines
    shown, lines = one["example"], [*lines, ""]
    if shown.get("history"):
        lines += [f"- taken before: {'; '.join(shown['history'])}"]
    if "description" in shown["item"]:
        lines += [f"- the item: {shown['item']['title']}. {shown['item']['description']}"]
    if shown.get("question"):
        lines += [f"- asked: {shown['question']}"]
    if shown.get("candidates"):
        lines += [
            f"- pictures of {', '.join(shown['candidates'])} for the item {shown['item']['item']}: {shown['made']}"
        ]
        return lines
    return lines + [f"- {arm}: {text}" for arm, text in one["written"].items() if text]


PLAIN = {
    "template": "The default for texts: sentences from the item's own columns and what it shares with the history, "
    "in the languages of the template files. No model, milliseconds.",
    "creative": "The default for pictures: composed of the item's own picture, in the user's taste.",
    "clip": "The default for clips: pan, zoom and captions over the item's pictures.",
    "gcof": "Copies that a genetic search finds over true keywords, styles and offers.",
    "clarifying_questions": "The question whose answer divides the results best.",
    "song_reasons": "A sentence of listeners or of the description, framed for the user; what is private is left out.",
    "co_creation": "Headlines for a session with a person; alone, the first proposal.",
}
TRAINED = {
    "png": "Headlines by a pointer-generator that the reader's interests steer (Ao et al., TKDD 2023).",
    "page": "Answers that read the question, the item and what the asker took (Deng et al., TOIS 2022).",
    "unmhg": "A headline of text and pictures, and the picture that goes with it (Krubinski and Pecina, EACL 2024).",
    "vip5": "Prompts with visual tokens, and adapters (Geng et al., EMNLP 2023).",
    "unimp": "One model over items and their pictures for many tasks (Wei et al., ICLR 2024).",
}
OTHERS = {
    "prompted": "Any kind of text by a language model behind a backend ([language models](language_models.md)).",
    "lamp": "Tasks with the user's profile in the prompt (Salemi et al., ACL 2024; "
    "[language models](language_models.md)).",
    "latent_diffusion": "Pictures drawn by our own small latent diffusion ([drawing](drawing.md)).",
    "pmg": "Pictures of an item in the user's taste, by preference tokens ([drawing](drawing.md)).",
    "textual_inversion": "The same by one learnt word, the baseline ([drawing](drawing.md)).",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page alone, from the result files")
    args = parser.parse_args()
    set_mode("plain")
    if not args.page:
        asked = requests(shop())
        first = asked["headline"]
        result = {
            "item": {key: str(value) for key, value in first.item.items() if value is not None and key not in HIDDEN},
            "taken": len(first.history), "likes": [f"{one.column} {one.value}" for one in first.preferences[:4]],
            "texts": texts(asked), "pictures": pictures(asked), "versions": versions(), "command": command_line(),
        }  # fmt: skip
        keep("generated", result)
    found, points = (read_json(RESULTS / f"{name}.json") for name in ("generated", "generation_points"))
    write_text(ROOT / "docs" / "generated.md", page(found, points))


if __name__ == "__main__":
    main()
