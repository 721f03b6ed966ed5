"""The YAML job file, piece by piece: every piece is read, whatever is wrong with the others.

A name that a broken piece would have defined counts as known, so that no problem makes another.
"""

import contextlib
import math
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batchsum.config.csv_list import Listing, read_list
from batchsum.config.filter_sets import EVERYTHING, MOST_SETS, expand, named_as_windows, overlaps
from batchsum.config.odd_values import odd_filters, odd_program
from batchsum.config.problems import complaints, shown, unknown, unknown_key, unreadable
from batchsum.config.schema import (
    ApiKeys,
    FilterSetKeys,
    GuardKeys,
    HoldingsKeys,
    JobHead,
    JobKeys,
    Keys,
    NotifyKeys,
    OutputKeys,
    TaxonKeys,
)
from batchsum.config.values import job_name_like, parse_path
from batchsum.config.yaml_text import Location, YamlNode, place, plain, texts
from batchsum.errors import Problem
from batchsum.model.filters import LOOKS_SECRET, SECRET_MISPLACED, parse_text
from batchsum.model.job import (
    ApiSettings,
    Holding,
    HoldingSettings,
    Job,
    ListedTaxon,
    NamedSet,
    NotifySettings,
    OutputSettings,
    Windows,
)
from batchsum.model.queries import Guards

LIST_SUFFIXES = (".csv", ".tsv", ".txt")


def default_name(path: Path) -> str:
    """The file's stem, as far as it can be a name."""
    return job_name_like(path.stem) or "job"


