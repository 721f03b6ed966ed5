"""Numbers, dates and words as the page shows them. Null is never zero: what nobody gave is an empty text."""

from batchsum.output.report.night import ReportRow


def grouped(number: float | None) -> str:
    return "" if number is None else f"{number:,}"


def signed(number: int | None) -> str:
    """With its sign and a true minus, `0` for zero."""
    if not number:
        return "" if number is None else "0"
    return f"+{number:,}" if number > 0 else f"\N{MINUS SIGN}{-number:,}"


def percent(row: ReportRow) -> str:
    """The size of the change; its sign stands before it."""
    change, previous = row.record_count_change, row.previous_record_count
    if not change or not previous:
        return ""
    share = 100 * abs(change) / previous
    if share < 0.05:
        return "<0.1 %"
    return f"{share:,.1f} %" if share < 1000 else f"{share:,.0f} %"


def day(text: str) -> str:
    """The date of a date or date-time; other text as it is."""
    return text[:10] if len(text) > 10 and text[4:5] == text[7:8] == "-" else text


def words(name: str) -> str:
    return name.replace("_", " ")
