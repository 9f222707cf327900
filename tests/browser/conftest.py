"""A real studio in a process of its own, a headless Chromium with a microphone that plays a file, and an eye on both."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import soundfile

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
sync_api.expect.set_options(timeout=120_000)  # a slow machine is no failure

ROOT = Path(__file__).parents[2]
FAKE_ENGINE = ROOT / "tests" / "studio" / "fake_engine.py"
SAMPLE = ROOT / "studio" / "assets" / "sample" / "audio"
SENTENCE = "i am looking for a cheap restaurant in the north part of town"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
STARTED_WITHIN = 180
SHOWN = "`in focus: ${document.activeElement.outerHTML.slice(0, 200)}\\n${document.body.innerText}`"
# Forks of a process that has imported the studio, which takes longer than to start it
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.browser.serve"])
VIEWS = pytest.StashKey[list["View"]]()
# What Gradio's script complains about when a page is left while an answer is on its way
LEAVING = ("AbortError", "Connection errored out")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser on a busy machine gets a second chance; the summary names the tests that needed one."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure says what the pages showed, and where the keys went."""
    report = yield
    for number, view in enumerate(item.stash.get(VIEWS, ()) if call.when == "call" and report.failed else (), 1):
        if not view.page.is_closed():
            report.longrepr.addsection(f"page {number}: {view.page.url}", view.page.evaluate(SHOWN))
    return report


def chromium() -> str | None:
    """Where Chromium is, if it is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Studio:
    """One studio over ``home``; it can be killed and started again on the same port."""

    home: Path
    port: int
    options: list[str]
    process: BaseProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from tests.browser.serve import serve  # with it comes the studio

        places = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"DST_STUDIO_HOME": str(self.home), "PYTHONPATH": places}
        if "--canned" in self.options:
            environment["DST_STUDIO_ENGINE"] = f"{sys.executable} {FAKE_ENGINE}"
            environment["FAKE_STEP"] = "0.2"
        self.home.mkdir(parents=True, exist_ok=True)
        asked = (self.home, self.port, self.options, dict(environment))
        self.process = FORKS.Process(target=serve, args=asked, daemon=True)
        self.process.start()
        end = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < end and self.process.is_alive():
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        self.kill()
        pytest.fail(f"the studio did not start:\n{(self.home / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """As a power cut would: no time to tidy up."""
        if self.process:
            self.process.kill()
            self.process.join()


@dataclass
class View:
    """A page, what went wrong on it, and what it asked of other machines."""

    page: sync_api.Page
    studio: Studio
    pictures: Path
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(30_000)
        self.page.on("console", lambda message: message.type == "error" and self._error(message.text))
        self.page.on("pageerror", lambda error: self._error(str(error)))
        self.page.on("request", self._request)

    def _error(self, text: str) -> None:
        if not any(words in text for words in LEAVING):
            self.errors.append(text)

    def _request(self, request: sync_api.Request) -> None:
        if not request.url.startswith((self.studio.url, "data:", "blob:")):
            self.strangers.append(request.url)

    def go(self, path: str) -> None:
        """Open a page and wait until it has been filled from the database, as the line on top shows.

        Gradio fills the hint a moment before the project: what is clicked between them is of no project, and refused.
        """
        self.page.goto(f"{self.studio.url}/{path}")
        name = path.partition("?")[0] or "talk"
        self.says(f"{name}.hint", ":")
        sync_api.expect(self.field(f"{name}.project")).not_to_have_value("")

    def reload(self) -> None:
        """Reload the page; Gradio's script does so too at the moment its server is back."""
        try:
            self.page.reload()
        except sync_api.Error as error:
            if not any(words in str(error) for words in ("ERR_ABORTED", "Not attached to an active page")):
                raise
            self.page.wait_for_load_state()

    def element(self, elem_id: str) -> sync_api.Locator:
        return self.page.locator(f'[id="{elem_id}"]')

    def field(self, elem_id: str) -> sync_api.Locator:
        return self.element(elem_id).locator("input, textarea").first

    def says(self, elem_id: str, text: str, seconds: float = 120) -> None:
        """Wait until a component shows the text."""
        sync_api.expect(self.element(elem_id)).to_contain_text(text, timeout=seconds * 1000)

    def has(self, elem_id: str, value: str) -> None:
        """Wait until a field holds the value."""
        sync_api.expect(self.field(elem_id)).to_have_value(value)

    def choose(self, elem_id: str, option: str | re.Pattern[str]) -> None:
        """Choose from a list that opens: what reads so, or the first that the pattern finds."""
        self.field(elem_id).click()
        self.page.get_by_role("option", name=option, exact=True).first.click()

    def unfold(self, elem_id: str) -> None:
        """Open what is folded up, or close it."""
        self.element(elem_id).get_by_role("button").first.click()

    def keeps(self, text: str) -> None:
        """Wait until the studio has a text as a draft, as it is soon after the hands pause."""
        end = time.monotonic() + 120
        with closing(sqlite3.connect(f"file:{self.studio.home / 'studio.db'}?mode=ro", uri=True)) as database:
            while (text,) not in database.execute("select text from drafts").fetchall():
                assert time.monotonic() < end, f"{text!r} is no draft"
                time.sleep(0.1)

    def crash(self) -> None:
        """End the tab as a power cut would: it sends nothing more, not even that a field was left."""
        self.page.context.set_offline(True)
        self.page.close()

    def record(self, seconds: float) -> None:
        """Speak a user's turn into the microphone of the Talk page, the button held down."""
        hold = self.element("talk.microphone").get_by_role("button", name="Hold to talk")
        hold.hover()
        self.page.mouse.down()
        self.page.wait_for_timeout(seconds * 1000)
        self.page.mouse.up()

    def upload(self, file: Path) -> None:
        """Upload a turn on the Talk page."""
        self.element("talk.upload_panel").locator('input[type="file"]').set_input_files(file)

    def new_dialogue(self) -> None:
        """Open the Talk page with a new dialogue."""
        self.go("")
        self.element("talk.new_dialogue").click()
        self.says("talk.conversation", "No turn yet")

    def talk(self, speech: Path) -> None:
        """A new dialogue of three user turns, which the canned model answers one after the other."""
        self.new_dialogue()
        for answer in ("cheap", "north", "chinese"):
            self.upload(speech)
            self.says("talk.state", answer)

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def clean(self) -> None:
        """Nothing went wrong in the browser and nothing left the machine."""
        assert not self.errors
        assert not self.strangers


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: ``DST_STUDIO_PICTURES``, or a folder that pytest keeps for a while."""
    chosen = os.environ.get("DST_STUDIO_PICTURES")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV file of somebody who looks for a restaurant: spoken by flite or espeak-ng, else a sample recording."""
    wav = tmp_path_factory.mktemp("speech") / "speech.wav"
    if flite := shutil.which("flite"):
        subprocess.run([flite, "-voice", "slt", "-t", SENTENCE, "-o", wav], check=True)
    elif espeak := shutil.which("espeak-ng"):
        subprocess.run([espeak, "-w", wav, SENTENCE], check=True)
    else:
        samples, rate = soundfile.read(sorted(SAMPLE.glob("*.flac"))[0])
        soundfile.write(wav, samples, rate, subtype="PCM_16")
    return wav


