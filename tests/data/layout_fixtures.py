"""Small data sets in every public layout, with each format's oddities; at least 50 rows each."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

N_USERS, N_ITEMS = 12, 20
START = 1_500_000_000


def walk(seed=0, n=90):
    """(user, item, seconds) with distinct pairs, increasing times, every user at least three."""
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(N_USERS) for i in range(N_ITEMS)]
    chosen = sorted(rng.choice(len(pairs), n, replace=False).tolist())
    rng.shuffle(chosen)
    extra = [u * N_ITEMS + j for u in range(N_USERS) for j in range(3)]
    order = list(dict.fromkeys([*chosen, *extra]))
    return [(*pairs[at], START + 3600 * t) for t, at in enumerate(order)]


def picture(folder: Path, name: str, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    (folder / name).write_bytes(buffer.getvalue())


def folder_layout(root: Path):
    rows = [f'{i},"Lamp, ""model"" {i}\nsecond line",kind {i % 3},{i * 1.5},' + (f"pics/{i}.png" if i % 4 else "")
            for i in range(N_ITEMS)]  # fmt: skip
    (root / "items.csv").write_text("\ufeffitem_id,title,kind,price,picture\n" + "\n".join(rows), encoding="utf-8")
    for i in range(N_ITEMS):
        if i % 4:
            picture(root / "pics", f"{i}.png", i)
    lines = [f"u{u}\t{i}\t{t}\t{1 + (u + i) % 5}" for u, i, t in walk()]
    (root / "interactions.tsv").write_text("user\titem_id\ttimestamp\trating\n" + "\n".join(lines), encoding="utf-8")
    (root / "users.csv").write_text("user,age\n" + "\n".join(f"u{u},{20 + u}" for u in range(N_USERS)))
    np.save(root / "audio_feat.npy", np.eye(N_ITEMS, 4, dtype=np.float32))
    edges = [f"{i},{(i + 1) % N_ITEMS},next,0.5" for i in range(N_ITEMS)] + [f"{i},{i % 3},brand,1" for i in range(5)]
    table = "source,target,relation,weight\n" + "\n".join(edges[:N_ITEMS])
    (root / "relations.csv").write_text(table, encoding="utf-8")
    (root / "palate.yaml").write_text(
        "name: lamps\nitems: {id: item_id, text: title, image: picture, attributes: [kind, price]}\n"
        "positive: {rating: '>=2'}\nsplit: leave_one_out\n"
    )
    return root


def mmrec_layout(root: Path):
    part = lambda t: 0 if t % 7 else 1 + t % 2  # noqa: E731
    lines = [f"{u}\t{i}\t{part(n)}\t{n}" for n, (u, i, _) in enumerate(walk())]
    (root / "toy.inter").write_text("userID\titemID\tx_label\tpos\n" + "\n".join(lines))
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS, 5)).astype(np.float32)
    vectors[3] = 0
    np.save(root / "image_feat.npy", vectors)
    neighbours = (np.arange(N_ITEMS)[:, None] + [1, 2]) % N_ITEMS
    neighbours[2, 1] = -1
    np.savez(root / "knn2.npz", text_idx=neighbours, text_cos=np.full(neighbours.shape, 0.5, np.float32))
    return root


def ctr_layout(root: Path):
    rows = [
        {"user_id": f"u{u}", "movie_id": i, "label": (u + i) % 2, "timestamp": t, "device": ("tv", None, "web")[n % 3],
         "hour": float(n % 24), "history": [1, 2]}
        for n, (u, i, t) in enumerate(walk())
    ]  # fmt: skip
    cuts = (0, len(rows) * 3 // 5, len(rows) * 4 // 5, len(rows))
    for name, start, stop in zip(("train", "valid", "test"), cuts, cuts[1:]):
        pl.DataFrame(rows[start:stop]).write_parquet(root / f"{name}.parquet")
    lines = [f"{i},{'Drama| Comedy' if i % 2 else 'War'},{i * 1.5}" for i in range(N_ITEMS)]
    (root / "items.csv").write_text("movie_id,genre,price\n" + "\n".join(lines))
    (root / "users.csv").write_text("user_id,age\n" + "\n".join(f"u{u},{20 + u}" for u in range(N_USERS)))
    return root


def movies_layout(root: Path):
    records = [
        {
            "movie_id": 10 + i,
            "title": f'The "{i}" (19{60 + i})',
            "Plot": "N/A" if i % 5 == 0 else f"Plot\tof\n{i} — ünï",
            "Genre": "Drama, Comedy" if i % 2 else None,
            "Year": "2001–2005" if i == 3 else str(1960 + i),
            "Runtime": "N/A" if i == 4 else f"{80 + i} min",
        }
        for i in range(N_ITEMS)
    ]
    (root / "movies.jsonl").write_text("\n".join(json.dumps(r) for r in records))
    for i in range(0, N_ITEMS, 2):
        picture(root / "posters", f"{10 + i}.jpg", i)
    lines = [f"{u + 1},{10 + i},{0.5 + (u + i) % 10 / 2},{t}" for u, i, t in walk()] + ["1,99999,5.0,1500000000"]
    (root / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines))
    return root


def s3rec_layout(root: Path):
    by_user = {}
    for u, i, _ in walk():
        by_user.setdefault(u + 1, []).append(i + 1)
    (root / "Toy.txt").write_text("\n".join(f"{u} " + " ".join(map(str, s)) for u, s in sorted(by_user.items())))
    attributes = {str(i + 1): [i % 4 + 1, 7] for i in range(N_ITEMS) if i % 6}
    (root / "Toy_item2attributes.json").write_text(json.dumps(attributes))
    (root / "Toy.index.json").write_text(json.dumps({str(i): [f"<a_{i}>", "<b_1>"] for i in range(N_ITEMS)}))
    return root


def mind_layout(root: Path):
    tail = '[{"WikidataId": "Q%d"}]\t[]'
    news = []
    for i in range(N_ITEMS // 2):
        abstract = "" if i % 3 == 0 else f"Abstract's \"text {i}"
        head = f'N{i}\tsports\tgolf\tHe said "go" | PHOTOS {i}'
        news.append("\t".join([head, abstract, f"https://x/{i}", tail % i]))
    (root / "news.tsv").write_text("\n".join(news) + "\n", encoding="utf-8")
    rng = np.random.default_rng(1)
    lines = []
    for n in range(60):
        user = n % N_USERS
        history = "" if user == 0 else " ".join(f"N{(user + k) % N_ITEMS}" for k in range(3))
        shown = " ".join(f"N{i}-{int(k == 0)}" for k, i in enumerate(rng.choice(N_ITEMS, 4, replace=False)))
        lines.append(
            f"{n + 1}\tU{user}\t11/{1 + n // 10}/2019 {1 + n % 12}:05:09 {'AM' if n % 2 else 'PM'}\t{history}\t{shown}"
        )
    (root / "behaviors.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def microlens_layout(root: Path):
    lines = [f"{u + 1},{i + 1},{t * 1000 + 123}" for u, i, t in walk()]
    (root / "MicroLens-1k_pairs.csv").write_text("user,item,timestamp\n" + "\n".join(lines))
    titles = [f'{i + 1},"Title ""{i}"", with comma"' for i in range(N_ITEMS - 3)]
    (root / "MicroLens-1k_titles.csv").write_text("item,title\n" + "\n".join(titles), encoding="utf-8")
    stats = "\n".join(f"{i + 1}\t{i * 10}\t{i * 100}" for i in range(N_ITEMS - 1))
    (root / "MicroLens-1k_likes_and_views.txt").write_text(stats)
    for i in range(0, N_ITEMS, 3):
        picture(root / "MicroLens-1k_covers", f"{i + 1}.jpg", i)
    return root


def pixelrec_layout(root: Path):
    for sub in ("interaction", "iteminfo"):
        (root / sub).mkdir()
    lines = [f"i{i},u{u},{t}" for u, i, t in walk()]
    (root / "interaction" / "Pixel1K.csv").write_text("item_id,user_id,timestamp\n" + "\n".join(lines))
    head = "item_id,view_number,comment_number,thumbup_number,share_number,coin_number,favorite_number,barrage_number"
    info = [
        f'i{i},{i},1,2,3,4,5,6,"T, {i}",tag{i % 3},' + ("" if i % 4 else f'"Line ""{i}"""') for i in range(N_ITEMS + 5)
    ]
    (root / "iteminfo" / "info.csv").write_text(head + ",title,tag,description\n" + "\n".join(info), encoding="utf-8")
    for i in range(0, N_ITEMS, 2):
        picture(root / "cover", f"i{i}.jpg", i)
    return root


