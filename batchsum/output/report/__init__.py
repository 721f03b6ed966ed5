"""report.html: one night on one page that needs no network, no server and no other file.

The page is made of the words in `night.py` alone; it knows neither the store nor how an answer was got.
"""

from batchsum.output.report.night import Night, RemovedRow, ReportRow
from batchsum.output.report.page import render, write_report

__all__ = ["Night", "RemovedRow", "ReportRow", "render", "write_report"]
