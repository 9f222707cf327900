"""Hands that count keys and clicks, how long people would need for them, and when a slot is right."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from playwright.sync_api import Locator, Page

from engine.postprocess.normalise import normalise_value

KEY_SECONDS, CLICK_SECONDS, DECISION_SECONDS = 0.28, 1.1 + 0.2, 1.35
Slots = dict[str, str]  # domain-slot -> value
FIRST_OPTION = "() => document.querySelector('[role=listbox] [role=option]')?.innerText.replace(/^[✓\\s]+/, '').trim() ?? null"


@dataclass
class Hands:
    """A keyboard and a mouse that count. ``paced`` ones take the time that people take."""

    page: Page
    paced: bool = False
    keys: int = 0
    clicks: int = 0
    slots: int = 0  # put right
    turns: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.keys += 1
            self.rest(KEY_SECONDS)
            self.page.keyboard.press(key)

    def rest(self, seconds: float) -> None:
        """Hear, think or move for so long."""
        if self.paced:
            time.sleep(seconds)

    def click(self, where: Locator) -> None:
        self.clicks += 1
        where.click()

    def choose(self, text: str, typed: str | None = None) -> None:
        """Type ``typed``, a part of the text, until the first option is the text, and take it; or type it to its end."""
        for letter in typed or text:
            self.press(letter)
            if self.page.evaluate(FIRST_OPTION) == text:
                self.press("ArrowDown")
                break
        self.press("Enter")


def same(one: str | None, other: str | None, name: str) -> bool:
    slot = name.partition("-")[2]
    return normalise_value(one or "", slot) == normalise_value(other or "", slot)


def wrong_slots(now: Slots, right: Slots) -> list[str]:
    """Slots of either state whose value is not the right one."""
    return [name for name in now | right if not same(now.get(name), right.get(name), name)]


def check(form: str, saved: Slots, gold: Slots) -> None:
    """End if something else was saved than was to be."""
    if left := wrong_slots(saved, gold):
        raise SystemExit(f"{form} saved wrong values of {', '.join(left)}: {saved}, not {gold}")


HEADS = ("keys", "clicks", "slots", "keys+clicks", "machine s", "person s", "slots/hour")


def row(name: str, hands: Hands, wrong: int, speech: float) -> str:
    """``wrong``: slots that were wrong before anybody began; ``speech``: seconds of the turns' recordings."""
    decisions = hands.slots + len(hands.turns)
    moves = hands.keys * KEY_SECONDS + hands.clicks * CLICK_SECONDS
    person = moves + decisions * DECISION_SECONDS + speech + hands.seconds
    pressed = hands.keys + hands.clicks
    return (
        f"{name:32s}{hands.keys:8d}{hands.clicks:8d}{hands.slots:8d}{pressed / wrong:12.1f}{hands.seconds / wrong:12.2f}"
        f"{person / wrong:12.1f}{3600 * wrong / person:12.0f}"
    )
