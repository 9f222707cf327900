"""The pages of a project of 100,000 turns beside those of one of 100: ``pytest -m slow -s tests/browser/test_scale.py``.

Prints milliseconds from the key (for a page: from the navigation) to what it shows being painted, and the bytes that came with a
page, its styles and scripts left out. What is asserted is that the right turn is shown, and that no page brings everything along.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import Studio, View

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FEW, MANY = 100, 100_000
PAGES = ("", "data", "train", "models", "ontology", "agreement")
# Resolves to the milliseconds between the last key (or the navigation) and the frame in which the condition holds.
PAINTED = """([condition, key]) => {
  let begun = 0;
  if (key) document.addEventListener("keydown", () => { begun = performance.now(); }, true);
  const holds = new Function(`return ${condition}`), last = performance.now() + 60000;
  window.painted = new Promise((done, never) => {
    const look = () => {
      if (holds()) requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
      else if (performance.now() > last) never(new Error(condition));
      else setTimeout(look, 5);
    };
    look();
  });
}"""
TURN = "Number(document.querySelector('.dst-form > div')?.dataset.turn)"


@pytest.fixture(scope="module")
def studio(start_studio: Callable[..., Studio]) -> Studio:
    return start_studio("--canned")


# What fifty rows of a list weigh, where a hundred turns are not enough to fill one.
LISTS = 20_000


class Traffic:
    """Bytes of what a page asks for, but for its styles, scripts and fonts."""

    def __init__(self, view: View) -> None:
        self.bytes = 0
        left_out: set[str] = set()
        session = view.page.context.new_cdp_session(view.page)
        session.send("Network.enable")

        def asked(event: dict) -> None:
            if event.get("type") in ("Script", "Stylesheet", "Font", "Image", "Manifest"):
                left_out.add(event["requestId"])

        def received(event: dict) -> None:
            if event["requestId"] not in left_out:
                self.bytes += event["dataLength"]

        session.on("Network.requestWillBeSent", asked)
        session.on("Network.dataReceived", received)


def painted(view: View, condition: str, key: str = "") -> float:
    """Milliseconds from pressing the key, or from the navigation, to what it shows."""
    view.page.evaluate(PAINTED, [condition, bool(key)])
    if key:
        view.page.keyboard.press(key)
    return view.page.evaluate("window.painted")


def text_of(elem_id: str) -> str:
    return f"document.querySelector('[id=\"{elem_id}\"]')?.innerText ?? ''"


def work(view: View, project: int, name: str, hits: int) -> tuple[dict[str, float], dict[str, int]]:
    """Open a turn, go on, search, use the queue, look at the other pages: milliseconds of each step, bytes of each page."""
    from studio.pages.finder import DEFAULTS, filters_of
    from studio.services import dialogues, search
    from studio.workspace import open_workspace
    from tests.bench.scale import RARE

    ws = open_workspace(view.studio.home)
    turns = dialogues.get_dialogue(ws, dialogues.dialogue_named(ws, project, "d3")).turns
    page, traffic = view.page, Traffic(view)
    took: dict[str, float] = {}
    brought: dict[str, int] = {}

    def bytes_of(what: str, path: str, condition: str) -> None:
        traffic.bytes = 0
        page.goto(f"{view.studio.url}/{path}")
        took[what] = painted(view, condition)
        page.wait_for_timeout(2000)  # whatever else comes along
        brought[what] = traffic.bytes
        view.picture(f"scale-{name}-{path.partition('?')[0] or 'talk'}")

    view.go("correct")  # styles, scripts and the server's first steps are not what is measured
    bytes_of("open a turn", f"correct?turn={turns[0].id}&status=all", f"{TURN} === {turns[0].id}")
    view.has("correct.transcript", turns[0].transcript or "")
    took["next turn"] = painted(view, f"({text_of('correct.title')}).includes('Turn 2')", "n")
    view.has("correct.transcript", turns[1].transcript or "")
    wanted = filters_of(**DEFAULTS | {"status": "all"})
    following = search.next_turn(ws, project, wanted, [turns[1].id])
    assert following is not None
    took["next doubtful turn"] = painted(view, f"{TURN} === {following}", "d")
    view.has("correct.transcript", dialogues.get_turn(ws, following).transcript or "")
    page.keyboard.press("w")
    page.keyboard.type(RARE[:-1])
    found = f"({text_of('correct.queue')}).includes('Next: {hits} turn')"
    took["search"] = painted(view, found, RARE[-1])
    view.picture(f"scale-{name}-search")
    view.element("correct.queue").locator("label").first.click()
    page.wait_for_function(
        f"document.querySelector('[id=\"correct.transcript\"]').querySelector('input, textarea').value.includes('{RARE}')"
    )

    view.go("")
    view.field("talk.project").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.wait_for_timeout(3000)  # the browser remembers the project once the page shows it
    for path in PAGES:
        elem_id = f"{path or 'talk'}.project"
        shown = f"document.querySelector('[id=\"{elem_id}\"] input')?.value === '{name}'"
        bytes_of(path or "talk", path, shown)
    view.clean()
    return took, brought


def test_a_hundred_thousand_turns_open_as_a_hundred_do(studio: Studio, open_view: Callable[..., View]) -> None:
    from studio.services import projects
    from studio.workspace import open_workspace
    from tests.bench.scale import fill

    ws = open_workspace(studio.home)
    found = []
    for name, turns, hits in (("few", FEW, 1), ("many", MANY, 10)):
        project = projects.create_project(ws, name).id
        fill(ws, project, turns, seed=turns)
        found.append(work(open_view(studio, 1280, 720), project, name, hits))
    (took, brought), (took_many, brought_many) = found
    print(f"\n{'':22s}{FEW:>10,d}{MANY:>10,d} turns")
    for step, milliseconds in took.items():
        print(f"{step:22s}{milliseconds:10.0f}{took_many[step]:10.0f} ms")
    for step, size in brought.items():
        print(f"{step:22s}{size:10,d}{brought_many[step]:10,d} bytes")
    for step, size in brought.items():
        assert brought_many[step] < 1.1 * size + LISTS, f"{step} brings along what nobody sees"
