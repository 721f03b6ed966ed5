"""The YAML job file, piece by piece: every piece is read, whatever is wrong with the others.

A name that a broken piece would have defined counts as known, so that no problem makes another.
"""

import math
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from batchsum.config.csv_list import Listing, read_list
from batchsum.config.filter_sets import EVERYTHING, MOST_SETS, expand, is_named_as_window, overlaps
from batchsum.config.odd_values import odd_filters, odd_program
from batchsum.config.problems import unknown, unreadable
from batchsum.config.schema import FILTER_SET, JOB, TAXON_ENTRY
from batchsum.config.shape import Shape
from batchsum.config.values import job_name_like, parse_path
from batchsum.config.yaml_text import YamlNode, place, texts
from batchsum.errors import Problem
from batchsum.model.filters import LOOKS_SECRET, NO_TAXON, SECRET_MISPLACED, FilterSet, parse_text
from batchsum.model.job import (
    LIST_SUFFIXES,
    ApiSettings,
    Holding,
    HoldingSettings,
    Job,
    ListedTaxon,
    NamedSet,
    NotifySettings,
    OutputSettings,
)
from batchsum.model.queries import Guards
from batchsum.ncbi.urls import BASE_URL, check_base_url


def default_name(path: Path) -> str:
    """The file's stem, as far as it can be a name."""
    return job_name_like(path.stem) or "job"


