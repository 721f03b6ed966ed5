"""Lengths of time as people read them."""


def spoken(seconds: float) -> str:
    """`45 s`, `2 min 05 s`, `3 h 20 min`, `4 days 3 h`: the two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"
