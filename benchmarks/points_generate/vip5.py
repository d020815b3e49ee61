"""VIP5: visual tokens against none; adapters against training everything."""

from _generator_points import (
    Point,
    example,
    judge_of,
    matched,
    matching,
    no_example,
    preferred,
    right_fact,
    tells_colour,
    texts,
    undecided,
)  # fmt: skip

SIZE = (
    "target=explanation;families=[explanation];dim=64;layers=1;dropout=0;backbone_epochs=3;epochs=10;batch_size=48;"
    "beam=2;target_length=12;body_length=40;history=1;lr=0.005"
)


def tells_fact(world, case, text):
    """Whether a text states any fact of the thing, and rightly."""
    return any(right_fact(world, case, fact, text) for fact in world.facts[case.item])


judge = judge_of("explanation", "explanation", {"colour": tells_colour, "fact": tells_fact})
"""What explanations tell."""
DIRECT = (
    "families=[direct];dim=32;layers=2;dropout=0;backbone_epochs=4;epochs=10;batch_size=48;history=3;title_length=1;"
    "body_length=1;attributes_length=1;lr=0.004"
)


def direct(model, seed):
    """Whether "would take" is higher for the right one of two new things."""
    right, wrong = zip(*matched(seed))
    return {"preferred": preferred(model.would_take(right), model.would_take(wrong))}


POINTS = [
    Point(
        system="vip5",
        name="visual tokens",
        claim="Visual tokens bring what pictures alone show into explanations",
        data=texts,
        arms={
            "whole": f"vip5:{SIZE}",
            "no visual tokens": f"vip5:{SIZE};visual_tokens=0",
        },
        judge=judge,
        metrics=("colour", "fact", "ROUGE-L"),
        example=example("explanation", "explanation"),
    ),
    Point(
        system="vip5",
        name="adapters",
        claim="Adapters, norms and the visual map alone lose at most 0.05 against training everything",
        data=texts,
        arms={
            "whole": f"vip5:{SIZE}",
            "everything trained": f"vip5:{SIZE};frozen=false",
        },
        judge=judge,
        metrics=("ROUGE-L", "colour", "fact"),
        example=example("explanation", "explanation"),
        margin=0.05,
    ),
    Point(
        system="vip5",
        name="direct",
        claim="The pictures of an unseen item and of the history tell which item a new user takes",
        data=matching,
        arms={"whole": f"vip5:{DIRECT}", "by chance": ""},
        judge=direct,
        chance=undecided("preferred"),
        metrics=("preferred",),
        example=no_example,
    ),
]
