"""Tables that are not UTF-8: their likely encoding, and a palate.yaml that names it."""

import gzip

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import palate
from palate.core.errors import DataError
from palate.data.encodings import likely_encoding
from palate.data.proposal import propose_settings

ITEMS = "sku;name;price\n" + "".join(f"{n:03d};Stühle für Räume {n};{n},50 €\n" for n in range(12))
ORDERS = "customer_id;sku;quantity\n" + "".join(f"ü{n % 5};{n % 12:03d};{-1 if n % 9 == 0 else 1}\n" for n in range(60))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_an_encoding_is_told_by_the_bytes(tmp_path, encoding, ending):
    path = tmp_path / f"items.{ending}"
    raw = ITEMS.encode(encoding)
    path.write_bytes(gzip.compress(raw) if ending.endswith("gz") else raw)
    assert likely_encoding(path) == encoding


@given(text=st.text(min_size=1, max_size=60))
def test_utf_8_is_never_taken_for_another(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "items.csv"
    path.write_bytes(text.encode("utf-8", "ignore"))
    assert likely_encoding(path) == "utf-8"


def test_bytes_that_windows_does_not_know_are_latin_1(tmp_path):
    path = tmp_path / "items.csv"
    path.write_bytes(b"id,name\n1,\x81\xe9\n")
    assert likely_encoding(path) == "latin-1"


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_proposal_names_the_encoding_and_the_folder_is_read(tmp_path, encoding):
    (tmp_path / "products.csv").write_bytes(ITEMS.encode(encoding))
    (tmp_path / "orders.csv").write_bytes(ORDERS.encode(encoding))
    with pytest.raises(DataError, match=f"encoding: {encoding}"):
        palate.load(tmp_path)
    (tmp_path / "palate.yaml").write_text(propose_settings(tmp_path))
    with pytest.warns(UserWarning, match="7 of 60 events have a weight of 0 or less.*quantity>0"):
        data = palate.load(tmp_path)
    assert data.items.frame["name"][1] == "Stühle für Räume 1"
    assert data.items.frame["price"].to_list() == [n + 0.5 for n in range(12)], "the sign of the euro is read"
    assert set(data.users.ids.external(np.arange(5))) == {f"ü{n}" for n in range(5)}


def test_columns_without_usual_names_are_told_by_values(tmp_path):
    items = "Artikelnummer;Bezeichnung\n" + "".join(f"{n:03d};Stuhl Nummer {n}\n" for n in range(12))
    log = "Kundennummer;Artikelnummer;Bestelldatum\n" + "".join(
        f"K{n % 5};{n % 12:03d};{n % 28 + 1:02d}.03.2023\n" for n in range(60)
    )
    (tmp_path / "Artikel.csv").write_bytes(items.encode("cp1252"))
    (tmp_path / "Bestellungen.csv").write_bytes(log.encode("cp1252"))
    text = propose_settings(tmp_path)
    written = yaml.safe_load(text)["interactions"]
    assert written["item"] == "Artikelnummer"
    assert (written["user"], written["time"]) == ("Kundennummer", "Bestelldatum")
    (tmp_path / "palate.yaml").write_text(text)
    data = palate.load(tmp_path)
    assert data.positives.times is not None and len(data.users.ids) == 5
