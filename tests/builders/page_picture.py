"""The picture of the page in the README, from the demo: `python -m tests.builders.page_picture`. Needs Chromium."""

import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

from batchsum.cli import main

PICTURE = Path(__file__).parents[2] / "configs/report.png"
LARGEST = 150_000
"""Bytes; a clone should not carry more for it."""
SIZE = {"width": 1000, "height": 620}


def take_picture(to: Path) -> None:
    """The top of the demo's page, as a browser on a desk shows it."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as driver:
        out = Path(directory) / "demo"
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["demo", "--out", str(out)]) == 0
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport=SIZE, color_scheme="light")
        tab.goto((out / "report.html").as_uri())
        tab.screenshot(path=to)
        browser.close()


if __name__ == "__main__":
    take_picture(PICTURE)
    size = PICTURE.stat().st_size
    sys.exit(0 if size <= LARGEST else f"{PICTURE} has {size:,} bytes; at most {LARGEST:,} are wanted")