class YamlJob:
    """A composed document on its way to a Job; `listing` gathers taxa and problems."""

    def __init__(self, path: Path, root: YamlNode, listing: Listing) -> None:
        self.path = path
        self.root = root
        self.listing = listing
        self.filter_sets: list[NamedSet] = []
        self._order: dict[str, int] = {}

    def read(self) -> Job | None:
        """The job as far as it can be read; its problems, if any, are in `listing`."""
        if not isinstance(self.root.value, dict):
            self.report(self.root, "a job file is a mapping; begin with version: 1; a list ends in .csv, .tsv or .txt")
            return None
        given = JOB.read(self.root, "", self.report) or {}
        self.read_filter_sets(given.get("filter_sets"))  # before the taxa, which name them
        self.read_taxa(given.get("taxa"))
        self.read_taxa_files(given.get("taxa_files"))
        self.require_taxa(given)
        api, output, notify = given.get("api", {}), given.get("output", {}), given.get("notify", {})
        self.check_address(api)
        holdings = self.read_holdings(given.get("holdings", {}))
        self.warn_of_hooks(notify)
        self.hide_secrets()  # when all else is told, since it replaces what was said of the same place
        name = given.get("name") or default_name(self.path)
        if "api_key_file" in api:
            key_file = api["api_key_file"] = self.resolve(api["api_key_file"])
            # Without other problems it is one of its own, told later.
            if self.listing.problems and not key_file.exists():
                self.warn(
                    place(self.root, ["api", "api_key_file"]), f"api_key_file: {key_file}: this file does not exist"
                )
        output["dir"] = self.resolve(output.get("dir", f"out/{name}"))
        return Job(
            self.path, name, tuple(self.listing.taxa), tuple(self.filter_sets), OutputSettings(**output),
            ApiSettings(**api), Guards(**given.get("guards", {})), NotifySettings(**notify),
            holdings, given.get("min_interval"),
        )  # fmt: skip

    def report(self, node: YamlNode, message: str) -> None:
        self.listing.problems.append(Problem(str(self.path), node.line, node.column, message))

    def warn(self, node: YamlNode, message: str) -> None:
        self.listing.warnings.append(Problem(str(self.path), node.line, node.column, message))

    def piece(self, shape: Shape, node: YamlNode, name: str) -> Any:
        """What a piece says; None where something is wrong with it, which is reported."""
        before = len(self.listing.problems)
        found = shape.read(node, name, self.report)
        return found if len(self.listing.problems) == before else None

    def entries(self, node: YamlNode | None, key: str) -> list[YamlNode]:
        if node is not None and not isinstance(node.value, list):
            self.report(node, f"{key}: must be a list, one entry a line behind '- '")
        return node.value if node and isinstance(node.value, list) else []

    def resolve(self, text: str) -> Path:
        """A path of the job file, relative to it; ~/ is the home directory."""
        # Only the own home: ~name would be a file of that name more often than somebody.
        if text.startswith("~/"):
            text = os.path.expanduser(text)  # noqa: PTH111 - Path's raises where nobody has a home
        path = self.path.parent / text
        # As a user would type it: `a/../b` as `b` where both are the same place.
        plain = Path(os.path.normpath(path))
        return plain if os.path.realpath(plain) == os.path.realpath(path) else path

    def read_filter_sets(self, node: YamlNode | None) -> None:
        not_written = YamlNode(1, 1, None)
        entries = {EVERYTHING.name: (not_written, not_written)}
        if node:
            if not isinstance(node.value, dict):
                self.report(node, "filter_sets: must be a mapping, as {all: {}}")
                self.listing.sets[EVERYTHING.name] = ()
                return
            entries = node.value or entries
        for name, (key, entry) in entries.items():
            try:
                parse_text(name)
            except ValueError as error:
                self.report(key, f"the name of this filter set {error}")
                continue
            made = self.read_filter_set(name, key, entry)
            self.listing.sets[name] = made or self.listing.sets.get(name, ())
            for one in made:
                self.warn_odd(one.filters, entry)
        for name, (key, _) in entries.items():
            if is_named_as_window(name, self.listing.sets):
                self.report(key, f"{name!r} is a window's name; rename one of the two")
        self._order = {name: number for number, name in enumerate(self.listing.sets)}

    def read_filter_set(self, name: str, key: YamlNode, entry: YamlNode) -> tuple[NamedSet, ...]:
        """The sets of one entry; none where something is wrong with it, which is reported."""
        given = {} if entry.value is None else self.piece(FILTER_SET, entry, name)
        overlapping = list(overlaps(entry))
        for where, message in overlapping:
            self.report(where, message)
        if given is None or overlapping:
            return ()
        if given.get("matrix") == {}:
            self.report(place(entry, ["matrix"]), "matrix: is empty; write filters with lists of values")
            return ()
        matrix, windows = given.get("matrix", {}), given.get("windows", {"every": timedelta(), "last": 1})
        if math.prod(map(len, matrix.values())) * windows["last"] + len(self.filter_sets) > MOST_SETS:
            here = place(entry, ["matrix" if matrix else "windows"])
            self.report(here, f"more than {MOST_SETS:,} filter sets; write shorter lists")
            return ()
        # One length more than there are windows: the one that is under way has not ended.
        if windows["every"] * (windows["last"] + 1) > self.listing.today - date.min:
            self.report(place(entry, ["windows"]), "windows: begin before the year 1; write fewer or shorter ones")
            return ()
        made = tuple(expand(name, given))
        for one in made:
            if one.name in self.listing.sets:
                self.report(key, f"a second filter set called {one.name!r}; rename one")
                return ()
            self.listing.sets[one.name] = (one,)
        self.filter_sets += made
        return made

    def warn_odd(self, made: FilterSet, entry: YamlNode) -> None:
        for key, why in odd_filters(made, self.listing.today):
            node = place(entry, [key])
            if node is entry:  # it comes from the matrix
                node, value = place(entry, ["matrix", key]), getattr(made, key, None)
                values = node.value if isinstance(node.value, list) else []
                node = next((one for one in values if one.value == value), node)
            self.warn(node, f"{key}: {why}")

    def read_taxa(self, node: YamlNode | None) -> None:
        for entry in self.entries(node, "taxa"):
            if entry.value is None or isinstance(entry.value, list):
                what = "must be an NCBI Taxonomy ID, a name, or a mapping with the key taxon"
                self.report(entry, f"taxa: {NO_TAXON if entry.value is None else what}")
                continue
            if isinstance(entry.value, str):  # a bare ID or name is the same as {taxon: ...}
                entry = YamlNode(entry.line, entry.column, {"taxon": (entry, entry)})
            given = self.piece(TAXON_ENTRY, entry, "taxa")
            sets = self.sets_of(entry)  # looked up even where the rest is broken
            if given is not None:
                label, guards = given.get("label", ""), given.get("guards")
                here = str(self.path), entry.line, entry.column
                self.listing.taxa.append(ListedTaxon(given["taxon"], label, sets or None, guards or None, here))

    def sets_of(self, entry: YamlNode) -> tuple[NamedSet, ...] | None:
        """The filter sets that a taxon names, in job order; None for all."""
        written = place(entry, ["filter_sets"]).value
        if not isinstance(written, list):
            return None
        names = [one.value for one in written if isinstance(one.value, str)]
        if len(names) < len(written):
            return None
        for number, (here, name) in enumerate(zip(written, names, strict=True)):
            if name in names[:number]:
                self.report(here, f"filter set {name!r} is named twice")
            elif name not in self.listing.sets:
                self.report(here, unknown("filter set", name, self.listing.sets))
        chosen = {one.name: one for name in names for one in self.listing.sets.get(name, ())}
        return tuple(sorted(chosen.values(), key=lambda one: self._order[one.name]))

    def read_taxa_files(self, node: YamlNode | None) -> None:
        seen: set[str] = set()
        for entry in self.entries(node, "taxa_files"):
            try:
                if not isinstance(entry.value, str):
                    raise ValueError("must be the path of a list")
                path = self.resolve(parse_path(entry.value))
                if path.suffix.lower() not in LIST_SUFFIXES:
                    raise ValueError(f"{entry.value!r} is not a list; it must end in {', '.join(LIST_SUFFIXES)}")
                if (real := os.path.realpath(path)) in seen:  # a link is the list that it leads to
                    raise ValueError(f"{entry.value!r} is listed twice")
                seen.add(real)
                read_list(path, self.listing)
            except OSError as error:
                self.report(entry, f"taxa_files: {path}: {unreadable(error)}")
            except ValueError as error:
                self.report(entry, f"taxa_files: {error}")

    def read_holdings(self, given: dict[str, Any]) -> HoldingSettings:
        files: list[Holding] = []
        for number, entry in enumerate(given.pop("files", ())):
            if len(entry) < 2:  # what is wrong with it is told already
                continue
            one = Holding(entry["taxon"], entry["file"], self.resolve(entry["file"]))
            here = place(self.root, ["holdings", "files", number])
            if one.taxon in [other.taxon for other in files]:
                message = f"taxon {one.taxon} has a file already; leave one of both out"
                self.report(place(here, ["taxon"]), message)
            if one.file in [other.file for other in files]:
                self.report(place(here, ["file"]), f"{one.file} is listed twice; leave one of both out")
            files.append(one)
        return HoldingSettings(tuple(files), **given)

    def require_taxa(self, given: dict[str, Any]) -> None:
        keys = [key for key in ("taxa", "taxa_files") if key in given and given[key].value]
        if keys and (self.listing.rows or self.listing.problems or "taxa" in keys):
            return
        message = "the job lists no taxon; write taxa: with a list, or taxa_files:"
        self.report(place(self.root, keys[:1] or ["taxa"]), message)

    def check_address(self, api: dict[str, Any]) -> None:
        try:
            check_base_url(api.get("base_url", BASE_URL), api.get("allow_http", False))
        except ValueError as error:
            self.report(place(self.root, ["api", "base_url"]), f"base_url: {error}")

    def warn_of_hooks(self, notify: dict[str, Any]) -> None:
        # Failing to notify never fails a run: nobody would learn of a wrong path before the hook is needed.
        for key in ("on_change", "on_failure", "on_success"):
            if key in notify and (why := odd_program(notify[key][0], self.path.absolute().parent)):
                self.warn(place(self.root, ["notify", key, 0]), f"{key}: {why}")

    def hide_secrets(self) -> None:
        """Tell every text that looks like a key, and nothing else about it."""
        found = [node for node in texts(self.root) if LOOKS_SECRET.search(str(node.value))]
        problems = self.listing.problems
        for node in found:
            here = str(self.path), node.line, node.column
            problems[:] = [one for one in problems if (one.file, one.line, one.column) != here]
            self.report(node, f"this {SECRET_MISPLACED}")
