"""Nights made from a seed, for looking at the report: realistic lists, growth, gaps and trouble."""

from datetime import date, timedelta
from random import Random
from typing import Any

from batchsum.model.queries import DOUBTFUL
from batchsum.output.report.night import ReportNight, ReportRow
from batchsum.store.rows import KeptRow

TONIGHT = date(2026, 11, 23)
TAXA = [
    (taxon, name, int(size))
    for taxon, size, name in (
        line.split(maxsplit=2)
        for line in """
2697049 9100000 SARS-CoV-2
11320 1240000 Influenza A virus
1335626 1720 MERS-CoV
11520 214000 Influenza B virus
11676 1120000 HIV-1
10244 11400 Monkeypox virus
11234 31500 Measles morbillivirus
11250 58700 human respiratory syncytial virus
11053 24900 dengue virus type 1
11060 21300 dengue virus type 2
11069 11800 dengue virus type 3
11070 4650 dengue virus type 4
11082 9310 West Nile virus
64320 2410 Zika virus
186538 3780 Zaire ebolavirus
12059 182000 Enterovirus
138948 61200 Enterovirus A
138949 39800 Enterovirus B
138950 17600 Enterovirus C
138951 12900 Enterovirus D
12637 62650 Dengue virus
31631 2980 Human coronavirus OC43
11137 1410 Human coronavirus 229E
277944 1190 Human coronavirus NL63
290028 890 Human coronavirus HKU1
162145 13400 human metapneumovirus
208893 27800 Human respiratory syncytial virus A
208895 26100 Human respiratory syncytial virus B
11292 32400 Lyssavirus rabies
1980442 5120 Orthohantavirus
3052345 31700 Morbillivirus hominis
3052458 210 Orthoebolavirus bundibugyoense
42769 2210 Coxsackievirus A10
42789 8870 enterovirus D68
86107 9960 Coxsackievirus A6
39054 21900 Enterovirus A71
31704 9050 Coxsackievirus A16
118655 410 Oropouche virus
1868215 91000 Orthopneumovirus
1980456 190 Orthohantavirus andesense
3046277 2100 Orthoflavivirus flavi
3048148 13600 Metapneumovirus hominis
3048448 9480 Orthoflavivirus nilense
3052460 330 Orthoebolavirus sudanense
3052505 160 Orthomarburgvirus marburgense
3052518 6 Orthonairovirus haemorrhagiae
3048459 2470 Orthoflavivirus zikaense
197911 1260000 Alphainfluenzavirus
10359 6020 Human betaherpesvirus 5
10335 640 Varicella-zoster virus
""".strip().splitlines()
    )
]
"""Taxa of a real nightly list, each with a number of records of the right order."""
FILTER_SETS = (
    ("all", "", "", 1.0),
    ("human_complete", "host=human;complete_only=true", "--host human --complete-only", 0.61),
    ("this_week", "released_since=2026-11-16", "--released-after 2026-11-16", 0.004),
)
_TROUBLES = (
    ("suspect", "fell", "fell: {now:,} is 43.1 % below {was:,}; {was:,} on 2026-11-22"),
    ("rejected", "unknown_taxon", "unknown_taxon: The taxonomy name '{taxon}' is not a recognized virus taxon"),
    ("failed", "timeout", "timeout: no answer within 60 s, 6 attempts"),
    ("failed", "http_503", "http_503: upstream connect error or disconnect/reset before headers, 6 attempts"),
    ("skipped", "outage", "outage: no answer from the server for 30 min; asked 6 times"),
)

_BECAME = {"suspect": "became_suspect", "rejected": "became_rejected"}


def kept_row(
    taxon: str,
    filter_set: str = "all",
    status: str = "ok",
    record_count: int | None = 10,
    previous_record_count: int | None = None,
    **more: Any,
) -> KeptRow:
    """A row as the store would have kept it; `more` are further fields of KeptRow."""
    empty = KeptRow(0, taxon, "", filter_set, "", status, record_count, None, previous_record_count, "", "")
    return empty._replace(**more)


def report_row(*kept: Any, **fields: Any) -> ReportRow:
    """A row of the page: arguments as of `kept_row`, and the further fields of ReportRow."""
    own = {name: fields.pop(name) for name in ReportRow._fields if name in fields}
    row = kept_row(*kept, **fields)
    since = "" if row.is_believed else (TONIGHT if row.change else TONIGHT - timedelta(days=1)).isoformat()
    return ReportRow(row, **{"since": since, **own})


