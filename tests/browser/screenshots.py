"""Pictures of every page, to be looked at: ``python tests/browser/screenshots.py OUT [--canned]``.

1280x720 and a phone, light and dark, with the sample project and a prepared dialogue that the model in use hears (``--canned``:
answers from a table instead), and the login. Needs Chromium, as the browser tests do.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.base_models import models_dir
from studio.services import people
from studio.workspace import open_workspace
from tests.browser.conftest import ARGUMENTS, NAMES, Studio, sync_api

SIZES = {"wide": (1280, 720), "phone": (390, 844)}
MODES = ("light", "dark")
TURNS = 5  # of the prepared dialogue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def play(page: sync_api.Page) -> None:
    """Play the beginning of a prepared dialogue on the Talk page and wait for each answer."""
    for number in range(1, TURNS + 1):
        page.locator('[id="talk.next"]').click()
        sync_api.expect(page.locator('[id="talk.conversation"] li')).to_have_count(number, timeout=60_000)
        sync_api.expect(page.locator(".dst-thinking, .dst-muted:text('not transcribed')")).to_have_count(0, timeout=120_000)


def take(browser: sync_api.Browser, url: str, out: Path, pages: dict[str, str]) -> None:
    """A picture of each page (its name to its address) in every size and mode; what is wider than its window is named."""
    for size, (width, height) in SIZES.items():
        for mode in MODES:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=mode)
            page = context.new_page()
            for name, address in pages.items():
                page.goto(f"{url}/{address}")
                page.locator('[id$=".hint"]:has-text(":"), input[type="password"]').first.wait_for()
                page.wait_for_timeout(1500)  # what follows the hint, fonts, transitions
                page.screenshot(path=out / f"{name}-{size}-{mode}.png")
                wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                print(f"{name}-{size}-{mode}.png" + (f"  {wider} px wider than the window" if wider > 0 else ""), flush=True)
            context.close()


def main(out: Path, options: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    os.environ["DST_STUDIO_MODELS"] = str(models_dir())  # where the user has them, whatever the workspace
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with tempfile.TemporaryDirectory() as home, sync_api.sync_playwright() as playwright:
        studio = Studio(Path(home), free_port(), options)
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            studio.start()
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(studio.url)
            sync_api.expect(page.locator('[id="talk.hint"]')).to_contain_text(":", timeout=60_000)
            pages = {"talk": ""}
            for link in page.locator("nav a").all()[1:]:
                address = (link.get_attribute("href") or "").rpartition("/")[2]
                pages[address] = address
            play(page)
            take(browser, studio.url, out, pages)
            studio.kill()
            people.add_user(open_workspace(studio.home), "anna", "a long password", "admin")
            studio.start()
            take(browser, studio.url, out, {"login": ""})
        finally:
            studio.kill()
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