def amazon18_layout(root: Path):
    reviews = [
        {"overall": float(1 + (u + i) % 5), "verified": True, "reviewTime": "01 1, 2018", "reviewerID": f"A{u}",
         "asin": f"B{i:03}", "reviewText": "Good\t\"value\"", "unixReviewTime": t, "vote": "2"}
        for u, i, t in walk()
    ]  # fmt: skip
    (root / "Toys_5.json").write_text("\n".join(json.dumps(r) for r in reviews))
    meta = [
        {
            "asin": f"B{i:03}",
            "title": "var aPageStart = (new Date()).getTime();" if i == 2 else f"Toy &amp; game {i}",
            "description": [f"<p>Nice <b>toy</b> {i}</p>", "<script>alert(1)</script>second"] if i % 3 else [],
            "feature": ["soft", "washable"],
            "price": "$12.99" if i % 2 else "$1,299.00 - $1,400.00" if i == 4 else "",
            "brand": "",
            "category": ["Toys", "Games", "</span>x"] if i % 5 else [],
            "also_buy": [f"B{(i + 1) % N_ITEMS:03}", "B999"],
            "rank": ["#1 in Toys"] if i % 2 else "5 in Toys",
            "imageURL": [f"https://img/{i}.jpg"] if i % 2 else [],
        }
        for i in range(N_ITEMS - 2)
    ]
    with gzip.open(root / "meta_Toys.json.gz", "wt", encoding="utf-8") as handle:
        handle.write("\n".join(json.dumps(m) for m in [*meta, meta[0]]))
    picture(root / "images", "B001.jpg")
    return root