def sample_night(
    rows: int = 150, *, nights: int = 30, seed: int = 7, trouble: float = 0.02, chronic: float = 0.008
) -> ReportNight:
    """`rows` rows with `nights` nights each; `trouble` is the share in trouble tonight, `chronic` those for long."""
    random = Random(seed)
    removed = (kept_row("11676", "lentiviruses", record_count=1_118_204, label="HIV-1"),)
    dates = [(TONIGHT - timedelta(days=nights - 1 - back)).isoformat() for back in range(nights)]
    drawn = [_row(random, number, nights, trouble, chronic) for number in range(rows)]
    by_night = zip(*(row.nightly_statuses for row in drawn), strict=True)
    in_doubt = [(rows, sum(status in DOUBTFUL for status in statuses)) for statuses in by_night]
    manifest = {
        "job": "respiratory",
        "run_id": "20261123-030001-4f2a",
        "started_at": "2026-11-23T03:00:01Z",
        "finished_at": "2026-11-23T03:14:26Z",
        "base_url": "https://api.ncbi.nlm.nih.gov/datasets/v2",
        "requests": max(rows - 2, 1),
        "requests_per_second": 10.0,
        "http_statuses": {"200": rows, "429": 1, "none": 2},
        "warnings": [],
        "stale": [],
        "versions": {"batchsum": "0.1.0", "python": "3.12.4", "aiohttp": "3.13.4"},
        "files": ["summary.csv", "changes.csv", "run.json"],
    }
    return ReportNight(
        manifest,
        date=dates[-1],
        rows=drawn,
        previous_date=dates[-2] if nights > 1 else None,
        dates=dates,
        in_doubt=dict(zip(dates, in_doubt, strict=False)),  # a night without rows has none
        removed=removed if nights > 1 and rows > 10 else (),
    )


def bad_night(rows: int = 150) -> ReportNight:
    return sample_night(rows, trouble=0.4, seed=3)


def _row(random: Random, number: int, nights: int, trouble: float, chronic: float) -> ReportRow:
    repeat, position = divmod(number, len(TAXA) * len(FILTER_SETS))
    taxon, name, size = TAXA[position // len(FILTER_SETS)]
    filter_set, filters, options, share = FILTER_SETS[position % len(FILTER_SETS)]
    if repeat:
        taxon, name = f"{3_100_000 + repeat * 1000 + position // 3}", f"{name} isolate {repeat}"
    counts, statuses = _past(random, int(size * share * (1 + 0.01 * repeat)), nights)
    was = counts[-2] if nights > 1 else None
    now = counts[-1] or 0
    status, error, change = statuses[-1], "", _change(was, now, random)
    if (dice := random.random()) < trouble + chronic:
        status, _, text = _TROUBLES[1] if dice < chronic else random.choice(_TROUBLES)
        now = int((was or now) * 0.569)
        error = text.format(now=now, was=was or 0, taxon=taxon)
        change = (
            "" if dice < chronic else {"suspect": "became_suspect", "rejected": "became_rejected"}.get(status, status)
        )
        counts[-1], statuses[-1] = now if status == "suspect" else None, status
        if dice < chronic:
            counts, statuses = [None] * nights, ["rejected"] * nights
            was = None
    answered = status in ("ok", "suspect")
    return report_row(
        taxon, filter_set, status, counts[-1], was,
        label=name, filters=filters, change=change if nights > 1 else "", error=error,
        resource_updated_on="2026-11-22T00:00:00Z" if answered else None,
        size_mb=max(1, now // 90) if answered else None,
        download_command=f"datasets download virus genome taxon {taxon} {options}".strip() if answered else "",
        phids=() if status in ("ok", "empty", "skipped") else tuple(f"{random.getrandbits(96):024X}" for _ in range(2)),
        nightly_counts=tuple(counts), nightly_statuses=tuple(statuses),
    )  # fmt: skip


def _past(random: Random, size: int, nights: int) -> tuple[list[int | None], list[str]]:
    lively = random.random() < 0.45
    counts: list[int | None] = []
    statuses: list[str] = []
    for back in range(nights, 0, -1):
        size += random.randrange(0, max(3, size // 1500)) if lively and random.random() < 0.5 else 0
        failed = back > 1 and random.random() < 0.01
        counts.append(None if failed else size)
        statuses.append("failed" if failed else "ok" if size else "empty")
    if nights > 1 and counts[-2] is None:
        counts[-2], statuses[-2] = size, "ok" if size else "empty"
    return counts, statuses


def _change(was: int | None, now: int, random: Random) -> str:
    if was is None:
        return ""
    if now > was:
        return "grew" if was else "returned"
    return "updated" if random.random() < 0.05 else ""
