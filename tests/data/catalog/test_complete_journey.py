"""Complete Journey by hand: ids that R wrote as floats, order within a basket, readable names."""

import gzip

import pytest

from prismrec.data.catalog import complete_journey
from prismrec.data.catalog.complete_journey import readable_name
from prismrec.errors import DataError

HEAD = "household_id,store_id,basket_id,product_id,quantity,sales_value,transaction_timestamp\n"


@pytest.fixture
def folder(tmp_path):
    rows = "2,1,31198705046,9e+05,2.0,1.5,2017-01-01 12:30:27\n1,1,4.0128e+10,7,1.0,2,2017-01-02 00:00:00\n"
    rows += "1,1,4.0128e+10,5,1.0,2,2017-01-02 00:00:00\n1,1,9007199254740993,5,1,2,2017-01-01 00:00:00\n"
    with gzip.open(tmp_path / "transactions_sample.csv.gz", "wt") as file:
        file.write(HEAD + rows)
    products = "product_id,manufacturer_id,department,brand,product_category,product_type,package_size\n"
    products += '9e+05,2,GROCERY,National,BREAD,BREAD:ITALIAN/FRENCH,22  LB\n7,NA,"",Private,NA,NA,NA\n'
    (tmp_path / "products.csv").write_text(products)
    return tmp_path


def test_ids_in_exponent_form_and_above_2_to_the_53_keep_every_digit(folder):
    clicks = complete_journey.read(folder).clicks
    assert clicks["basket_id"].to_pylist() == [9_007_199_254_740_993, 40_128_000_000, 40_128_000_000, 31_198_705_046]
    assert clicks["product_id"].to_pylist() == [5, 7, 5, 900_000]  # rows of one second keep their order


def test_items_have_names_and_missing_values_are_missing(folder):
    first, second = complete_journey.read(folder).items.to_pylist()
    assert first == {
        "product_id": 7, "name": None, "product_type": None, "product_category": None, "department": None,
        "manufacturer_id": None, "brand": "Private",
    }  # fmt: skip
    assert (second["product_id"], second["name"]) == (900_000, "Bread: Italian/French, 22 LB")


def test_demographics_become_users(folder):
    assert complete_journey.read(folder).users is None
    (folder / "demographics.csv").write_text("household_id,age\n2,65+\n1,NA\n")
    assert complete_journey.read(folder).users.to_pylist() == [
        {"household_id": 1, "age": None},
        {"household_id": 2, "age": "65+"},
    ]


def test_a_missing_product_table_is_an_error(folder):
    (folder / "products.csv").unlink()
    with pytest.raises(DataError, match=r"no file named products\.csv\* in"):
        complete_journey.read(folder)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("CITRUS", "GRAPEFRUIT", "40 LB"), "Citrus: Grapefruit, 40 LB"),
        (("EGGS", "EGGS - X-LARGE", "1 DZ"), "Eggs - X-Large, 1 DZ"),
        (("COOKIES/CONES", None, None), "Cookies/Cones"),
        ((None, "BREAD:ITALIAN", None), "Bread: Italian"),
        ((None, None, "1 LB"), None),
    ],
)
def test_names_are_readable(parts, name):
    assert readable_name(*parts) == name
