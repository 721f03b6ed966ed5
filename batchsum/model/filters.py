"""The filters of one question: how each is read, compared, shown and sent.

Source: the parameters of `virus_genome_summary` in NCBI's OpenAPI document for Datasets v2.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

LIST_FILTERS = ("accessions", "include_sequence", "aux_report")
"""Those that take several values."""


class _Filters(NamedTuple):
    """The fields of a FilterSet: a named tuple is hashed and compared fast, and a job has one for each window."""

    accessions: tuple[str, ...] = ()
    refseq_only: bool = False
    annotated_only: bool = False
    released_since: date | timedelta | None = None
    released_before: date | timedelta | None = None
    updated_since: date | timedelta | None = None
    host: str = ""
    pangolin_classification: str = ""
    geo_location: str = ""
    usa_state: str = ""
    complete_only: bool = False
    include_sequence: tuple[str, ...] = ()
    aux_report: tuple[str, ...] = ()


FILTER_COLUMNS = _Filters._fields
"""The columns of the table that tell the filters: each of them, and the end of a window behind its beginning."""
FILTER_NAMES = tuple(name for name in FILTER_COLUMNS if name != "released_before")
"""The filters, in the order of NCBI's parameters."""


class FilterSet(_Filters):
    """The filters of `virus_genome_summary`, as NCBI spells them; absent ones at their default.

    Text is taken for any of them and read as in a job file (`released_since="2025-01-15"`); ValueError says
    what is wrong with it. A `timedelta` is so long before the midnight (UTC) at which the asking night began.
    `released_before` is no filter of NCBI's: it makes a window [released_since, released_before) of two
    requests.
    """

    __slots__ = ()

    def __new__(cls, *values: Any, **named: Any) -> "FilterSet":
        given = super().__new__(cls, *values, **named)
        return given._replace(
            **{name: _read(name, value) for name, value in given._asdict().items() if value not in (None, "")}
        )

    def resolve(self, today: date) -> "FilterSet":
        """The same set with every relative date counted back from `today`."""
        days: dict[str, Any] = {
            name: midnight_before(day, today) for name, day in self.dates().items() if isinstance(day, timedelta)
        }
        return self._replace(**days)

    def dates(self) -> dict[str, date | timedelta]:
        """The days in it, by the names of their filters."""
        names = ("released_since", "released_before", "updated_since")
        return {name: day for name in names if (day := getattr(self, name)) is not None}

    def _given(self) -> list[tuple[str, Any]]:
        """The filters that are set, as the table orders them."""
        values = zip(FILTER_COLUMNS, self, strict=True)
        return [(name, one) for name, one in values if one or type(one) is timedelta]  # 0d is a date, too

    # A night has many rows, but few filter sets: what follows from a set alone is worked out once.

    @lru_cache(maxsize=4096)  # noqa: B019 - a set is small, and no more than these are kept
    def canonical(self) -> str:
        """What the set asks in the job's own words, the same for sets that ask the same on every night.

        Lists are sorted, and `7d` stays `7d`.
        """
        told = ((name, sorted(one) if isinstance(one, tuple) else one) for name, one in self._given())
        return ";".join(f"{name}={cell_text(one)}" for name, one in told)

    @lru_cache(maxsize=4096)  # noqa: B019
    def cells(self) -> Mapping[str, str]:
        """The filters as the table shows them: false and absent ones empty, lists joined with |."""
        return {name: cell_text(one) for name, one in self._asdict().items()}

    @lru_cache(maxsize=4096)  # noqa: B019
    def text(self) -> str:
        """The filters in one line, the same for sets that ask the same: `host=human;complete_only=true`."""
        return ";".join([f"{name}={cell_text(one)}" for name, one in self._given()])

    def is_rolling(self) -> bool:
        """Whether a date of it is relative: what it asks moves with the night."""
        return any(isinstance(day, timedelta) for day in self.dates().values())

    def asked(self) -> "tuple[FilterSet, ...]":
        """What is sent for it: itself; for a window all since its beginning, and all since its end."""
        if self.released_before is None:
            return (self,)
        since = self._replace(released_before=None)
        return since, since._replace(released_since=self.released_before)

    def parameters(self) -> Iterator[tuple[str, str]]:
        """The query parameters as sent, lists as repeated keys, false and absent filters left out."""
        for name, value in self._given():
            if name == "released_before":
                continue
            if isinstance(value, tuple):
                yield from ((name, item) for item in value)
            elif isinstance(value, timedelta):
                raise ValueError(f"{name} is relative; resolve the set for a day first")
            elif isinstance(value, date):
                yield name, f"{value.isoformat()}T00:00:00Z"
            else:
                yield name, cell_text(value)


