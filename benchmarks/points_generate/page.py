"""PAGE: all of its four components switched off, and each."""

from _generator_points import Point, example, judge_of, right_fact, tells_interest, tells_no_lie, texts

ALL = ("question", "history", "preference", "summarizer")
SIZE = "target=answer;dim=64;epochs=4;batch_size=48;beam=2;target_length=22;body_length=40;history=6;snippet=1;lr=0.006"


def names_sibling(world, case, text):
    """Whether a text names the person's own thing of the same kind; or none, where there is none."""
    found, after = world.sibling(case), text.lower().partition("like your ")[2]
    return not after if found is None else after.startswith(world.names[found].lower())


def tells_persona(world, case, text):
    """Mean of the fact that the person cares for and the own thing."""
    return (tells_interest(world, case, text) + names_sibling(world, case, text)) / 2


judge = judge_of(
    "answer",
    "answer",
    {
        "asked": lambda world, case, text: right_fact(world, case, case.asked, text),
        "interest": tells_interest,
        "own item": names_sibling,
        "persona": tells_persona,
        "facts": tells_no_lie,
    },
)
"""Overlap with the right answer, what was asked, and the person in it."""


def without(*gone):
    """Settings without some components."""
    return f"page:{SIZE};components=[{','.join(one for one in ALL if one not in gone)}]"


CLAIMS = {
    "all four": (
        ALL,
        "With its four components answers are nearer to the right ones than by the pointer-generator alone",
        "ROUGE-L",
    ),
    "question": (("question",), "Reading snippets in the light of the question, answers tell what was asked", "asked"),
    "history": (
        ("history",),
        "Copying from the history, answers name the asker's own thing of the same kind",
        "own item",
    ),
    "preference": (
        ("preference",),
        "By the asker's preferences, answers tell the fact that the asker cares for",
        "interest",
    ),
    "summarizer": (
        ("summarizer",),
        "The gate over perspectives makes answers nearer to the right ones than their mean",
        "ROUGE-L",
    ),
}
"""Name of a point -> what is left out, the claim, and its metric."""
MEASURED = ("ROUGE-L", "BLEU", "persona", "asked", "interest", "own item", "facts")
POINTS = [
    Point(
        system="page",
        name=name,
        claim=claim,
        data=texts,
        arms={"whole": without(), "none of the four" if gone == ALL else f"no {name}": without(*gone)},
        judge=judge,
        metrics=(metric, *(one for one in MEASURED if one != metric)),
        example=example("answer", "answer"),
    )
    for name, (gone, claim, metric) in CLAIMS.items()
]
