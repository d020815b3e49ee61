"""PNG: the user's vector in the decoder's state, attention and copying, against none; rewards against none."""

from _generator_points import Point, example, judge_of, tells_interest, tells_name, tells_no_lie, texts

SIZE = "dim=64;epochs=4;batch_size=48;click_epochs=2;beam=2;target_length=10;body_length=40;lr=0.006"
judge = judge_of("headline", "headline", {"interest": tells_interest, "facts": tells_no_lie, "name": tells_name})
"""Interest coverage, facts and words of headlines."""


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
