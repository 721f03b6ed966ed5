"""What the gateway says when it cannot answer.

Every refusal is a `Refusal` with the HTTP status and a body `{code, message}` in the form of `rpcStatus`,
whose code is gRPC's. A taxon or host that cannot be resolved is an invalid argument: HTTP 400, code 3. The
words for names are those NCBI's own program uses for the same findings (ncbi/datasets#246, #373, #385, #435,
#589): "is not a recognized", "does not match any existing taxids", "is an exact match for more than one
taxid", "is not a virus taxon".
"""

from collections.abc import Sequence

INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 3, 5, 8, 12

# gRPC's code for an HTTP status; everything else of the 5xx family is "unavailable".
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}


class Refusal(Exception):
    """An answer other than 200: HTTP status, message, and gRPC's code for it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    @property
    def document(self) -> dict[str, object]:
        return {"code": code_for(self.status), "message": self.message, "details": []}


def code_for(status: int) -> int:
    return _CODES.get(status, INVALID_ARGUMENT if status < 500 else 14)


def no_such_route(path: str) -> Refusal:
    return Refusal(f"Not Found: no such path {path[:200]!r}", 404)


def unknown_id(tax_id: str, kind: str) -> Refusal:
    return Refusal(f"The taxonomy ID '{tax_id}' does not match any existing taxids for '{kind}'")


def unknown_name(name: str, kind: str, suggestions: Sequence[str] = ()) -> Refusal:
    if suggestions:
        listed = "\n".join(suggestions)
        return Refusal(f"The taxonomy name '{name}' is not exact. Try using one of the suggested taxids:\n{listed}")
    recognized = "is not a recognized virus taxon" if kind == "virus" else "is not recognized"
    return Refusal(f"The taxonomy name '{name}' {recognized}.")


def ambiguous_name(name: str, matches: Sequence[str]) -> Refusal:
    listed = "\n".join(matches)
    return Refusal(
        f"The taxonomy name '{name}' is an exact match for more than one taxid. "
        f"Please select one of these taxids:\n{listed}"
    )


def not_a_virus(asked: str, tax_id: int, name: str) -> Refusal:
    if asked.isdigit():
        return Refusal(f"The taxonomy ID '{asked}' is valid for '{name}', but it is not a virus taxon.")
    return Refusal(f"The taxonomy name '{asked}' (taxid: '{tax_id}') is valid, but it is not a virus taxon.")