def cell_text(value: Any) -> str:
    """The value of a filter as the table shows it."""
    match value:
        case None | False:
            return ""  # what is absent is shown as nothing
        case True:
            return "true"
        case timedelta():
            return f"{value.days}d"
        case tuple() | list():
            return "|".join(value)
    return str(value)


# How text is read: each function takes what a user wrote and returns what is meant, or raises ValueError with what
# to write instead. A value is text until its field says otherwise: `NO` is Norway's code, `1.10` a Pango lineage.

SEQUENCE_TYPES = ("GENOME", "CDS", "PROTEIN", "NONE")
REPORT_TYPES = ("DATASET_REPORT", "ANNOTATION", "BIOSAMPLE_REPORT")


@cache
def data_table(name: str) -> list[list[str]]:
    """The rows of a table in `model/data`, without its header."""
    text = (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()[1:]]


USA_STATES = dict(data_table("usa_states.tsv"))
"""The names of the states and territories by their codes."""

_DURATION = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 36500 * 86400
_MIDNIGHT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T00:00(?::00(?:\.0+)?)?(?:Z|\+00:?00)?)?")
_ACCESSION = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*(?:\.\d+)?")  # letters and digits
# Behind a comma, what may be the rest of a number is no label: parse_tax_id_or_name() knows such numbers.
_ID_AND_MORE = re.compile(r"([0-9]+)(?:\s*[,;|\t]\s*(?=[^0-9\s]|[0-9]{4}|$)|\s+[#([])")
SHEET_ERRORS = ("#NAME?", "#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!")
HIGHEST_TAX_ID = 2**31 - 1

LOOKS_SECRET = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{36}(?![0-9A-Za-z])")
"""How an NCBI API key looks. No message may repeat one."""

SECRET_MISPLACED = (
    "looks like an NCBI API key, which does not belong here; put it into a file named by api.api_key_file, "
    "or into the environment variable NCBI_API_KEY"
)


def parse_text(text: str) -> str:
    """One line of 1 to 200 visible characters."""
    if not text.strip():
        raise ValueError("is empty; write a value, or leave it out")
    if text != text.strip():
        raise ValueError(f"has blanks around it; write {text.strip()!r}")
    if LOOKS_SECRET.fullmatch(text):
        raise ValueError(SECRET_MISPLACED)
    if len(text) > 200:
        raise ValueError(f"has {len(text):,} characters; at most 200 are allowed")
    for character in text:
        # Cc control, Cf format, Cs lone surrogate, Zl and Zp line ends: nobody can see them in a row.
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            name = unicodedata.name(character, "a control character")
            raise ValueError(f"has an invisible character, U+{ord(character):04X} ({name}); remove it")
    return text


