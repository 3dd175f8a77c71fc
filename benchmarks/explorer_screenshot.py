"""docs/explorer.png: the explorer page on a model of the bundled purchases (Complete Journey, CC0).

    python benchmarks/explorer_screenshot.py

Trains with the demo's settings in a temporary folder, serves, and photographs the neighbours of one product. Needs
Chromium at /usr/bin/chromium and the extra `dev`.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

from prismrec.pipeline import train
from prismrec.settings import demo_settings

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PRODUCT = "strawberries 16 oz"
MOST_BYTES = 400_000


def main() -> None:
    """Train, serve, photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs" / "explorer.png")
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        train(demo_settings(["training.deterministic=true"]), bundle, tune_on_validation=False)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-m", "prismrec", "serve", str(bundle), "--port", str(port)])
        try:
            photograph(f"http://127.0.0.1:{port}", output)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    size = output.stat().st_size
    print(f"{output}: {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"that is more than {MOST_BYTES:,}")


def photograph(url: str, output: Path) -> None:
    """The neighbours of the product, with some diversity, as a picture."""
    while not is_ready(url):
        time.sleep(0.1)
    [product] = httpx.get(f"{url}/page/search", params={"q": PRODUCT, "limit": 1}).json()["items"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1480, "height": 900}, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{url}/#/neighbours?item={product['id']}&d=0.6")
        page.locator("[data-column=shop] li.row").first.wait_for()
        page.get_by_text("of the relevance kept").wait_for()
        page.screenshot(path=output)
        browser.close()


def is_ready(url: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
