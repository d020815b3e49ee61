"""Names that columns of shops and public data sets have, compared without case, spaces and punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_ITEMS = """
item_id item movie_id asin parent_asin product_id sku isbn isbn13 isbn10 book_id bid article_id track_id song_id
news_id video_id content_id game_id app_id recipe_id show_id series_id podcast_id episode_id hotel_id restaurant_id
business_id gmap_id poi_id venue_id place_id location_id course_id job_id post_id pin_id doc_id document_id artist_id
album_id beer_id wine_id anime_id listing_id offer_id goods_id style_id stock_code product_code item_code article_code
product_no item_no article_no product_number item_number article_number product_key item_key upc ean gtin barcode
tconst imdb_id tmdb_id film_id title_id micro_video_id product movie book article track song film isbn_13 isbn_10
item_nr artikelnummer lineitem_sku variant_sku handle artikel artikel_id artikel_nr produkt produkt_id produktnummer
producto producto_id id_producto produit produit_id id_produit prodotto prodotto_id articulo id
"""
_USERS = """
user_id user uid reviewer_id visitor_id customer_id customer member_id member account_id account client_id client
buyer_id buyer person_id profile_id subscriber_id shopper_id viewer_id reader_id listener_id consumer_id player_id
patron_id guest_id user_key customer_key user_no user_number customer_no customer_number cust_id reviewer visitor
shopper viewer reader listener user_name user_hash user_sha1 author_steamid steam_id household_id cookie_id device_id
user_pseudo_id pseudo_id full_visitor_id distinct_id anonymous_id email e_mail user_email customer_email billing_email
email_address customer_user kunde kunden_id kunden_nr kundennummer benutzer nutzer benutzer_id nutzer_id cliente
id_cliente cliente_id usuario usuario_id id_usuario utilisateur id_utilisateur id_client utente klant klant_id
session_id session
"""
_TIMES = """
timestamp time ts date datetime date_time unix_review_time sort_timestamp when created_at created create_time
creation_time created_time created_on event_time event_date event_timestamp event_ts purchased_at purchase_time
purchase_date purchase_ts order_date order_time ordered_at order_ts day review_time review_date rated_at rating_date
rating_time click_time clicked_at click_date view_time viewed_at watched_at watch_time played_at listened_at
read_at visited_at visit_time visit_date invoice_date transaction_date transaction_time t_dat bought_at buy_time
occurred_at logged_at log_time server_time unix_time unix_timestamp epoch utc_time time_stamp interaction_time
transaction_dt submission_date posted_at paid_at time_ms timestamp_ms event_date_time
time_local date_added date_created date_posted datum bestelldatum
kaufdatum zeitpunkt zeitstempel zeit fecha fecha_compra fecha_pedido
date_achat date_commande data_acquisto data_compra horodatage
"""


def _words(text: str) -> list[str]:
    return text.split()


ROLE_NAMES: dict[str, tuple[str, ...]] = {
    "user": tuple(_words(_USERS)),
    "item": tuple(_words(_ITEMS)),
    "time": tuple(_words(_TIMES)),
    "event": tuple(
        _words(
            "event event_type event_name action action_type behavior behaviour behavior_type behaviour_type "
            "interaction_type interaction activity activity_type "
        )
    ),
    "rating": tuple(
        _words(
            "rating overall score stars book_rating star_rating user_rating review_rating review_score rate grade "
            "movie_rating item_rating rating_score star bewertung calificacion puntuacion valutazione waardering "
        )
    ),
    "label": tuple(
        _words(
            "label clicked click is_click is_clicked liked is_liked is_like purchased is_purchased is_purchase "
            "is_bought is_buy is_ordered is_converted conversion is_conversion is_favorite "
            "is_favourite favorited favourited is_positive feedback vote voted reaction thumbs thumb thumbs_up "
            "like recommended is_recommended recommends would_recommend sentiment is_upvote upvoted "
            "gekauft comprado target "
        )
    ),
    "weight": (
        *("weight", "quantity", "qty", "lineitem_quantity", "qty_ordered", "menge", "anzahl", "cantidad", "quantite"),
        *("quantita", "aantal", "quantidade"),
    ),
    "query": (
        *("query_id", "query", "search_term", "search_query", "search_text", "query_text", "search_keyword"),
        *("search_phrase", "keyword", "suchbegriff"),
    ),
    "impression": ("impression_id", "session_id", "impression"),
    "position": ("position", "rank"),
    "propensity": ("propensity", "pscore", "propensity_score"),
    "part": ("part", "split", "x_label"),
}
MEDIA_NAMES: dict[str, frozenset[str]] = {
    "image": frozenset(
        _words(
            "image images img imgs photo photos picture pictures pic pics poster posters cover covers thumbnail "
            "thumbnails thumb artwork jpg jpeg png bild foto "
        )
    ),
    "audio": frozenset(_words("audio sound sounds song clip recording mp3 wav music preview ")),
    "video": frozenset(_words("video videos trailer trailers movie mp4 film ")),
}
TEXT_NAMES = frozenset(
    _words(
        "title titles name names description descriptions desc headline plot abstract summary text overview "
        "synopsis review body content caption subtitle blurb lyrics snippet story tagline about details titel "
        "titre titulo beschreibung storyline "
    )
)
ATTRIBUTE_NAMES = frozenset(
    _words(
        "genre genres tag tags category categories brand brands color colour colors colours size sizes gender "
        "material materials language languages country countries author authors actor actors director "
        "directors type types style season format publisher publishers artist artists cast keywords keyword "
        "topic topics subcategory department manufacturer maker vendor seller ingredients features "
    )
)
_MEASURES = frozenset(_words("count counts number num length lenght len qty quantity id ids url score rating"))
MEASURE_NAMES = frozenset(
    _words(
        "price prices cost costs msrp amount discount rabatt revenue budget salary income weight height width depth "
        "length runtime duration pages preis prix precio prezzo preço cena цена fiyat prijs pris gewicht poids peso "
    )
)
CODE_NAMES = frozenset(_words("id ids code codes no nr number num key zip zipcode postcode sku upc ean gtin isbn "))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")


def _plain(name: str) -> str:
    """A name in lower case without accents, so that ``İ`` and ``é`` are ``i`` and ``e``."""
    name = name.lower()
    if name.isascii():
        return name
    return "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))


def squash(name: str) -> str:
    """A name in lower case without spaces and punctuation; the type of a RecBole name (``item_id:token``) goes.

    Args:
        name: of a column.
    """
    return re.sub(r"[\W_]+", "", _plain(name.partition(":")[0]))


def name_words(name: str) -> list[str]:
    """The words of a name in lower case: ``productImage_2`` has ``product``, ``image`` and ``2``.

    Args:
        name: of a column.
    """
    return [word.lower() for word in _WORD.findall(name.partition(":")[0])]


def find_role(role: str, columns: Iterable[str]) -> list[str]:
    """The columns whose name is one of a role, the most usual name first.

    Args:
        role: a key of ``ROLE_NAMES``.
        columns: names of columns.
    """
    by_name = {squash(column): column for column in reversed(list(columns))}
    return [by_name[key] for name in ROLE_NAMES[role] if (key := squash(name)) in by_name]


def media_kind_of_name(name: str) -> str | None:
    """The medium that a name speaks of, None for other names and for names of something about a medium.

    Args:
        name: of a column.
    """
    words = name_words(name)
    if set(words) & {"id", "count", "width", "height", "size", "title", "name", "caption", "text", "number"}:
        return None
    return next((kind for kind, known in MEDIA_NAMES.items() if known & set(words)), None)


def is_code_name(name: str) -> bool:
    """Whether a name ends as those of codes do: ``brand_id``, ``zipCode``, ``colour_no``.

    Args:
        name: of a column.
    """
    words = name_words(name)
    return bool(words) and (words[-1] in CODE_NAMES or squash(name) in CODE_NAMES)


def is_text_name(name: str) -> bool:
    """Whether a name is one of texts: ``title``, ``plotSummary``, but not ``brand_name``.

    Args:
        name: of a column.
    """
    words = set(name_words(name))
    if squash(name) in TEXT_NAMES:
        return True
    return bool(words & TEXT_NAMES) and not words & (ATTRIBUTE_NAMES | _MEASURES)


def is_measure_name(name: str) -> bool:
    """Whether a name is one of amounts: ``price``, ``net_weight``, but not ``price_class``.

    Args:
        name: of a column.
    """
    words = name_words(name)
    return bool(words) and words[-1] in MEASURE_NAMES


def is_known_name(name: str) -> bool:
    """Whether a name is a usual one of a role, a text, a medium or an attribute.

    Args:
        name: of a column.
    """
    return squash(name) in _KNOWN


_KNOWN = frozenset(
    squash(name)
    for names in (*ROLE_NAMES.values(), *MEDIA_NAMES.values(), TEXT_NAMES, ATTRIBUTE_NAMES)
    for name in names
)
