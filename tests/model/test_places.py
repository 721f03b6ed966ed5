"""INSDC's list of places, as the package carries it."""

import csv
from importlib.resources import files

CONTINENTS = {"Africa", "Asia", "Europe", "North America", "South America", "Oceania", "Antarctica"}
PLACES = list(
    csv.DictReader(
        (files("batchsum") / "model" / "data" / "places.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"
    )
)


def test_names_are_insdcs_and_stand_once() -> None:
    names = [row["name"] for row in PLACES]
    assert len(set(names)) == len(names)
    current = {row["name"] for row in PLACES if not row["historical"]}
    spelled = {"Viet Nam", "Cote d'Ivoire", "USA", "Czechia", "Eswatini", "Turkiye", "Micronesia, Federated States of"}
    assert spelled <= current
    assert current.isdisjoint({"Czech Republic", "Swaziland", "Zaire", "USSR", "Vietnam", "United States"})


def test_only_waters_have_no_continent() -> None:
    assert {row["continent"] for row in PLACES} == CONTINENTS | {""}
    waters = [row["name"] for row in PLACES if not row["continent"]]
    assert [name for name in waters if not name.endswith((" Ocean", " Sea"))] == []
    assert {row["historical"] for row in PLACES} == {"", "yes"}