@pytest.fixture(scope="module")
def browser(speech: Path) -> Iterator[sync_api.Browser]:
    found = chromium()
    if found is None:
        pytest.skip("needs Chromium: install it (Debian: apt-get install chromium) or name it in CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={speech}"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studios() -> Iterator[list[Studio]]:
    """The studios of a module; they end with its tests."""
    started: list[Studio] = []
    yield started
    for studio in started:
        studio.kill()


@pytest.fixture(scope="module")
def start_studio(studios: list[Studio], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Studio]:
    """Start studios, each over a home of its own."""

    def start(*options: str) -> Studio:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        studio = Studio(tmp_path_factory.mktemp("home"), port, list(options))
        studios.append(studio)
        studio.start()
        return studio

    return start


@pytest.fixture(autouse=True)
def second_try(request: pytest.FixtureRequest, studios: list[Studio]) -> None:
    """A second try finds the studios of its module as new: a test may expect what its first try has changed."""
    if getattr(request.node, "execution_count", 1) > 1:
        for studio in studios:
            studio.kill()
            shutil.rmtree(studio.home)
            studio.start()


@pytest.fixture
def open_view(request: pytest.FixtureRequest, browser: sync_api.Browser, pictures: Path) -> Iterator[Callable[..., View]]:
    """Open a page as somebody new: a browser context of its own."""
    contexts: list[sync_api.BrowserContext] = []
    views = request.node.stash.setdefault(VIEWS, [])

    def open_(studio: Studio, width: int = 1440, height: int = 900, dark: bool = False) -> View:
        context = browser.new_context(
            permissions=["microphone"],
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        views.append(View(context.new_page(), studio, pictures))
        return views[-1]

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def log_in(studio: Studio, open_view: Callable[..., View]) -> Callable[[str], View]:
    """Log in as one of ``serve.TEAM``, in a browser of their own."""
    from tests.browser.serve import PASSWORD  # with it comes the studio

    def open_as(name: str) -> View:
        view = open_view(studio)
        view.page.goto(studio.url)
        view.page.locator("input").nth(0).fill(name)
        view.page.locator("input").nth(1).fill(PASSWORD)
        view.page.get_by_role("button", name="Login").click()
        view.says("talk.hint", ":")
        view.errors.clear()  # the login page asks for things nobody may have yet
        return view

    return open_as
