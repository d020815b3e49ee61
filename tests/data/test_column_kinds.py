"""What item columns are taken for: by share of values and by name, never by one value."""

import datetime as dt
import warnings

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.check import check
from palate.data.column_kinds import guess_column
from palate.data.column_names import find_role, is_code_name, media_kind_of_name, name_words
from palate.data.dataset import Dataset
from palate.data.load import load

LOG = {"user_id": ["u0", "u0", "u1"], "item_id": ["i0", "i1", "i0"]}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def kind(values, name="c"):
    return guess_column(pl.Series(name, values)).kind


def shop(table, log=None, **options):
    items = {"item_id": [f"i{row}" for row in range(len(next(iter(table.values()))))], **table}
    return Dataset.from_frames(pl.DataFrame(items, strict=False), pl.DataFrame(log or LOG), **options)


def codes(data):
    return {(issue.code, issue.column) for issue in data.issues}


def test_names_are_compared_without_case_and_punctuation():
    assert name_words("productImage_2URL") == ["product", "image", "2", "url"]
    for name in ("productId", "ProductID", "product-id", "PRODUCT_ID", "product id", "product_id:token"):
        assert find_role("item", [name]) == [name]
    assert is_code_name("brandId") and is_code_name("zip_code") and not is_code_name("video")
    assert media_kind_of_name("coverImage") == "image" and media_kind_of_name("image_id") is None


@pytest.mark.parametrize("titles", [
    ["赤いウールのマフラー", "青い鋼の包丁", "緑の庭のバラ"],
    ["红色羊毛围巾", "蓝色厨房刀具", "绿色花园玫瑰"],
    ["ผ้าพันคอขนสัตว์สีแดง", "มีดทำครัวสีฟ้า", "กุหลาบสวนสีเขียว"],
    ["Inception", "Alien", "Heat"],
])  # fmt: skip
def test_titles_without_spaces_are_text(titles):
    assert kind(titles, "title") == "text" and kind(titles, "plotSummary") == "text"


def test_distinct_words_without_a_telling_name_are_text_and_repeated_ones_are_not():
    words = [
        f"{a}{b}"
        for a in ("Stone", "River", "Cloud", "Ember", "Frost")
        for b in ("fall", "song", "gate", "wing", "light")
    ]
    assert kind(words, "c") == "text" and kind(["red", "blue"] * 20, "c") == "attributes"
    assert kind([f"赤い鋼の{chr(0x4E00 + row)}包丁" for row in range(30)], "c") == "text"
    assert kind([f"A{row:04d}X" for row in range(40)], "c") == "attributes"


def test_values_between_separators_are_attributes():
    genres = ["Drama, War", "War, Comedy", "Drama, Comedy, War", "Comedy, Drama", "Crime, War", "Crime, Drama"] * 5
    assert (
        kind(genres, "c") == "attributes"
        and kind([f"Ann B, Cy D {row}" for row in range(30)], "author") == "attributes"
    )


def test_one_file_name_does_not_make_titles_pictures():
    assert kind(["Lamp DSC_001.jpg", "the brown chair", "a small table"], "title") == "text"
    assert kind(["how to convert .avi to .mp4", "plain text here", "more text here"], "c") == "text"
    assert kind(["a.jpg", "red", "red", "blue"], "c") == "attributes"


PATHS = st.integers(0, 10**6).map(lambda number: f"pics/{number}.png")
ODD = st.sampled_from(["https://x.example/a.jpg", "s3://b/a.jpg", "pics/a", "x.heic", "y.avif", "see below", None, ""])


@settings(deadline=None, max_examples=60)
@given(st.lists(PATHS, min_size=12, max_size=30), ODD, st.integers(0, 11), st.sampled_from(["c", "image", "photo"]))
def test_one_odd_value_never_changes_a_media_column(paths, odd, at, name):
    assert kind([*paths[:at], odd, *paths[at:]], name) == "image"


def test_a_name_and_a_fair_share_make_media():
    assert kind(["a.jpg", "b.jpg", "", "sold out", "on request"], "coverImage") == "image"
    assert kind(["hardcover", "paperback", "hardcover"], "cover") == "attributes"
    assert kind(["my file 1.mp3", "my file 2.mp3"], "sound") == "audio"


def test_odd_media_are_absent_and_counted_by_row():
    pictures = ["pics/0.png", "https://x.example/b.jpg", "pics/2.heic", "a.png|b.png", None]
    data = shop({"image": pictures})
    assert data.items.kinds == {"image": "image"}
    assert data.items.frame["image"].to_list() == ["pics/0.png", None, "pics/2.heic", "a.png", None]
    rows = {issue.code: issue.rows for issue in data.issues if issue.column == "image"}
    assert rows == {"media_url": (2,), "media_format": (3,), "media_several": (4,)}
    assert any("addresses (1 of 4)" in note for note in data.notes)


