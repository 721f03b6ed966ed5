"""A hook for batchsum: reads a night's changes as JSON, and tells Slack of those where records went missing."""

import json
import os
import sys
import urllib.request

DROPS = ("vanished", "fell", "became_suspect")


def main() -> None:
    night = json.load(sys.stdin)
    lines = [line(change) for change in night["changes"] if change["change"] in DROPS]
    if lines:
        post("\n".join([f"{night['job']}, night of {night['night']}: records went missing", *lines]))


def line(change: dict) -> str:
    name = f"{change['label'] or change['taxon']} / {change['filter_set']}"
    counts = f"{change['previous_record_count']} → {change['record_count']}"
    return f"• {change['change']}: {name}: {counts} {change['error']}".rstrip()


def post(text: str) -> None:
    # Slack reads these three: a label must not call a whole channel.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(os.environ["SLACK_WEBHOOK"], body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=8).close()


main()