class YamlJob:
    """A composed document on its way to a Job; `listing` gathers taxa and problems."""

    def __init__(self, path: Path, root: YamlNode, today: date) -> None:
        self.path = path
        self.root = root
        self.raw: Any = plain(root)
        self.listing = Listing(today, {})
        self.filter_sets: list[NamedSet] = []
        self._order: dict[str, int] = {}

    def read(self) -> Job | None:
        """The job as far as it can be read; its problems, if any, are in `listing`."""
        if not isinstance(self.raw, dict):
            self.report((), "a job file is a mapping; begin with version: 1")
            return None
        for key in self.raw:
            if key not in JobKeys.model_fields:
                self.report((key,), unknown_key(key, JobKeys.model_fields), at_key=True)
        head = self.piece(JobHead, {key: self.raw.get(key) for key in JobHead.model_fields}, ()) or {}
        self.read_filter_sets()  # before the taxa, which name them
        self.read_taxa()
        self.read_taxa_files()
        self.require_taxa()
        api, output = self.section("api", ApiKeys), self.section("output", OutputKeys)
        guards, notify = self.section("guards", GuardKeys), self.section("notify", NotifyKeys)
        holdings = self.read_holdings()
        self.warn_of_hooks(notify)
        self.hide_secrets()  # when all else is told, since it replaces what was said of the same place
        name = head.get("name") or default_name(self.path)
        if "api_key_file" in api:
            api["api_key_file"] = self.resolve(api["api_key_file"])
        output["dir"] = self.resolve(output.get("dir", f"out/{name}"))
        return Job(
            self.path, name, tuple(self.listing.taxa), tuple(self.filter_sets), OutputSettings(**_frozen(output)),
            ApiSettings(**api), Guards(**guards), NotifySettings(**_frozen(notify)), holdings, head.get("min_interval"),
        )  # fmt: skip

    def here(self, location: Location, at_key: bool = False) -> tuple[str, int, int]:
        node = place(self.root, location, at_key)
        return str(self.path), node.line, node.column

    def report(self, location: Location, message: str, at_key: bool = False) -> None:
        self.listing.problems.append(Problem(*self.here(location, at_key), message))

    def piece(self, model: type[Keys], value: Any, location: Location) -> dict[str, Any] | None:
        """What was given, read by the model; None where something is wrong with it, which is reported."""
        try:
            return model.model_validate(value).given()
        except ValidationError as error:
            for complaint in complaints(error, model, location):
                self.report(complaint.location, complaint.message, complaint.at_key)
        return None

    def section(self, key: str, model: type[Keys]) -> dict[str, Any]:
        value = self.raw.get(key)
        return {} if value is None else self.piece(model, value, (key,)) or {}

    def sequence(self, key: str) -> list[Any]:
        value = self.raw.get(key)
        if value is not None and not isinstance(value, list):
            self.report((key,), f"{key}: must be a list, one entry a line behind '- '")
        return value if isinstance(value, list) else []

    def resolve(self, text: str) -> Path:
        """A path of the job file, relative to the file; ~/ is the home directory."""
        # Only the own home: ~name would be a file of that name more often than somebody.
        path = Path(text)
        if text.startswith("~/"):
            with contextlib.suppress(RuntimeError):  # nobody's home
                path = path.expanduser()
        return Path(shown(self.path.parent / path))

    def read_filter_sets(self) -> None:
        entries = self.raw.get("filter_sets")
        if entries is not None and not isinstance(entries, dict):
            self.report(("filter_sets",), "filter_sets: must be a mapping, as {all: {}}")
            self.listing.broken_sets.append(EVERYTHING.name)
            return
        for name, entry in (entries or {EVERYTHING.name: {}}).items():
            try:
                parse_text(name)
            except ValueError as error:
                self.report(("filter_sets", name), f"the name of this filter set {error}", at_key=True)
                continue
            made = self.read_filter_set(name, {} if entry is None else entry)
            if made is None:
                self.listing.broken_sets.append(name)
                continue
            self.listing.sets[name] = made
            for one in made:
                self.warn_odd(name, one)
        for name in named_as_windows(self.filter_sets, entries or {}):
            self.report(("filter_sets", name), f"{name!r} is a window's name; rename one of the two", at_key=True)
        self._order = {one.name: number for number, one in enumerate(self.filter_sets)}

    def read_filter_set(self, name: str, entry: Any) -> tuple[NamedSet, ...] | None:
        location = ("filter_sets", name)
        overlapping = list(overlaps(entry)) if isinstance(entry, dict) else []
        for path, message in overlapping:
            self.report((*location, *path), message, at_key=True)
        given = self.piece(FilterSetKeys, entry, location)
        if given is None or overlapping:
            return None
        guards, lists = given.pop("guards", {}), given.pop("matrix", None)
        if lists == {}:
            self.report((*location, "matrix"), "matrix: is empty; write filters with lists of values")
            return None
        matrix = {key: lists[key] for key in entry["matrix"] if key in lists} if lists else {}
        windows = Windows(**given.pop("windows")) if "windows" in given else None
        if math.prod(map(len, matrix.values())) * (windows.last if windows else 1) + len(self.filter_sets) > MOST_SETS:
            here = (*location, "matrix" if matrix else "windows")
            self.report(here, f"more than {MOST_SETS:,} filter sets; write shorter lists")
            return None
        made = tuple(expand(name, given, matrix, guards, windows))
        return made if self.add_sets(made, location) else None

    def add_sets(self, made: Sequence[NamedSet], location: Location) -> bool:
        known = self.listing.sets
        for one in made:
            if one.name in known or one.name in self.listing.broken_sets:
                self.report(location, f"a second filter set called {one.name!r}; rename one", at_key=True)
                return False
            known[one.name] = (one,)
        self.filter_sets += made
        return True

    def warn_odd(self, name: str, one: NamedSet) -> None:
        entry = (self.raw.get("filter_sets") or {}).get(name) or {}
        for key, message in odd_filters(one.filters, self.listing.today):
            location: Location = ("filter_sets", name, key)
            if key not in entry:
                values = entry["matrix"][key]
                value = getattr(one.filters, key)
                number = [values.index(value)] if value in values else []
                location = ("filter_sets", name, "matrix", key, *number)
            self.listing.warnings.append(Problem(*self.here(location), message))

    def read_taxa(self) -> None:
        for index, entry in enumerate(self.sequence("taxa")):
            location = ("taxa", index)
            given = self.piece(TaxonKeys, entry, location)
            # Its filter sets are looked up even where the rest is broken.
            sets = self.sets_of(entry, location) if isinstance(entry, dict) else None
            if given is not None:
                label, guards = given.get("label", ""), given.get("guards")
                here = self.here(location)
                self.listing.taxa.append(ListedTaxon(given["taxon"], label, sets or None, guards or None, here))

    def sets_of(self, entry: dict[str, Any], location: Location) -> tuple[NamedSet, ...] | None:
        """The filter sets that a taxon names, in job order; None for all."""
        names = entry.get("filter_sets")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
        for number, name in enumerate(names):
            here = (*location, "filter_sets", number)
            if name in names[:number]:
                self.report(here, f"filter set {name!r} is named twice")
            elif name not in self.listing.sets and name not in self.listing.broken_sets:
                self.report(here, unknown("filter set", name, [*self.listing.sets, *self.listing.broken_sets]))
        chosen = {one.name: one for name in names for one in self.listing.sets.get(name, ())}
        return tuple(sorted(chosen.values(), key=lambda one: self._order[one.name]))

    def read_taxa_files(self) -> None:
        seen: set[str] = set()
        for index, entry in enumerate(self.sequence("taxa_files")):
            try:
                if not isinstance(entry, str):
                    raise ValueError("must be the path of a list")
                path = self.resolve(parse_path(entry))
                if path.suffix.lower() not in LIST_SUFFIXES:
                    raise ValueError(f"{entry!r} is not a list; it must end in {', '.join(LIST_SUFFIXES)}")
                if (real := os.path.realpath(path)) in seen:  # a link is the list that it leads to
                    raise ValueError(f"{entry!r} is listed twice")
                seen.add(real)
                read_list(path, str(path), self.listing)
            except OSError as error:
                self.report(("taxa_files", index), f"taxa_files: {path}: {unreadable(error)}")
            except ValueError as error:
                self.report(("taxa_files", index), f"taxa_files: {error}")

    def read_holdings(self) -> HoldingSettings:
        given = self.section("holdings", HoldingsKeys)
        files: list[Holding] = []
        for number, entry in enumerate(given.pop("files", ())):
            one, here = Holding(entry.taxon, entry.file, self.resolve(entry.file)), ("holdings", "files", number)
            if one.taxon in [other.taxon for other in files]:
                self.report((*here, "taxon"), f"taxon {one.taxon} has a file already; leave one of both out")
            if one.file in [other.file for other in files]:
                self.report((*here, "file"), f"{one.file} is listed twice; leave one of both out")
            files.append(one)
        return HoldingSettings(tuple(files), **given)

    def require_taxa(self) -> None:
        keys = [key for key in ("taxa", "taxa_files") if self.raw.get(key)]
        if keys and (self.listing.rows or self.listing.problems or "taxa" in keys):
            return
        message = "the job lists no taxon; write taxa: with a list, or taxa_files:"
        self.report(tuple(keys[:1]) or ("taxa",), message)

    def warn_of_hooks(self, notify: dict[str, Any]) -> None:
        # Failing to notify never fails a run: nobody would learn of a wrong path before the hook is needed.
        for key in ("on_change", "on_failure", "on_success"):
            if key in notify and (why := odd_program(notify[key][0], self.path.absolute().parent)):
                self.listing.warnings.append(Problem(*self.here(("notify", key, 0)), f"{key}: {why}"))

    def hide_secrets(self) -> None:
        """Tell every text that looks like a key, and nothing else about it."""
        found = [node for node in texts(self.root) if LOOKS_SECRET.search(str(node.value))]
        problems = self.listing.problems
        for node in found:
            here = str(self.path), node.line, node.column
            problems[:] = [one for one in problems if (one.file, one.line, one.column) != here]
            problems.append(Problem(*here, f"this {SECRET_MISPLACED}"))


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    """Lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