@pytest.mark.parametrize("values, code", [
    (["https://x/a.jpg", "http://x/b.jpg"], "media_url"),
    (["s3://x/a.jpg", "file:///b.jpg"], "media_url"),
    (["pics/0.heic", "pics/1.avif"], "media_format"),
    (["pics/0.tif", "pics/1.TIFF"], "media_format"),
])  # fmt: skip
def test_media_that_cannot_be_read_at_all_are_not_used_and_named(values, code):
    data = shop({"photo": values})
    assert not data.items.kinds and {(code, "photo"), ("column_unused", "photo")} <= codes(data)
    assert {code, "column_unused"} <= {issue.code for issue in check(data).issues}


def test_a_list_of_pictures_uses_the_first():
    data = shop({"images": [["a.png", "b.png"], ["c.png"], []]})
    assert data.items.kinds == {"images": "image"} and data.items.frame["images"].to_list() == ["a.png", "c.png", None]
    assert ("media_several", "images") in codes(data)
    texts = shop({"images": ["['a.png', 'b.png']", "['c.png']", "[]"]})
    assert texts.items.kinds in ({"images": "image"}, {"images": "attributes"})


def test_codes_are_categories_and_print_in_full():
    numbers = [1234567, 1234568, 7654321]
    data = shop({"brand_id": numbers, "colourNo": [1.0, 2.0, None], "category": [11, 12, 11], "price": [1, 2, 3]})
    assert data.items.frame["brand_id"].to_list() == ["1234567", "1234568", "7654321"]
    assert data.items.frame["colourNo"].to_list() == ["1", "2", None]
    assert data.items.frame["category"].dtype == pl.String and data.items.frame["price"].dtype == pl.Int64
    assert ("codes", "brand_id") in codes(data)
    assert shop({"brand_id": numbers}, columns={"brand_id": "number"}).items.frame["brand_id"].dtype == pl.Int64


def test_row_numbers_dates_and_empty_columns_are_not_used_and_said():
    columns = {
        "unnamed_1": [0, 1, 2],
        "released": [dt.date(2020, 1, 1)] * 3,
        "made": ["2020-01-31"] * 3,
        "gone": [None] * 3,
    }
    data = shop(columns)
    assert not data.items.kinds and {("column_unused", column) for column in columns} == codes(data)
    assert kind([5, 9, 7], "unnamed_1") == "attributes"


def test_structs_are_one_attribute_a_field():
    data = shop({"meta": [{"brand": "X", "size": {"w": 1}}, {"brand": "Y", "size": None}]})
    assert data.items.kinds == {"meta.brand": "attributes", "meta.size.w": "attributes"}
    assert data.items.raw("attributes") == [{"meta.brand": "X", "meta.size.w": 1}, {"meta.brand": "Y"}]


def test_texts_of_lists_are_lists():
    data = shop({"categories": ["['Home', 'Lamp']", '["Lamp", "Home"]', "['Lamp']"]})
    assert data.items.frame["categories"].to_list() == [["Home", "Lamp"], ["Lamp", "Home"], ["Lamp"]]
    films = shop({"genres": ["[{'id': 18, 'name': 'Drama'}]", "[{'id': 35, 'name': 'Comedy'}]", "[]"]})
    assert films.items.frame["genres"].to_list() == [["Drama"], ["Comedy"], []]


def test_html_goes_from_texts():
    marked = "<p>A <b>black</b> lamp &amp; more<script>track('1')</script></p>"
    data = shop({"title": [marked, "5 < 6 and 7 > 3", "List<int>", "&lt;p&gt;twice&lt;/p&gt;"]})
    assert data.items.raw("text") == ["A black lamp & more", "5 < 6 and 7 > 3", "List<int>", "twice"]
    assert {issue.code: issue.rows for issue in data.issues}["html_removed"] == (1, 4)