def amazon23_layout(root: Path):
    reviews = [
        {"rating": 1 + (u + i) % 5, "title": "x", "text": "y", "images": [], "asin": f"V{i}", "parent_asin": f"P{i}",
         "user_id": f"AE{u}", "timestamp": t * 1000 + 7, "helpful_vote": 0, "verified_purchase": True}
        for u, i, t in walk()
    ]  # fmt: skip
    with gzip.open(root / "Toys.jsonl.gz", "wt", encoding="utf-8") as handle:
        handle.write("\n".join(json.dumps(r) for r in reviews))
    meta = [
        {
            "main_category": "Toys",
            "title": f"Toy {i}",
            "average_rating": 4.5,
            "rating_number": 10,
            "features": [],
            "description": ["<br>One", "two&nbsp;three"] if i % 2 else [],
            "price": None if i % 3 else "from 12.50" if i % 2 else 9.99,
            "images": [{"thumb": "t", "large": "l", "variant": "MAIN", "hi_res": None if i % 2 else "h"}],
            "store": "Shop",
            "categories": ["Toys", "Puzzles"],
            "details": {"Colour": "red"} if i % 2 else {},
            "parent_asin": f"P{i}",
            "bought_together": None,
        }
        for i in range(N_ITEMS - 1)
    ]
    (root / "meta_Toys.jsonl").write_text("\n".join(json.dumps(m) for m in meta))
    return root


def recbole_layout(root: Path):
    lines = [f"{u:03}\t{i:03}\t{1 + (u + i) % 5}\t{t}" for u, i, t in walk()]
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (root / "toy.inter").write_text(head + "\n".join(lines) + "\n")
    items = [
        f'{i:03}\tThe "movie" {i}\tDrama Comedy\t{"" if i % 4 == 0 else 1990 + i}\t0.5 {i}' for i in range(N_ITEMS)
    ]
    head = "item_id:token\tmovie_title:token_seq\tgenre:token_seq\trelease_year:float\tvector:float_seq\n"
    (root / "toy.item").write_text(head + "\n".join(items) + "\n", encoding="utf-8")
    users = [f"{u:03}\t{20 + u}\tM" for u in range(N_USERS)]
    (root / "toy.user").write_text("user_id:token\tage:float\tgender:token\n" + "\n".join(users) + "\n")
    links = [f"{i:03}\tm.{i}" for i in range(N_ITEMS - 1)]
    (root / "toy.link").write_text("item_id:token\tentity_id:token\n" + "\n".join(links) + "\n")
    graph = [f"m.{i}\tgenre\tg.{i % 3}" for i in range(N_ITEMS - 1)] + ["m.0\tsequel\tm.1", "p.9\tdirected\tm.2"]
    head = "head_id:token\trelation_id:token\ttail_id:token\n"
    (root / "toy.kg").write_text(head + "\n".join([*graph, "g.0\tpart of\tg.1"]) + "\n")
    return root


