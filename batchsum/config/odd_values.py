"""Filter values that are surely not meant as they are written: no reason not to ask, but one to warn.

A name that nobody here knows is left in peace: it may be right.
"""

import re
from collections.abc import Iterator
from datetime import date

from batchsum.model.filters import USA_STATES, FilterSet

# SARS-CoV-2, the taxa above it, and the species that NCBI put there in 2025.
_SARS_COV_2_LINEAGE = frozenset({
    "2697049", "3418604", "694009", "2509511", "694002", "2501931", "11118", "2499399", "76804",
    "2732506", "2732408", "2732396", "2559587", "10239",
})  # fmt: skip

_OTHER_VIRUSES = re.compile(
    r"\b(influenza|dengue|zika|west nile|yellow fever|ebola\w*|marburg\w*|measles|mumps|rubella|rabies"
    r"|hepatitis|hepacivirus|immunodeficiency|papilloma\w*|herpes\w*|alphainfluenzavirus|orthoflavivirus"
    r"|(human )?respiratory syncytial|metapneumovirus|enterovirus|coxsackievirus|norovirus|rotavirus|mpox"
    r"|monkeypox|variola|adenovirus|hantavirus|orthohantavirus|lassa|nipah|chikungunya|middle east respiratory"
    r"|mers|mers-cov|229e|nl63|hku1|oc43|polio\w*|oropouche)\b",
    re.IGNORECASE,
)

_NOT_THE_USA = frozenset({
    "africa", "antarctica", "asia", "europe", "oceania", "south america", "central america", "canada",
    "mexico", "brazil", "argentina", "chile", "colombia", "peru", "united kingdom", "england", "ireland",
    "france", "germany", "italy", "spain", "portugal", "netherlands", "belgium", "switzerland", "austria",
    "poland", "sweden", "norway", "denmark", "finland", "russia", "ukraine", "turkey", "israel", "egypt",
    "nigeria", "kenya", "south africa", "india", "china", "japan", "south korea", "taiwan", "hong kong",
    "thailand", "viet nam", "vietnam", "indonesia", "philippines", "malaysia", "singapore", "australia",
    "new zealand", "pakistan", "bangladesh", "iran", "iraq", "saudi arabia",
})  # fmt: skip


def surely_not_sars_cov_2(taxon: str) -> bool:
    """Whether no Pango lineage can be in this taxon."""
    if taxon.isdigit():
        return taxon not in _SARS_COV_2_LINEAGE
    return bool(_OTHER_VIRUSES.search(taxon))


def odd_filters(filters: FilterSet, today: date) -> Iterator[tuple[str, str]]:
    """The filter that is odd, and why."""
    for name in ("released_since", "updated_since"):
        day = getattr(filters, name)
        if isinstance(day, date) and day > today:
            written = "released_between" if filters.released_before else name
            yield written, f"{written}: {day} is in the future; nothing can be that new"
    place = filters.geo_location.casefold()
    if filters.usa_state and place in _NOT_THE_USA:
        state = USA_STATES[filters.usa_state]
        yield (
            "usa_state",
            f"usa_state: {state} is not in {filters.geo_location}; no record can be in both",
        )


def pango_message(taxon: str, filter_set: str, others: int) -> str:
    more = f" (and {others:,} more {'taxon' if others == 1 else 'taxa'})" if others else ""
    return (
        f"pangolin_classification: only SARS-CoV-2 has Pango lineages; filter set {filter_set!r} "
        f"asks {taxon}{more} for one"
    )
