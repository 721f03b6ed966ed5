"""The tree of taxa: viruses below 10239, and the organisms they were found in below 131567.

A subtree is an interval: each taxon is numbered in preorder and knows the last number below it, so that "in
this taxon or anything below it" is one comparison, whatever its size.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from batchsum.local_ncbi.records import read_table

ROOT, VIRUSES = 1, 10239


@dataclass(frozen=True, slots=True)
class Taxon:
    """One node. `first` is its number in preorder, `last` the highest number of its subtree."""

    tax_id: int
    parent_id: int
    rank: str
    name: str
    common_name: str
    first: int
    last: int

    def holds(self, other: "Taxon") -> bool:
        return self.first <= other.first <= self.last


@dataclass(frozen=True, slots=True)
class Node:
    """A taxon before it is numbered."""

    tax_id: int
    parent_id: int
    rank: str
    name: str
    common_name: str = ""


def package_nodes() -> tuple[dict[int, Node], dict[int, str]]:
    """All taxa of the package by id, and the host groups of each virus: its own, or its nearest ancestor's."""
    nodes = {}
    own_groups = {}
    for row in (*read_table("host_taxa.tsv"), *read_table("virus_taxonomy.tsv.gz")):
        tax_id = int(row["tax_id"])
        nodes[tax_id] = Node(
            tax_id,
            int(row["parent_tax_id"] or ROOT),
            row["rank"],
            row["scientific_name"],
            row["common_name"] or "",
        )
        own_groups[tax_id] = row.get("host_groups", "")
    return nodes, {tax_id: _inherited(tax_id, nodes, own_groups) for tax_id in nodes}


def _inherited(tax_id: int, nodes: Mapping[int, Node], own_groups: Mapping[int, str]) -> str:
    while not own_groups[tax_id] and tax_id != ROOT:
        tax_id = nodes[tax_id].parent_id
    return own_groups[tax_id]


def extra_names() -> Iterator[tuple[int, str]]:
    """Names by which everybody calls some viruses, beside the scientific one."""
    for row in read_table("common_names.tsv"):
        yield int(row["tax_id"]), row["common_name"]


def number_tree(nodes: Iterable[Node]) -> Iterator[Taxon]:
    """Every taxon that hangs together with the root, numbered in preorder; children by id."""
    children: defaultdict[int, list[Node]] = defaultdict(list)
    root: Node | None = None
    for node in sorted(nodes, key=lambda node: node.tax_id, reverse=True):
        if node.tax_id == ROOT:
            root = node
        else:
            children[node.parent_id].append(node)
    if root is None:
        return
    size = _subtree_sizes(root, children)
    stack, number = [root], 0
    while stack:
        node = stack.pop()
        number += 1
        yield Taxon(
            node.tax_id,
            node.parent_id,
            node.rank,
            node.name,
            node.common_name,
            number,
            number + size[node.tax_id] - 1,
        )
        stack.extend(children[node.tax_id])


def _subtree_sizes(root: Node, children: Mapping[int, list[Node]]) -> dict[int, int]:
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(children[node.tax_id])
    size: dict[int, int] = {}
    for node in reversed(order):
        size[node.tax_id] = 1 + sum(size[child.tax_id] for child in children[node.tax_id])
    return size