def amazon_text_layout(root: Path):
    items = {
        str(i): {"title": f'Saw "{i}", 2-Inch', "description": f"['Cuts <b>wood</b> {i}', 'fast']" if i % 3 else "[]",
                 "brand": "Acme", "categories": ""}
        for i in range(N_ITEMS)
    }  # fmt: skip
    (root / "Tools.item.json").write_text(json.dumps(items, indent=1))
    (root / "Tools.index.json").write_text(json.dumps({str(i): [f"<a_{i}>"] for i in range(N_ITEMS)}))
    by_user = {}
    for u, i, _ in walk(n=110):
        by_user.setdefault(f"A{u}", []).append(i)
    rows = {"valid": [], "test": []}
    for user, seen in by_user.items():
        rows["valid"].append((user, str(seen[-3:-2] and seen[max(0, len(seen) - 13) : -3]), seen[-3]))
        for back in (2, 1):
            rows["test"].append((user, str(seen[max(0, len(seen) - 10 - back) : -back]), seen[-back]))
    for part, rows_of_part in rows.items():
        frame = pl.DataFrame(rows_of_part, schema=["user_id", "history_item_id", "item_id"], orient="row")
        frame.write_csv(root / f"Tools.{part}.csv")
    return root


def movielens_layout(root: Path):
    genres = ("Animation|Children's", "Drama", "(no genres listed)")
    movies = [f'{i + 1}::The "Café": no. {i} (19{60 + i})::{genres[i % 3]}' for i in range(N_ITEMS)]
    (root / "movies.dat").write_text("\n".join(movies) + "\n", encoding="latin-1")
    lines = [f"{u + 1}::{i + 1}::{1 + (u + i) % 5}::{t}" for u, i, t in walk()] + ["1::952::4::1500000000"]
    (root / "ratings.dat").write_text("\n".join(lines) + "\n")
    users = [f"{u + 1}::{'FM'[u % 2]}::{25 + u}::{u % 4}::0{1000 + u}" for u in range(N_USERS)]
    (root / "users.dat").write_text("\n".join(users) + "\n")
    return root