def test_guesses_are_taken_back(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,photo\ni0,a red lamp,a.png\ni1,a blue chair,b.png\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id,part\nu,i0,0\nv,i1,1\nw,i1,2\n")
    assert load(tmp_path).spec.kind == "given" and load(tmp_path).items.kinds == {"title": "text", "photo": "image"}
    (tmp_path / "palate.yaml").write_text("items: {image: null}\ninteractions: {part: null}\n")
    data = load(tmp_path)
    assert data.spec.kind == "random" and data.items.kinds == {"title": "text"}
    assert {("column_unused", "photo"), ("column_unused", "part")} <= codes(data)


@pytest.mark.parametrize("values, given_part", [
    (["train", "test", "valid"], True),
    ([0, 1, 0], False),
    (["a", "b", "a"], False),
    (["door", "wheel", "door"], False),
])  # fmt: skip
@pytest.mark.parametrize("name", ["split", "part"])
def test_a_column_called_split_is_one_only_by_its_values(values, given_part, name):
    data = shop({"title": ["a b", "b c"]}, {**LOG, name: values})
    assert data.interactions.has("part") == given_part
    assert given_part or ("column_unused", name) in codes(data)


def test_the_id_is_the_column_whose_values_the_log_has():
    items = pl.DataFrame({"id": [1, 2, 3, 4], "product_code": ["A1", "B2", "C3", "D4"], "title": ["a b"] * 4})
    log = pl.DataFrame({"user": ["u", "u", "v"], "product_id": ["B2", "C3", "D4"]})
    data = Dataset.from_frames(items, log)
    assert data.items.ids.ids.to_list() == ["A1", "B2", "C3", "D4"] and len(data.interactions) == 3
    both = Dataset.from_frames(
        pl.DataFrame({"bid": [7, 8], "n": [1, 2]}), pl.DataFrame({"member_id": [1, 2], "bid": [8, 7]})
    )
    assert both.items.ids.ids.to_list() == [7, 8]
    other = Dataset.from_frames(
        pl.DataFrame({"gizmo": ["a", "b"]}), pl.DataFrame({"user": [1, 2], "gizmo": ["a", "b"]})
    )
    assert other.items.ids.ids.to_list() == ["a", "b"]


@pytest.mark.parametrize("user", ["customer", "visitorid", "memberId", "AccountID", "session_id", "reviewerID"])
@pytest.mark.parametrize("item", ["productId", "ISBN", "book_id", "article_id", "trackId", "news_id", "SKU", "asin"])
def test_common_names_of_users_and_items(user, item):
    log = pl.DataFrame(
        {user: ["u", "v"], item: ["a", "b"], "when": ["2020-01-01", "2020-01-02"], "book_rating": [1, 5]}
    )
    data = Dataset.from_frames(pl.DataFrame({item: ["a", "b"]}), log)
    assert data.interactions.has("time") and data.interactions.has("rating")


@pytest.mark.parametrize("name", ["when", "created_at", "event_time", "purchasedAt", "order_date", "day"])
def test_common_names_of_times(name):
    data = shop({"title": ["a b", "b c"]}, {**LOG, name: ["2020-01-01", "2020-01-02", "2020-01-03"]})
    assert data.interactions.array("time")[0] == 1577836800


def test_a_time_that_is_not_used_is_named():
    data = shop({"title": ["a b", "b c"]}, {**LOG, "bought": ["2020-01-01", "2020-01-02", "2020-01-03"]})
    assert ("time_unused", "bought") in codes(data) and any("bought" in note for note in data.notes)


def test_a_struct_of_bytes_is_a_picture():
    data = shop({"picture": [{"bytes": b"x", "path": "a.png"}, {"bytes": None, "path": None}]})
    assert data.items.kinds == {"picture": "image"} and data.items.present("image").tolist() == [True, False]


def test_new_items_are_read_as_the_catalogue_was():
    data = shop({"price": ["€ 1.940,34", "12,99"], "title": ["<b>x</b> y", "z w"], "image": ["a.png", "b.png"]})
    new = pl.DataFrame(
        {"item_id": ["n"], "price": ["1.299 €"], "title": ["<i>new</i> one"], "image": ["https://x/y.png"]}
    )
    rows = data.items.cast_rows(new)
    assert rows.row(0) == ("n", 1299.0, "new one", None)
    with pytest.raises(DataError, match="on request"):
        data.items.cast_rows(pl.DataFrame({"item_id": ["n"], "price": ["on request"]}))


def test_of_new_prices_the_one_that_is_none_is_named():
    items = pl.DataFrame({"id": ["a", "b"], "price": ["$1.50", "$2.00"]})
    log = pl.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})
    catalog = Dataset.from_frames(items, log).items
    assert catalog.append(pl.DataFrame({"id": ["c"], "price": ["$1,299.00"]}), "id").frame["price"][2] == 1299.0
    with pytest.raises(DataError) as caught:
        catalog.append(pl.DataFrame({"id": ["c", "d", "e"], "price": ["$1,299.00", None, "abc"]}), "id")
    assert caught.value.row == 3 and caught.value.column == "price" and "abc" in caught.value.message
