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


LAYOUTS = {name.removesuffix("_layout"): make for name, make in list(globals().items()) if name.endswith("_layout")}
