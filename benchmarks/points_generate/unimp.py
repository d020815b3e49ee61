"""UniMP: pictures of items by cross-attention against none; focal loss against likelihood."""

from _generator_points import (
    Point,
    at,
    colour_of,
    column,
    example,
    judge_of,
    matched,
    matching,
    no_example,
    preferred,
    request,
    shop,
    suited,
    texts,
    undecided,
)  # fmt: skip

SIZE = (
    "target=pairing;tasks=[explanation,selection];dim=64;layers=2;dropout=0;epochs=4;batch_size=48;beam=2;"
    "target_length=14;body_length=1;attributes_length=1;title_length=8;history=3;lr=0.004"
)


def own_colour(world, case, text):
    """Whether a text tells the colour of the thing."""
    return f"the {colour_of(world, case.item)}" in text.lower()


def colour_of_the_last(world, case, text):
    """Whether a text tells the colour of the newest thing that was taken."""
    return f"your {colour_of(world, case.history[-1])}" in text.lower()


def both_colours(world, case, text):
    """Whether a text tells both."""
    return own_colour(world, case, text) and colour_of_the_last(world, case, text)


colours = judge_of(
    "explanation",
    "pairing",
    {"both colours": both_colours, "own colour": own_colour, "colour of the last": colour_of_the_last},
)


def judge(model, seed):
    """Colours of the item and of the newest one taken, and which of two things a person takes."""
    chosen = column([prefers(model, seed, case, *pair) for case, pair in suited(seed)])
    return colours(model, seed) | {"preferred": chosen}


def prefers(model, seed, case, right, wrong):
    """Whether the model chooses what suits a person, in both orders of the two things."""
    world = shop(seed)
    asked, rows = request(world, at(case, right), "explanation"), [world.row(right), world.row(wrong)]
    return (float(model.choose(asked, rows)[0]) + float(model.choose(asked, rows[::-1])[1])) / 2 > 0.5


RATING = (
    "tasks=[rating];gamma=0;visual_tokens=0;dim=32;layers=2;dropout=0;epochs=12;batch_size=48;history=3;"
    "title_length=1;body_length=1;attributes_length=1;lr=0.004"
)


def rating(model, seed):
    """Whether "yes" is more probable for the right one of two new things."""
    yes, no = (model.vocabulary.mark(word) for word in ("[YES]", "[NO]"))
    both = []
    for asked in zip(*matched(seed)):
        words = model.first_words(model.encode(asked)[0], "rating")
        both.append((words[:, yes] - words[:, no]).cpu().numpy())
    return {"preferred": preferred(*both)}


POINTS = [
    Point(
        system="unimp",
        name="pictures",
        claim="By attention to the pictures of items, texts tell the colours of two of them that nothing else tells",
        data=texts,
        arms={"whole": f"unimp:{SIZE}", "no pictures": f"unimp:{SIZE};visual_tokens=0"},
        judge=judge,
        metrics=("both colours", "own colour", "colour of the last", "ROUGE-L", "preferred"),
        example=example("explanation", "pairing"),
    ),
    Point(
        system="unimp",
        name="focal loss",
        claim="The focal loss learns what is hard, here both colours, better than plain likelihood",
        data=texts,
        arms={"whole": f"unimp:{SIZE}", "likelihood": f"unimp:{SIZE};gamma=0"},
        judge=judge,
        metrics=("both colours", "ROUGE-L", "preferred"),
        example=example("explanation", "pairing"),
    ),
    Point(
        system="unimp",
        name="rating",
        claim="The words of an unseen item and of the history tell which item a new user takes",
        data=matching,
        arms={"whole": f"unimp:{RATING}", "by chance": ""},
        judge=rating,
        chance=undecided("preferred"),
        metrics=("preferred",),
        example=no_example,
    ),
]