def movielens_csv_layout(root: Path):
    lines = [f"{u + 1},{i + 1},{0.5 + (u + i) % 10 / 2},{t}" for u, i, t in walk()]
    (root / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines))
    movies = [
        f'{i + 1},"Movie, The ""{i}"" (2001)",{"Drama|War" if i % 3 else "(no genres listed)"}' for i in range(N_ITEMS)
    ]
    (root / "movies.csv").write_text("movieId,title,genres\n" + "\n".join(movies), encoding="utf-8")
    links = [f"{i + 1},0{114700 + i},{i}" for i in range(N_ITEMS)]
    (root / "links.csv").write_text("movieId,imdbId,tmdbId\n" + "\n".join(links))
    (root / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,funny,1500000000\n")
    return root


def movielens_100k_layout(root: Path):
    lines = [f"{u + 1}\t{i + 1}\t{1 + (u + i) % 5}\t{t}" for u, i, t in walk()]
    (root / "u.data").write_text("\n".join(lines) + "\n")
    flags = ["|".join(str(int(at in (i % 19, 8))) for at in range(19)) for i in range(N_ITEMS)]
    date = lambda i: "" if i == 4 else f"{1 + i:02}-Jan-1995"  # noqa: E731
    movies = [
        f"{i + 1}|Amélie {i} (1995)|{date(i)}||http://us.imdb.com/M/title-exact?{i}|{flags[i]}" for i in range(N_ITEMS)
    ]
    (root / "u.item").write_text("\n".join(movies) + "\n", encoding="latin-1")
    users = [f"{u + 1}|{20 + u}|{'FM'[u % 2]}|{('writer', 'none')[u % 2]}|0{5000 + u}" for u in range(N_USERS)]
    (root / "u.user").write_text("\n".join(users) + "\n")
    (root / "ua.base").write_text("1\t1\t5\t1500000000\n")
    return root


def lightgcn_layout(root: Path):
    by_user = {}
    for u, i, _ in walk():
        by_user.setdefault(u, []).append(i)
    train = [f"{u} " + " ".join(map(str, by_user[u][2:])) for u in sorted(by_user)]
    test = [f"{u} " + " ".join(map(str, by_user[u][:2])) if u % 4 else f"{u} " for u in sorted(by_user)]
    (root / "train.txt").write_text("\n".join([*train, "12 ", "13"]) + "\n")
    (root / "test.txt").write_text("\n".join(test) + "\n")
    (root / "item_list.txt").write_text("org_id remap_id\n" + "\n".join(f"B{9000 + i} {i}" for i in range(N_ITEMS + 1)))
    return root


def lastfm_layout(root: Path):
    lines = [f"{u + 2}\t{i + 1}\t{10 + (u * i) % 999}" for u, i, _ in walk()]
    (root / "user_artists.dat").write_text("userID\tartistID\tweight\n" + "\n".join(lines) + "\n")
    names = ['"Weird Al" Yankovic', "Björk", "NULL", "Guns N' Roses; live"]
    artists = [f"{i + 1}\t{names[i % 4]} {i}\thttp://www.last.fm/music/{i}\thttp://img/{i}.jpg" for i in range(N_ITEMS)]
    (root / "artists.dat").write_text("id\tname\turl\tpictureURL\n" + "\n".join(artists) + "\n", encoding="utf-8")
    (root / "tags.dat").write_bytes("tagID\ttagValue\n1\tchanson fran\u00e7aise\n".encode("latin-1"))
    return root


def lastfm_360k_layout(root: Path):
    sha = lambda u: f"{u:02}" + "e3" * 19  # noqa: E731
    mbid = lambda i: "" if i % 5 == 0 else f"{i:08}-7f41-4a97-bb8b-21541527f805"  # noqa: E731
    lines = [f'{sha(u)}\t{mbid(i)}\tartist "{i}" ä\t{1 + (u * i) % 999}' for u, i, _ in walk()]
    (root / "usersha1-artmbid-artname-plays.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    people = [
        f"{sha(u)}\t{('f', 'm', '')[u % 3]}\t{'' if u == 2 else 20 + u}\tGermany\tFeb {1 + u}, 2007"
        for u in range(N_USERS)
    ]
    (root / "usersha1-profile.tsv").write_text("\n".join(people) + "\n", encoding="utf-8")
    return root


def book_crossing_layout(root: Path):
    lines = [f'"{u + 276725}";"0{374157065 + i}";"{(u + i) % 11}"' for u, i, _ in walk()] + [
        '"276725";"034545104X";"0"'
    ]
    (root / "BX-Book-Ratings.csv").write_text(
        '"User-ID";"ISBN";"Book-Rating"\n' + "\n".join(lines) + "\n", encoding="latin-1"
    )
    titles = ['A \\"Real\\"; Story &amp; more', "Café", 'The End: \\"Faithful\\"', "Plain; or not"]
    head = ["ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher"]
    head += [f"Image-URL-{size}" for size in "SML"]
    fields = lambda i: (0 if i == 3 else 1990 + i, "Press", *[f"http://images.amazon.com/{i}{size}" for size in "SML"])  # noqa: E731
    quoted = lambda *row: ";".join(f'"{value}"' for value in row)  # noqa: E731
    rows = [(f"0{374157065 + i}", f"{titles[i % 4]} {i}", f"Writer {i % 3}", *fields(i)) for i in range(N_ITEMS)]
    head, books = quoted(*head) + "\n", [quoted(*row) for row in rows]
    (root / "BX-Books.csv").write_text(head + "\n".join(books) + "\n", encoding="latin-1")
    users = [
        f'"{u + 276725}";"málaga, n/a, spain";{"NULL" if u % 2 else chr(34) + str(20 + u) + chr(34)}'
        for u in range(N_USERS)
    ]
    (root / "BX-Users.csv").write_text('"User-ID";"Location";"Age"\n' + "\n".join(users) + "\n", encoding="latin-1")
    return root


def hm_layout(root: Path):
    day = lambda t: f"2018-{9 + t // 40:02}-{1 + t % 28:02}"  # noqa: E731
    lines = [
        f"{day(n)},{u:04}{'ab' * 30},0{108775015 + i},0.0{50 + i},{1 + u % 2}" for n, (u, i, _) in enumerate(walk())
    ]
    head = "t_dat,customer_id,article_id,price,sales_channel_id\n"
    (root / "transactions_train.csv").write_text(head + "\n".join(lines))
    head = "article_id,product_code,prod_name,product_type_no,product_type_name,colour_group_code,colour_group_name"
    head += ",detail_desc"
    articles = [
        f'0{108775015 + i},0{108775 + i},Strap top ({i}),{253 + i},"Vest, top",0{i % 3},Black,'
        + (f'"Jersey ""top"" {i}, narrow"' if i % 4 else "")
        for i in range(N_ITEMS)
    ]
    (root / "articles.csv").write_text(head + "\n" + "\n".join(articles))
    people = [f"{u:04}{'ab' * 30},{'1.0' if u % 2 else ''},,ACTIVE,NONE,{20 + u},{u:02}ff" for u in range(N_USERS)]
    head = "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code"
    (root / "customers.csv").write_text(head + "\n" + "\n".join(people))
    for i in range(0, N_ITEMS, 2):
        picture(root / "images" / "010", f"0{108775015 + i}.jpg", i)
    return root


def retailrocket_layout(root: Path):
    kinds = ("view", "addtocart", "transaction")
    lines = [f"{t * 1000 + 7},{u + 257597},{kinds[i % 3]},{i + 355908},{i if i % 3 == 2 else ''}" for u, i, t in walk()]
    (root / "events.csv").write_text("timestamp,visitorid,event,itemid,transactionid\n" + "\n".join(lines))
    head = "timestamp,itemid,property,value"
    early = [f"1435460400000,{i + 355908},categoryid,{1000 + i % 3}" for i in range(N_ITEMS)]
    late = [f"1441508400000,{i + 355908},categoryid,{1000 + (i + 1) % 3}" for i in range(0, N_ITEMS, 2)]
    words = [f"1435460400000,{i + 355908},{790 + i % 2},n552.000 639502 n720.000" for i in range(N_ITEMS)]
    there = [f"143546040000{at},{i + 355908},available,{at}" for i in range(N_ITEMS) for at in (0, 1)]
    (root / "item_properties_part1.csv").write_text("\n".join([head, *late, *words]))
    (root / "item_properties_part2.csv").write_text(
        "\n".join([head, *early, *there, "1435460400000,99,categoryid,1000"])
    )
    (root / "category_tree.csv").write_text("categoryid,parentid\n1000,213\n1001,213\n1002,9\n213,9\n9,\n")
    return root


def steam_layout(root: Path):
    day = lambda n: f"2017-{1 + n // 28:02}-{1 + n % 28:02}"  # noqa: E731
    reviews = [
        {"username": f"Jürgen \u2019{u}", "hours": 0.5 * i, "products": 3, "product_id": str(72528 + i), "date": day(n),
         "text": "it's \"good\"\n", "early_access": False, "page": 1, "page_order": 0}
        for n, (u, i, _) in enumerate(walk())
    ]  # fmt: skip
    (root / "steam_reviews.json").write_text("\n".join(map(repr, reviews)), encoding="utf-8")
    games = [
        {"publisher": "Kotoshiro", "genres": ["Action", "Indie"] if i % 3 else [], "app_name": f"Game &amp; {i}",
         "title": f"Game {i}", "url": "http://x", "release_date": "2018-01-04", "tags": ["Strategy", "It's RPG"],
         "price": "Free To Play" if i % 4 == 0 else 4.99, "early_access": False, "id": str(72528 + i),
         "specs": ["Single-player"], "developer": None if i == 2 else "Kotoshiro", "sentiment": "Mixed"}
        for i in range(N_ITEMS - 1)
    ]  # fmt: skip
    lines = [repr(game).replace("': '", "': u'") for game in games] + [repr({"app_name": "no id", "price": 1})]
    with gzip.open(root / "steam_games.json.gz", "wt", encoding="utf-8") as handle:
        handle.write("\n".join(lines))
    return root


LAYOUTS = {name.removesuffix("_layout"): make for name, make in list(globals().items()) if name.endswith("_layout")}