def parse_tax_id_or_name(text: str) -> str:
    """A Taxonomy ID or a name, for a taxon or a host; a spreadsheet's damage to an id is told."""
    text = parse_text(text)
    if re.fullmatch(r"[0-9]+", text):
        plain = text.lstrip("0")
        if plain != text:
            raise ValueError(f"{text!r} has leading zeros; write {plain}" if plain else "0 is not an NCBI Taxonomy ID")
        if int(text) > HIGHEST_TAX_ID:
            raise ValueError(f"{text} is too large for an NCBI Taxonomy ID")
        return text
    if text.isdecimal():
        raise ValueError(f"{text!r} has digits of another script; write {int(text)}")
    if match := re.fullmatch(r"([0-9]+)\.0+", text):
        raise ValueError(f"{text!r} looks like an id that went through a spreadsheet; write {match[1]}")
    if re.fullmatch(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+", text):
        raise ValueError(f"{text!r} is an id that a spreadsheet has rounded; write the id out in digits")
    if re.fullmatch(r"[0-9]{1,3}([,_ '][0-9]{3})+", text):
        raise ValueError(f"write {re.sub(r'[^0-9]', '', text)} without separators")
    if re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", text):
        raise ValueError(f"{text!r} is neither an NCBI Taxonomy ID (digits only) nor a name")
    if text.upper() in SHEET_ERRORS:
        raise ValueError(f"{text!r} is what a spreadsheet shows instead of a value; write the name or the id")
    if re.fullmatch(r"[0-9]{1,2}-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)", text):
        raise ValueError(f"{text!r} is a name that a spreadsheet has turned into a date; write the name")
    return text


NO_TAXON = "is empty; write a Taxonomy ID or a name, or remove the entry"


def parse_taxon(text: str) -> str:
    """An NCBI Taxonomy ID or a name, as the user wrote it."""
    if not text.strip():
        raise ValueError(NO_TAXON)
    if match := _ID_AND_MORE.match(text):
        if match[0].endswith("#"):
            raise ValueError(f"{text!r} is an id and a comment; write {match[1]}, and the comment on a line of its own")
        advice = f"write {match[1]} alone; a label has a column in a .csv with a header, or a key in YAML"
        raise ValueError(f"{text!r} is an id with more behind it; {advice}")
    text = parse_tax_id_or_name(text)
    if text in (".", ".."):  # no quoting changes dots, and in a path they lead to another endpoint
        raise ValueError(f"{text!r} is not the name of a taxon")
    return text


def parse_boolean(text: str) -> bool:
    match text.strip().lower():
        case "true" | "yes":
            return True
        case "false" | "no":
            return False
    raise ValueError(f"{text!r} is not a yes or no; write true or false")


def parse_duration(text: str) -> timedelta:
    """`30s`, `10m`, `6h`, `7d`, `2w`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        example = "{0}s, {0}m, {0}h or {0}d".format(text.strip()) if text.strip().isdigit() else "30s, 6h or 7d"
        raise ValueError(f"{text!r} is not a duration; write a number and s, m, h, d or w, as in {example}")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:  # looked at first: much longer ones no timedelta can be
        raise ValueError(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


def parse_date(text: str, *, otherwise: str = "") -> date:
    """`2025-01-15`, or the same day written as a date-time at midnight UTC. `otherwise` tells what else would do."""
    match = _MIDNIGHT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a date; write YYYY-MM-DD, as in 2025-01-15{otherwise}")
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        raise ValueError(f"{text!r} is not a day of the calendar; write YYYY-MM-DD") from None


def parse_moment(text: str) -> date | timedelta:
    """A date, or whole days back from the night's midnight (UTC): `2025-01-15`, `7d`, `2w`."""
    if _DURATION.fullmatch(text.strip()):
        length = parse_duration(text)
        if length % timedelta(days=1):
            raise ValueError(f"{text!r} is not in whole days; write it as in 7d or 2w")
        return length
    return parse_date(text, otherwise=", or days back from tonight, as in 7d")


def parse_usa_state(text: str) -> str:
    text = parse_text(text)
    code = text.upper()
    if code in USA_STATES:
        return code
    for state, name in USA_STATES.items():
        if name.lower() == text.lower():
            raise ValueError(f"{text!r} is not a state code; write {state}")
    raise ValueError(f"{text!r} is not the two-letter code of a US state or territory, as CA or PR")


def parse_accession(text: str) -> str:
    text = parse_text(text)
    if len(text) > 40 or not _ACCESSION.fullmatch(text):
        several = "; write several as [A, B], in a CSV as A|B" if "," in text else ""
        raise ValueError(f"{text!r} is not a nucleotide accession, as NC_038294.1 or MN908947.3{several}")
    return text


def parse_choice(text: str, *, choices: tuple[str, ...]) -> str:
    """The one of `choices` that is written, in whatever case."""
    folded = {choice.casefold(): choice for choice in choices}
    word = text.strip().casefold()
    if word not in folded:
        near = difflib.get_close_matches(word, folded, n=1)
        hint = f"; did you mean {folded[near[0]]}?" if near else ""
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}{hint}")
    return folded[word]


parse_sequence_type = partial(parse_choice, choices=SEQUENCE_TYPES)


def parse_report_type(text: str) -> str:
    # NCBI's own example of the endpoint writes BIOSAMPLE, which is not in its enumeration.
    return parse_choice("BIOSAMPLE_REPORT" if text.strip().upper() == "BIOSAMPLE" else text, choices=REPORT_TYPES)


def midnight_before(length: timedelta, today: date) -> date:
    """The day `length` before tonight's midnight, never before the calendar's first day."""
    start = datetime(today.year, today.month, today.day, tzinfo=UTC)
    try:
        return (start - length).date()
    except OverflowError:
        return date.min


def _parse_list(parse: Callable[[str], str], value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys(map(parse, items)))  # a value written twice asks nothing new


def _read(name: str, value: Any) -> Any:
    if isinstance(value, datetime):  # it is a date too for isinstance, and would pass with its hours
        value = value.isoformat()
    if isinstance(value, bool | date | timedelta):
        return value
    try:
        return FILTER_PARSERS.get(name, parse_moment)(str(value) if isinstance(value, int) else value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


FILTER_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "accessions": partial(_parse_list, parse_accession),
    "refseq_only": parse_boolean,
    "annotated_only": parse_boolean,
    "released_since": parse_moment,
    "updated_since": parse_moment,
    "host": parse_tax_id_or_name,
    "pangolin_classification": parse_text,
    "geo_location": parse_text,
    "usa_state": parse_usa_state,
    "complete_only": parse_boolean,
    "include_sequence": partial(_parse_list, parse_sequence_type),
    "aux_report": partial(_parse_list, parse_report_type),
}
"""How the text of each filter is read."""
