"""Readers of public data sets: what each table becomes, value by value, and folders that are none of them."""

import json
import warnings

import pytest
from layout_fixtures import LAYOUTS, N_ITEMS, walk

from palate.core.errors import DataError
from palate.data.check import check
from palate.data.load import load, recognise

PUBLIC = (
    "movielens", "movielens_csv", "movielens_100k", "lightgcn", "lastfm", "lastfm_360k", "book_crossing", "hm",
    "retailrocket", "steam",
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def read(name, root, **options):
    return load(LAYOUTS[name](root), **options)


def codes(data):
    return {issue.code for issue in data.issues}


def item(data, key):
    return data.items.frame.row(int(data.items.ids.rows([key])[0]), named=True)


def pairs(data):
    frame = data.interactions.frame
    return list(
        zip(data.users.ids.external(frame["user"].to_numpy()), data.items.ids.external(frame["item"].to_numpy()))
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_every_event_of_the_file_is_there(name, tmp_path):
    data = read(name, tmp_path)
    extra = {"movielens": 1, "book_crossing": 1, "lightgcn": None}.get(name, 0)
    lines = walk() if extra is not None else [row for row in walk() if row]
    assert extra is None or len(data.interactions) == len(lines) + extra
    assert not codes(data) & {"unknown_id", "id_missing", "time_missing"} and check(data).ok


def test_movielens(tmp_path):
    data = read("movielens", tmp_path)
    assert item(data, 1) == {"movie_id": 1, "title": 'The "Café": no. 0 (1960)', "genres": ["Animation", "Children's"]}
    assert item(data, 3)["genres"] is None and item(data, 952)["title"] is None
    assert "item_without_row" in codes(data) and "low_ratings" in codes(data)
    assert data.users.frame.row(1) == (2, "M", 26, "1", "01001")
    first, u, t = walk()[0][1], walk()[0][0], walk()[0][2]
    row = data.interactions.frame.row(0, named=True)
    assert pairs(data)[0] == (u + 1, first + 1) and row["time"] == t and row["rating"] == 1 + (u + first) % 5
    assert str(data.spec) == "leave_one_out" and len(data.positives) == len(pairs(data))
    assert len(read("movielens", tmp_path, positive={"rating": ">=4"}).positives) < len(data.positives)


def test_movielens_10m_has_no_users_and_half_stars(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::122::5::838985046\n1::185::4.5::838983525\n2::122::0.5::838983421\n")
    (tmp_path / "movies.dat").write_text("122::Boomerang (1992)::Comedy|Romance\n185::Café: the net::Action\n")
    data = load(tmp_path)
    assert data.layout == "movielens" and data.interactions.frame["rating"].to_list() == [5, 4.5, 0.5]
    assert item(data, 185)["title"] == "Café: the net" and data.users.frame.columns == ["id"]


def with_rating(root, line):
    LAYOUTS["movielens"](root)
    text = (root / "ratings.dat").read_text().splitlines()
    (root / "ratings.dat").write_text("\n".join([*text[:4], line, *text[4:]]) + "\n")
    return root


def test_movielens_rows_with_too_many_fields_are_named(tmp_path):
    with pytest.raises(DataError) as caught:
        load(with_rating(tmp_path, "1::2::3::4::5"))
    assert caught.value.file.endswith("ratings.dat") and caught.value.row == 5


@pytest.mark.parametrize("line, code", [("1::2::3", "time_missing"), ("1:2:3:4", "id_missing")])
def test_movielens_rows_with_too_few_fields_are_counted(line, code, tmp_path):
    (issue,) = [issue for issue in load(with_rating(tmp_path, line)).issues if issue.code == code]
    assert issue.count == 1 and issue.rows == (5,)


def test_movielens_csv(tmp_path):
    data = read("movielens_csv", tmp_path)
    assert item(data, 2) == {"movieId": 2, "title": 'Movie, The "1" (2001)', "genres": ["Drama", "War"]}
    assert item(data, 1)["genres"] is None
    (issue,) = [issue for issue in data.issues if issue.code == "file_not_read"]
    assert "links.csv, tags.csv" in issue.message


def test_movielens_100k(tmp_path):
    data = read("movielens_100k", tmp_path)
    assert item(data, 2)["title"] == "Amélie 1 (1995)" and item(data, 2)["genres"] == ["Action", "Drama"]
    assert dict(data.items.kinds) == {"title": "text", "genres": "attributes"}
    assert data.users.frame.row(0) == (1, 20, "F", "writer", "05000")
    flags = (tmp_path / "u.item").read_bytes().replace(b"|1|", b"|2|", 1)
    (tmp_path / "u.item").write_bytes(flags)
    with pytest.raises(DataError, match="a genre is not 0 or 1"):
        load(tmp_path)


def test_lightgcn_keeps_users_and_items_without_pairs(tmp_path):
    data = read("lightgcn", tmp_path)
    assert data.n_users == 14 and data.n_items == N_ITEMS + 1 and {12, 13} <= set(data.users.ids.ids.to_list())
    by_user = {}
    for u, i, _ in walk():
        by_user.setdefault(u, []).append(i)
    expected = {(u, i, 0) for u in by_user for i in by_user[u][2:]}
    expected |= {(u, i, 2) for u in by_user if u % 4 for i in by_user[u][:2]}
    found = {(*pair, part) for pair, part in zip(pairs(data), data.interactions.frame["part"].to_list())}
    assert found == expected and str(data.spec) == "given"
    assert item(data, 3)["org_id"] == "B9003" and any("no valid.txt" in note for note in data.notes)


def test_lightgcn_has_a_validation_part_where_the_file_is(tmp_path):
    for name, text in {"train": "07 1 2 3\n8 2\n9\n", "valid": "07 4\n", "test": "8 1\n07 5\n"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    data = load(tmp_path)
    assert data.users.ids.ids.to_list() == ["07", "8", "9"] and data.items.ids.ids.to_list() == [1, 2, 3, 4, 5]
    parts = dict(zip(pairs(data), data.interactions.frame["part"].to_list()))
    assert parts["07", 4] == 1 and parts["8", 1] == 2 and parts["07", 3] == 0


@pytest.mark.parametrize("text", ["1 2 3\n4,5 6\n", "1 2\n4\t5\n", "1 2\n3;4\n"])
def test_lightgcn_lines_of_another_form_are_named(text, tmp_path):
    LAYOUTS["lightgcn"](tmp_path)
    (tmp_path / "test.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path, "lightgcn")
    assert caught.value.file.endswith("test.txt") and caught.value.row == 2


def test_lastfm(tmp_path):
    data = read("lastfm", tmp_path)
    assert [item(data, key)["name"] for key in (1, 2, 3)] == ['"Weird Al" Yankovic 0', "Björk 1", "NULL 2"]
    assert dict(data.items.kinds) == {"name": "text"} and data.interactions.has("weight")
    u, i, _ = walk()[0]
    assert data.interactions.frame["weight"][0] == 10 + u * i % 999 and str(data.spec) == "random"


def test_lastfm_360k_names_artists_without_an_id(tmp_path):
    data = read("lastfm_360k", tmp_path)
    ids = data.items.ids.ids.to_list()
    assert 'artist "5" ä' in ids and "00000007-7f41-4a97-bb8b-21541527f805" in ids
    assert item(data, 'artist "5" ä')["artist"] == 'artist "5" ä'
    profile = data.users.frame.row(int(data.users.ids.rows(["02" + "e3" * 19])[0]), named=True)
    assert (profile["gender"], profile["age"], profile["country"]) == (None, None, "Germany")


def test_book_crossing(tmp_path):
    data = read("book_crossing", tmp_path)
    assert item(data, "0374157065")["Book-Title"] == 'A "Real"; Story & more 0'
    assert item(data, "0374157067")["Book-Title"] == 'The End: "Faithful" 2'
    assert item(data, "0374157066")["Book-Title"] == "Café 1"
    assert item(data, "0374157068")["Year-Of-Publication"] is None
    assert item(data, "034545104X")["Book-Title"] is None
    implicit = sum((u + i) % 11 == 0 for u, i, _ in walk()) + 1
    assert data.interactions.frame["rating"].null_count() == implicit
    assert any(note.startswith(f"interactions: {implicit} ratings of 0") for note in data.notes)
    rated = read("book_crossing", tmp_path, positive={"rating": ">=1"})
    assert len(rated.positives) == len(data.positives) - implicit


def test_book_crossing_isbns_of_digits_are_text_and_commas_are_read(tmp_path):
    (tmp_path / "Ratings.csv").write_text("User-ID,ISBN,Book-Rating\n1,374157065,5\n2,374157066,0\n3,374157065,9\n")
    (tmp_path / "Books.csv").write_text('ISBN,Book-Title\n374157065,"One, two"\n374157066,Three\n')
    data = load(tmp_path)
    assert data.layout == "book_crossing" and data.items.ids.ids.to_list() == ["374157065", "374157066"]
    assert data.items.raw("text")[0] == "One, two" and data.users.ids.ids.to_list() == [1, 2, 3]


def test_hm(tmp_path):
    data = read("hm", tmp_path)
    article = item(data, "0108775016")
    assert article["detail_desc"] == 'Jersey "top" 1, narrow' and article["colour_group_code"] == "01"
    assert data.items.kinds["product_type_name"] == "attributes" and "colour_group_code" not in data.items.kinds
    pictures = data.items.raw("image")
    assert pictures[0] == tmp_path / "images" / "010" / "0108775015.jpg" and pictures[1] is None
    assert all(path is None or path.is_file() for path in pictures)
    assert data.interactions.frame["time"][0] == 1535760000 and str(data.spec).startswith("temporal")
    assert "media_missing" not in {issue.code for issue in check(data).issues}


def test_retailrocket(tmp_path):
    data = read("retailrocket", tmp_path)
    assert item(data, 355908)["categories"] == ["1001", "213", "9"] and item(data, 355909)["categories"][0] == "1001"
    assert (
        item(data, 355908)["properties"] == ["790=n552.000 639502 n720.000"] and item(data, 355908)["available"] == "1"
    )
    assert item(data, 99)["categories"] == ["1000", "213", "9"]
    assert data.interactions.frame["time"][0] == walk()[0][2]
    assert data.event_names.to_list() == ["addtocart", "transaction", "view"] and "weak_events" in codes(data)
    bought = read("retailrocket", tmp_path, positive={"event": ["transaction"]})
    assert len(bought.positives) == sum(i % 3 == 2 for _, i, _ in walk())


def test_a_tree_that_turns_in_a_circle_ends(tmp_path):
    LAYOUTS["retailrocket"](tmp_path)
    (tmp_path / "category_tree.csv").write_text("categoryid,parentid\n1000,1001\n1001,1000\n1002,1002\n")
    assert item(load(tmp_path), 355908)["categories"] == ["1001", "1000"]


def test_steam(tmp_path):
    data = read("steam", tmp_path)
    game = item(data, "72529")
    assert (game["title"], game["genres"], game["price"]) == ("Game & 1", ["Action", "Indie"], 4.99)
    assert game["tags"] == ["Strategy", "It's RPG"] and item(data, "72528")["price"] == 0
    assert "sentiment" not in data.items.kinds and item(data, "72530")["developer"] is None
    assert data.users.ids.ids.to_list()[0] == f"Jürgen \u2019{walk()[0][0]}"
    assert data.interactions.frame["time"][0] == 1483228800


HOSTILE = [
    "__import__('os').system('touch PATH')",
    "{'username': __import__('os').system('touch PATH'), 'product_id': '1', 'date': '2017-01-01'}",
    "{'username': [].__class__, 'product_id': '1', 'date': 'x'}",
    "{'username': 'a', 'product_id': '1', 'date': '2017-01-01'",
    "{'username': " + "[" * 5000 + "]" * 5000 + ", 'product_id': '1', 'date': 'x'}",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_lines_of_steam_are_never_run(line, tmp_path):
    LAYOUTS["steam"](tmp_path)
    reviews = (tmp_path / "steam_reviews.json").read_text().splitlines()
    target = tmp_path / "made"
    (tmp_path / "steam_reviews.json").write_text(
        "\n".join([*reviews[:2], line.replace("PATH", str(target)), *reviews[2:]])
    )
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert caught.value.row == 3 and not target.exists()


def write(root, files):
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)


ITEMS = "item_id,title\n1,a red lamp\n2,a blue chair\n3,a green door\n"
CLICKS = "user_id,item_id,timestamp\nu1,1,1600000000\nu1,2,1600000001\nu2,3,1600000002\n"
PLAIN = {"items.csv": ITEMS, "interactions.csv": CLICKS}
STRAY = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,1,5,1600000000\n",
    "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Animation\n",
    "events.csv": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n",
    "u.data": "1\t2\t3\t881250949\n",
    "ratings.dat": "1::1::5::978300760\n",
    "movies.dat": "1::Toy Story (1995)::Animation\n",
    "train.txt": "0 1 2\n",
    "test.txt": "0 3\n",
    "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\n"1";"2";"0"\n',
    "BX-Books.csv": '"ISBN";"Book-Title"\n"2";"b"\n',
    "steam_reviews.json": "{'username': 'a', 'product_id': '1', 'date': '2017-01-01'}\n",
    "user_artists.dat": "userID\tartistID\tweight\n1\t2\t3\n",
    "artists.dat": "id\tname\turl\tpictureURL\n2\ta\tb\tc\n",
}


def test_a_plain_folder_stays_one_beside_files_of_public_layouts(tmp_path):
    write(tmp_path, PLAIN | STRAY)
    assert recognise(tmp_path) == "folder" and load(tmp_path).items.ids.ids.to_list() == [1, 2, 3]


FOREIGN = {
    "other tables": {"products.csv": ITEMS, "clicks.csv": CLICKS},
    "ratings of books": {
        "ratings.csv": "user_id,book_id,rating\n1,1,5\n2,2,4\n", "books.csv": "book_id,title\n1,a b\n2,b c\n",
    },
    "ratings and movies of another header": {
        "ratings.csv": "user_id,movie_id,rating\n1,1,5\n2,2,4\n", "movies.csv": "movie_id,title\n1,a b\n2,b c\n",
    },
    "events of another shop": {
        "events.csv": "time,user_id,event,item_id\n1600000000,u,view,1\n1600000001,v,buy,2\n", "products.csv": ITEMS,
    },
    "settings": {
        "palate.yaml": "items: {file: movies.csv}\ninteractions: {file: ratings.csv}\n",
        "ratings.csv": STRAY["ratings.csv"], "movies.csv": STRAY["movies.csv"],
    },
}  # fmt: skip


@pytest.mark.parametrize("files", FOREIGN.values(), ids=list(FOREIGN))
def test_folders_of_other_tables_are_read_as_plain_folders(files, tmp_path):
    write(tmp_path, files)
    assert recognise(tmp_path) == "folder"


NOTHING = [
    {"train.txt": "the quick brown fox\n", "test.txt": "jumps over\n"},
    {"train.txt": "1\t2\n", "test.txt": "1\t3\n"},
    {"u.data": "1,2,3,4\n", "u.item": "1,a\n"},
    {"ratings.dat": "a b c\n", "movies.dat": "1::a::b\n"},
    {"reviews.json": json.dumps({"user": 1})},
    {"user_artists.dat": "a\tb\n1\t2\n", "artists.dat": "id\tname\n1\tx\n"},
]


@pytest.mark.parametrize("files", NOTHING)
def test_files_of_the_same_name_and_another_form_are_nothing(files, tmp_path):
    write(tmp_path, files)
    assert recognise(tmp_path) is None


@pytest.mark.parametrize("name", PUBLIC)
def test_ids_can_be_forced_to_text(name, tmp_path):
    data = read(name, tmp_path, ids="text")
    assert {str(data.items.ids.ids.dtype), str(data.users.ids.ids.dtype)} == {"String"}


PAIRS = [("07", "007"), ("7", "08"), ("07", "08"), ("u", "7")]
GOODS = {"007": "a red lamp", "08": "a blue chair", "7": "a green door"}


def table(header, rows, separator=","):
    return "\n".join(separator.join(map(str, row)) for row in [header, *rows] if row) + "\n"


SPELLED = {
    "movielens": {
        "ratings.dat": table((), [(*pair, 5, 978300760 + n) for n, pair in enumerate(PAIRS)], "::"),
        "movies.dat": table((), [(*pair, "War") for pair in GOODS.items()], "::"),
        "users.dat": table((), [(user, "F", 1, 10, "048067") for user in ("07", "7", "u")], "::"),
    },
    "movielens_csv": {
        "ratings.csv": table(("userId", "movieId", "rating", "timestamp"), [(*pair, 5, 978300760) for pair in PAIRS]),
        "movies.csv": table(("movieId", "title", "genres"), [(*pair, "War") for pair in GOODS.items()]),
    },
    "movielens_100k": {
        "u.data": table((), [(*pair, 5, 978300760) for pair in PAIRS], "\t"),
        "u.item": table((), [(*pair, "", "", "", *[0] * 19) for pair in GOODS.items()], "|"),
    },
    "lightgcn": {"train.txt": "07 007 08\n7 08\n", "test.txt": "u 7\n"},
    "lastfm": {
        "user_artists.dat": table(("userID", "artistID", "weight"), [(*pair, 5) for pair in PAIRS], "\t"),
        "artists.dat": table(("id", "name", "url", "pictureURL"), [(*pair, "a", "b") for pair in GOODS.items()], "\t"),
    },
    "lastfm_360k": {
        "usersha1-artmbid-artname-plays.tsv": table((), [(u, i, GOODS[i], 9) for u, i in PAIRS], "\t"),
    },
    "book_crossing": {
        "BX-Book-Ratings.csv": table(("User-ID", "ISBN", "Book-Rating"), [(*pair, 5) for pair in PAIRS], ";"),
        "BX-Books.csv": table(("ISBN", "Book-Title"), GOODS.items(), ";"),
    },
    "hm": {
        "transactions_train.csv": table(
            ("t_dat", "customer_id", "article_id"), [("2018-09-20", *pair) for pair in PAIRS]
        ),
        "articles.csv": table(("article_id", "prod_name"), GOODS.items()),
    },
    "retailrocket": {
        "events.csv": table(
            ("timestamp", "visitorid", "event", "itemid"), [(1433221332117, u, "view", i) for u, i in PAIRS]
        ),
        "item_properties_part1.csv": table(
            ("timestamp", "itemid", "property", "value"), [(1433221332117, i, "categoryid", "0213") for i in GOODS]
        ),
    },
    "steam": {
        "steam_reviews.json": "\n".join(repr({"username": u, "product_id": i, "date": "2017-01-01"}) for u, i in PAIRS),
        "steam_games.json": "\n".join(repr({"id": i, "app_name": title}) for i, title in GOODS.items()),
    },
}


@pytest.mark.parametrize("name", PUBLIC)
def test_ids_keep_their_spelling(name, tmp_path):
    write(tmp_path, SPELLED[name])
    data = load(tmp_path)
    assert data.layout == name and sorted(pairs(data)) == sorted(PAIRS)
    texts = [column for column, kind in data.items.kinds.items() if kind == "text"]
    for text in texts:
        assert dict(zip(data.items.ids.ids.to_list(), data.items.frame[text].to_list())) == GOODS
    if name == "retailrocket":
        assert data.items.frame["categories"].to_list() == [["0213"]] * 3
