"""VIP5: visual tokens against none; adapters against training everything."""

import numpy as np

from _generator_points import (
    Point,
    at,
    cases,
    colour_of,
    column,
    example,
    overlap,
    request,
    right_fact,
    shop,
    suited,
    texts,
    written,
)  # fmt: skip

SIZE = (
    "dim=64;layers=1;backbone_epochs=6;epochs=8;batch_size=48;beam=2;target_length=12;body_length=40;history=6;lr=0.004"
)


def judge(model, seed):
    """What explanations tell, and whether a person takes rather what has the liked colour."""
    world, made = shop(seed), [one.text or "" for one in written(model, seed, "explanation")]
    pairs = list(zip(cases(seed), made))
    return {
        "colour": column([colour_of(world, case.item) in text.lower().split() for case, text in pairs]),
        "fact": column([any(right_fact(world, case, f, text) for f in world.facts[case.item]) for case, text in pairs]),
        "preferred": preferred(model, seed),
        **overlap(made, [world.texts(case)["explanation"] or "" for case, _ in pairs]),
    }


def preferred(model, seed):
    """Whether "would take" is higher for what suits a person than for what does not."""
    world, pairs = shop(seed), suited(seed)
    both = [
        np.asarray(model.would_take([request(world, at(case, pair[place]), "explanation") for case, pair in pairs]))
        for place in (0, 1)
    ]
    return (both[0] > both[1]) + 0.5 * (both[0] == both[1])


POINTS = [
    Point(
        system="vip5",
        name="visual tokens",
        claim="Visual tokens bring what pictures alone show into explanations",
        data=texts,
        arms={
            "whole": f"vip5:target=explanation;{SIZE}",
            "no visual tokens": f"vip5:target=explanation;{SIZE};visual_tokens=0",
        },
        judge=judge,
        metrics=("colour", "fact", "preferred", "ROUGE-L"),
        example=example("explanation", "explanation"),
    ),
    Point(
        system="vip5",
        name="adapters",
        claim="Adapters, norms and the visual map alone lose at most 0.05 against training everything",
        data=texts,
        arms={
            "whole": f"vip5:target=explanation;{SIZE}",
            "everything trained": f"vip5:target=explanation;{SIZE};frozen=false",
        },
        judge=judge,
        metrics=("ROUGE-L", "colour", "fact", "preferred"),
        example=example("explanation", "explanation"),
        margin=0.05,
    ),
]
