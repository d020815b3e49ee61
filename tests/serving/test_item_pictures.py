"""Of several pictures of an item the one is shown whose vector is closest to those of pictures that the user took."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

from palate.models.generate.creative import Creative
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.item_pictures import further_pictures, picture_options
from palate.serving.offline import OfflineRun


def draw(file, kind):
    """Stripes or discs of the same colours, so that colours do not tell them apart."""
    image = Image.new("RGB", (96, 96), (120, 120, 120))
    pen = ImageDraw.Draw(image)
    for at in range(0, 96, 24):
        if kind == "stripes":
            pen.rectangle((0, at, 96, at + 11), (30, 60, 200))
        else:
            for x in range(0, 96, 24):
                pen.ellipse((x, at, x + 19, at + 19), (30, 60, 200))
    image.save(file)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    import palate
    from palate.evaluation.runs import run_fit
    from palate.features.plan import plan_content

    folder = tmp_path_factory.mktemp("pictures")
    kinds = ["stripes", "discs"] * 6
    for row, kind in enumerate(kinds):
        draw(folder / f"{row}.png", kind)
    draw(folder / "both-a.png", "stripes")
    draw(folder / "both-b.png", "discs")
    images = [f"{row}.png" for row in range(12)] + ["both-a.png"]
    pl.DataFrame(
        {"item_id": [f"i{row}" for row in range(13)], "title": [f"cloth {row}" for row in range(13)], "image": images,
         "image_back": [None] * 12 + ["both-b.png"]}
    ).write_csv(folder / "items.csv")  # fmt: skip
    rng = np.random.default_rng(0)
    log = [(f"u{user}", f"i{row}") for user in range(20) for row in rng.permutation(np.arange(user % 2, 12, 2))[:4]]
    log += [("u0", "i12"), ("u1", "i12")]
    pl.DataFrame(log, schema=["user_id", "item_id"], orient="row").write_csv(folder / "interactions.csv")
    data = palate.load(folder)
    content = plan_content(data, {"text": "hash", "image": "pixels?side=16"}, str(folder / "store"))
    run_fit(data, "content_knn", folder / "run", content=content, baselines=False)
    return OfflineRun(folder / "run")


def test_the_vectors_of_the_run_choose(run):
    snapshot = run.snapshot
    row = run.row("i12")
    assert len(further_pictures(snapshot, row)) == 1 and further_pictures(snapshot, run.row("i0")) == []
    shown = {}
    for user in ("u2", "u3"):
        options = picture_options(snapshot, row, run.user(user).history)
        assert len(options["picture_vectors"]) == 2 and len(options["pictures"]) == 1
        asked = content_request(
            run.resolved, "product_picture", row, run.user(user), user, ContentOptions(size=(160, 160))
        )
        made = Creative().generate([asked])[0]
        shown[user] = np.asarray(Image.open(io.BytesIO(made.image)).convert("L"), float)
    across = {user: image.mean(0).std() for user, image in shown.items()}
    assert across["u3"] > 3 * across["u2"], "stripes for who took stripes, discs for who took discs"


def test_without_a_history_or_vectors_the_pictures_come_alone(run):
    row = run.row("i12")
    assert set(picture_options(run.snapshot, row, np.zeros(0, np.int64))) == {"pictures"}
    assert picture_options(run.snapshot, run.row("i0"), run.user("u2").history) == {}
