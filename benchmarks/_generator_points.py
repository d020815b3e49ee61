"""What a generator claims, the ablation that lacks only that, the data it is shown on, and who judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.contracts import Generated, GenerationRequest
from palate.core.content import Features
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.generation.scoring.overlap import bleu, rouge
from palate.models.generate.shared.text_generator import TextGenerator
from palate.simulation.personal_texts import COLOURS, DAY, START, Case, PersonalTexts, stated

CASES = 58
"""People that are written to in each world."""
Values = Mapping[str, NDArray[np.float64]]
Told = Callable[[PersonalTexts, Case, str], bool | float]
"""(world, case, text) -> what the text tells of the case."""


@dataclass(frozen=True)
class Point:
    """A claim, registered before it is measured.

    Attributes:
        system: registered name. name: of the point among those of the system. claim: one sentence.
        data: seed -> what is fitted on. arms: name -> ``name:key=value;...``, the whole first; arms whose text is empty
            are not fitted but judged by chance.
        judge: (fitted model, seed) -> metric -> one value for each person or thing, the higher the better.
        margin: what the whole may lose, where the claim is that it is no worse.
        chance: seed -> the same for an arm that is not fitted, which says what is known without any learning.
        metrics: those that are reported; the claim is about the first.
        example: (fitted model, seed) -> what was asked and what was written.
        real: whether the data are.
    """

    system: str
    name: str
    claim: str
    data: Callable[[int], Dataset]
    arms: Mapping[str, str]
    judge: Callable[[Any, int], Values]
    metrics: tuple[str, ...]
    example: Callable[[Any, int], dict[str, Any]]
    chance: Callable[[int], Values] | None = None
    real: bool = False
    margin: float = 0.0

    @property
    def criterion(self) -> str:
        """When the claim counts as shown."""
        return (
            f"{self.metrics[0]} of the whole minus that of each ablation: the 95 % interval, paired over seeds and "
            f"cases, above {-self.margin or 0:g}"
        )


@cache
def shop(seed: int, n_items: int = 400) -> PersonalTexts:
    """The simulated shop whose personal texts are known."""
    return PersonalTexts(seed, n_items=n_items, n_users=290, events=7)


def texts(seed: int) -> Dataset:
    """The shop as a dataset."""
    return shop(seed).dataset()


def wide_shop(seed: int) -> PersonalTexts:
    """A shop of so many things that few are taken twice: what a picture shows cannot be learnt by heart."""
    return shop(seed, 2000)


def wide(seed: int) -> Dataset:
    """The wide shop as a dataset."""
    return wide_shop(seed).dataset()


def cases(seed: int, world: PersonalTexts | None = None) -> list[Case]:
    """New people, each with a thing that nobody took."""
    return (world or shop(seed)).cases(CASES)


def request(world: PersonalTexts, case: Case, kind: str) -> GenerationRequest:
    """What is asked for in a case."""
    history = [world.row(one) for one in case.history]
    question = world.texts(case)["question"] if kind == "answer" else None
    return GenerationRequest(kind, world.row(case.item), history, question, user=f"u{case.user}")  # type: ignore[arg-type]


def written(model: TextGenerator, seed: int, kind: str, world: PersonalTexts | None = None) -> list[Generated]:
    """What a model writes in all cases of a world."""
    world = world or shop(seed)
    return model.generate([request(world, case, kind) for case in cases(seed, world)])


def judge_of(
    kind: str, truth: str, told: Mapping[str, Told], world_of: Callable[[int], PersonalTexts] = shop
) -> Callable[[TextGenerator, int], dict[str, NDArray[np.float64]]]:
    """A judge of texts.

    Args:
        kind: that is written.
        truth: column of what would have been right.
        told: metric -> what a text of a case tells.
        world_of: seed -> the world.

    Returns:
        (fitted model, seed) -> those metrics, and the overlap with what would have been right.
    """

    def judge(model: TextGenerator, seed: int) -> dict[str, NDArray[np.float64]]:
        world = world_of(seed)
        made = [one.text or "" for one in written(model, seed, kind, world)]
        pairs = list(zip(cases(seed, world), made, strict=True))
        values = {name: column([tell(world, case, text) for case, text in pairs]) for name, tell in told.items()}
        return values | overlap(made, [world.texts(case)[truth] or "" for case, _ in pairs])

    return judge


def overlap(made: Sequence[str], right: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """ROUGE-L and BLEU of each text."""
    each = [bleu([one], [other]) / 100 if one else 0.0 for one, other in zip(made, right)]
    return {"ROUGE-L": rouge(made, right)["rougeL"], "BLEU": np.array(each)}


def right_fact(world: PersonalTexts, case: Case, fact: str, text: str) -> bool:
    """Whether a text states a fact of the thing, and rightly."""
    return world.facts[case.item][fact].lower() in stated(text).get(fact, [])


def tells_interest(world: PersonalTexts, case: Case, text: str) -> bool:
    """Whether a text states the fact that the person cares for, and rightly."""
    return right_fact(world, case, world.cared(case), text)


def tells_no_lie(world: PersonalTexts, case: Case, text: str) -> bool:
    """Whether there is a text, and all that it states is true of the thing."""
    own = world.facts[case.item]
    stating = stated(text).items()
    return bool(text) and all(value == own[fact].lower() for fact, values in stating for value in values)


def tells_name(world: PersonalTexts, case: Case, text: str) -> bool:
    """Whether a text names the thing."""
    return world.names[case.item].lower() in text.lower()


def tells_colour(world: PersonalTexts, case: Case, text: str) -> bool:
    """Whether a text has the colour that the picture shows."""
    return colour_of(world, case.item) in text.lower().split()


def colour_of(world: PersonalTexts, item: int) -> str:
    """The colour that the picture of a thing shows."""
    return COLOURS[world.colours[item]]


def at(case: Case, item: int) -> Case:
    """The same person with another thing."""
    return replace(case, item=int(item))


def suited(seed: int) -> list[tuple[Case, tuple[int, int]]]:
    """People with two things that nobody took: one that suits in colour and advertised fact, and one in neither.

    People for whom there is none are left out.
    """
    world, rng, found = shop(seed), rng_for(seed, "suited"), []
    new = np.arange(len(world.known), world.n_items)
    for case in cases(seed):
        colour, fact = world.colours[new] == world.likes[case.user], world.advertised[new] == world.cares[case.user]
        right, wrong = new[colour & fact], new[~colour & ~fact]
        if len(right):
            found.append((case, (int(rng.choice(right)), int(rng.choice(wrong)))))
    return found


def matching(seed: int) -> Dataset:
    """Things that one word and a picture describe, of which each person takes those of one word."""
    return _matching(seed)[0]


def matched(seed: int) -> list[tuple[GenerationRequest, GenerationRequest]]:
    """New people, each with a new thing of the own word and one of another."""
    return _matching(seed)[1]


@cache
def _matching(seed: int) -> tuple[Dataset, list[tuple[GenerationRequest, GenerationRequest]]]:
    rng, words, known, new, people = rng_for(seed, "matching"), ("wool", "glass", "steel", "cork"), 300, 80, 300
    about, taste = rng.integers(4, size=known + new), rng.integers(4, size=people + CASES)
    items = pl.DataFrame({"item": [f"i{at}" for at in range(known + new)], "title": [words[one] for one in about]})
    log = [
        (f"u{user}", f"i{item}", START + DAY * time)
        for user in range(people)
        for time, item in enumerate(rng.choice(np.flatnonzero(about[:known] == taste[user]), 5, replace=False))
    ]
    shown = np.eye(8)[about] + rng.normal(0, 0.05, (known + new, 8))
    pictures = Features(shown.astype(np.float32), np.ones(known + new, bool), identity=f"given:matching-{seed}")
    data = Dataset.from_frames(
        items,
        pl.DataFrame(log, ["user", "item", "time"], orient="row"),
        columns={"item": "id", "title": "text"},
        roles={"user": "user", "item": "item", "time": "time"},
        features={"image": pictures},
        split="random:test=0.05,valid=0.1",
        name="matching",
    )
    pairs = []
    for user in range(people, people + CASES):
        own = about == taste[user]
        past = [items.row(int(at), named=True) for at in rng.choice(np.flatnonzero(own[:known]), 4, replace=False)]
        both = [int(rng.choice(known + np.flatnonzero(own[known:] == right))) for right in (True, False)]
        right, wrong = (GenerationRequest("explanation", items.row(at, named=True), past) for at in both)
        pairs.append((right, wrong))
    return data, pairs


def undecided(metric: str) -> Callable[[int], Values]:
    """An arm that cannot tell two things apart."""
    return lambda seed: {metric: np.full(CASES, 0.5)}


def preferred(right: NDArray[Any], wrong: NDArray[Any]) -> NDArray[np.float64]:
    """Whether the score of the right thing is above that of the wrong one; one half for a tie."""
    return (right > wrong) + 0.5 * (right == wrong)


def no_example(model: Any, seed: int) -> dict[str, Any]:
    """For points without a text."""
    return {}


def column(rows: Sequence[bool | float]) -> NDArray[np.float64]:
    """Values of all cases."""
    return np.array(rows, np.float64)


def example(
    kind: str, truth: str, world_of: Callable[[int], PersonalTexts] = shop
) -> Callable[[TextGenerator, int], dict[str, Any]]:
    """The first case: what was asked, what was written, and what would have been right."""

    def show(model: TextGenerator, seed: int) -> dict[str, Any]:
        world = world_of(seed)
        case = cases(seed, world)[0]
        asked = request(world, case, kind)
        return {
            "item": dict(asked.item), "history": [row["title"] for row in asked.history], "question": asked.prompt,
            "made": model.generate([asked])[0].text, "right": world.texts(case)[truth],
        }  # fmt: skip

    return show
