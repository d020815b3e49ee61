"""PNG: the user's vector in the decoder's state, attention and copying, against none; rewards against none."""

from _generator_points import (
    Point,
    cases,
    column,
    example,
    no_false_fact,
    overlap,
    right_fact,
    shop,
    texts,
    written,
)  # fmt: skip

SIZE = "dim=64;epochs=4;batch_size=48;click_epochs=2;beam=2;target_length=10;body_length=40;lr=0.006"


def judge(model, seed):
    """Interest coverage, facts and words of headlines."""
    world, made = shop(seed), [one.text or "" for one in written(model, seed, "headline")]
    pairs = list(zip(cases(seed), made))
    return {
        "interest": column([right_fact(world, case, world.cared(case), text) for case, text in pairs]),
        "facts": column([bool(text) and no_false_fact(world, case, text) for case, text in pairs]),
        "name": column([world.names[case.item].lower() in text.lower() for case, text in pairs]),
        **overlap(made, [world.texts(case)["headline"] or "" for case, _ in pairs]),
    }


POINTS = [
    Point(
        system="png",
        name="injection",
        claim="Headlines name the fact of the item that the reader cares for, and stay true",
        data=texts,
        arms={
            "whole": f"png:{SIZE};reward_epochs=1",
            "no injection": f"png:{SIZE};reward_epochs=1;inject=[]",
        },
        judge=judge,
        metrics=("interest", "facts", "name", "ROUGE-L"),
        example=example("headline", "headline"),
    ),
    Point(
        system="png",
        name="rewards",
        claim="An epoch of self-critical training after likelihood makes headlines more personal",
        data=texts,
        arms={"whole": f"png:{SIZE};reward_epochs=1", "no rewards": f"png:{SIZE};reward_epochs=0"},
        judge=judge,
        metrics=("interest", "facts", "ROUGE-L"),
        example=example("headline", "headline"),
    ),
]
