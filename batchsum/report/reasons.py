"""What each reason means to somebody who reads it in the morning, and what to do about it."""

_ACCEPT = "If it is right, run the job once with --accept TAXON/FILTER_SET."
_UNKNOWN = "Nothing is known of this reason; the row's error says what happened."

REASONS = {
    "fell": f"Far fewer records than on the nights before. {_ACCEPT}",
    "vanished": f"There were records; now NCBI says none. {_ACCEPT}",
    "refused": f"Answered on an earlier night, refused now, while other taxa are known. {_ACCEPT}",
    "went_back": f"NCBI's data is older than on the last good night: an old copy answered. {_ACCEPT}",
    "contradicts_itself": "The parts of the answer cannot be true together.",
    "exceeds_wider": "More records than a row that includes this one: one of the two is wrong.",
    "unknown_taxon": "NCBI does not know this taxon. Look it up in NCBI Taxonomy; names move and ids are merged.",
    "ambiguous_name": "More than one taxon has this name. Write the tax id instead.",
    "not_a_virus": "The taxon is known, but it is not a virus.",
    "bad_request": "NCBI does not accept these filters. The row's error has NCBI's own words.",
    "timeout": "No complete answer in time, after all attempts. Asked again tomorrow.",
    "connection": "The server could not be reached, after all attempts. Asked again tomorrow.",
    "bad_answer": "An answer came, but not one that can be read as a count. Asked again tomorrow.",
    "deadline": "Not asked: the run's deadline came first.",
    "interrupted": "Not asked: the run was interrupted. The same command goes on where it stopped.",
    "outage": "Not asked, or asked into an outage: the server answered nobody.",
    "http_429": "The server asked for fewer requests, to the end. Somebody else may be using the same key or address.",
}


def advice(reason: str) -> str:
    """One or two sentences about `reason`, the word before an error's colon."""
    if reason in REASONS:
        return REASONS[reason]
    if reason.startswith("http_5"):
        return "The server failed each time it was asked. Asked again tomorrow."
    if reason.startswith("http_"):
        return "The server refused the question with this HTTP status."
    return _UNKNOWN
