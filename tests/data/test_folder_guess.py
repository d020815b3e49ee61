"""Folders whose tables have other names, and the palate.yaml that init writes."""

import warnings

import pytest
import yaml
from typer.testing import CliRunner

from palate.cli.main import app
from palate.core.errors import DataError
from palate.data.load import load
from palate.data.proposal import propose_settings

PRODUCTS = "id,productCode,title,price,photo\n" + "".join(
    f'{row},P{row:03d},a lamp number {row},"€ {row},50",pics/{row}.jpg\n' for row in range(30)
)
CLICKS = "customer,productId,when,stars\n" + "".join(
    f"c{row % 7},P{row * 7 % 30:03d},{1 + row % 28:02d}/03/2020,{1 + row % 5}\n" for row in range(90)
)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "products.csv").write_text(PRODUCTS)
    (tmp_path / "clicks.csv").write_text(CLICKS)
    return tmp_path


def test_tables_are_told_by_their_columns(shop):
    data = load(shop)
    assert (data.n_items, data.n_users, len(data.interactions)) == (30, 7, 90)
    assert data.items.ids.ids[3] == "P003" and data.items.frame["price"][3] == 3.5
    assert any("products.csv" in note for note in data.notes)


def test_init_writes_settings_that_load_the_same(shop):
    before = load(shop)
    text = propose_settings(shop)
    (shop / "palate.yaml").write_text(text)
    written, after = yaml.safe_load(text), load(shop)
    assert written["items"]["id"] == "productCode" and written["interactions"]["user"] == "customer"
    assert after.items.ids.ids.equals(before.items.ids.ids) and after.items.kinds == before.items.kinds
    assert after.interactions.frame.equals(before.interactions.frame)
    assert "stars>=4" in text


def test_the_command_refuses_to_replace(shop):
    run = CliRunner()
    assert run.invoke(app, ["init", str(shop)], catch_exceptions=False).exit_code == 0
    (shop / "palate.yaml").write_text("name: mine\n")
    with pytest.raises(DataError, match="already"):
        run.invoke(app, ["init", str(shop)], catch_exceptions=False)
    assert (shop / "palate.yaml").read_text() == "name: mine\n"
    assert run.invoke(app, ["init", str(shop), "--overwrite"], catch_exceptions=False).exit_code == 0
    assert "productCode" in (shop / "palate.yaml").read_text()


def test_an_unknown_folder_is_described(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"a\.csv \(x, y\)") as caught:
        load(tmp_path)
    assert "palate init" in caught.value.hint
    assert yaml.safe_load(propose_settings(tmp_path))["items"] == {"file": "a.csv"}


def test_two_tables_that_could_be_the_log_are_not_guessed(shop):
    (shop / "orders.csv").write_text("customer,productId\nc1,P001\n")
    with pytest.raises(DataError, match="no known layout"):
        load(shop)


def test_tables_with_names_in_another_language_are_told_by_their_shared_values(tmp_path):
    goods = [f"{n:03d},Tasse {n}\n" for n in range(9)]
    (tmp_path / "artikel.csv").write_text("Nummer,Bezeichnung\n" + "".join(goods))
    rows = [f"K{n % 4},{n % 7:03d},{n}\n" for n in range(28)]
    (tmp_path / "verkauf.csv").write_text("Kunde,Nummer,Menge\n" + "".join(rows))
    settings = yaml.safe_load(propose_settings(tmp_path))
    assert settings["items"] == {"file": "artikel.csv", "id": "Nummer"}
    assert settings["interactions"] == {"file": "verkauf.csv", "item": "Nummer", "user": "Kunde"}
