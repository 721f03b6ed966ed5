"""The tree of taxa: viruses below 10239, and the organisms they were found in below 131567."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from batchsum.local_ncbi.records import read_table

ROOT, VIRUSES, CELLULAR_ORGANISMS = 1, 10239, 131567


class Taxon(NamedTuple):
    """One node of the tree. The root's parent is 0, which is no taxon."""

    tax_id: int
    parent_id: int
    rank: str
    name: str
    common_name: str = ""


def package_taxa() -> tuple[dict[int, Taxon], dict[int, str]]:
    """All taxa of the package by id, and the host groups of each virus: its own, or its nearest ancestor's."""
    taxa = {}
    own_groups = {}
    for row in (*read_table("host_taxa.tsv"), *read_table("virus_taxonomy.tsv.gz")):
        tax_id = int(row["tax_id"])
        # The files' tops have no parent; they hang from the root.
        parent_id = int(row["parent_tax_id"] or ROOT)
        taxa[tax_id] = Taxon(tax_id, parent_id, row["rank"], row["scientific_name"], row["common_name"] or "")
        own_groups[tax_id] = row.get("host_groups", "")
    return taxa, {tax_id: _inherited(tax_id, taxa, own_groups) for tax_id in taxa}


def _inherited(tax_id: int, taxa: Mapping[int, Taxon], own_groups: Mapping[int, str]) -> str:
    while not own_groups[tax_id] and tax_id != ROOT:
        tax_id = taxa[tax_id].parent_id
    return own_groups[tax_id]


def extra_names() -> Iterator[tuple[int, str]]:
    """Names by which everybody calls some viruses, beside the scientific one."""
    for row in read_table("common_names.tsv"):
        yield int(row["tax_id"]), row["common_name"]


def ids_up_to_root(tax_id: int, taxa: Mapping[int, Taxon]) -> Iterator[int]:
    """The taxon itself, then what is above it in the tree; itself alone where the tree does not know it."""
    yield tax_id
    while (taxon := taxa.get(tax_id)) is not None and taxon.parent_id in taxa:
        tax_id = taxon.parent_id
        yield tax_id
