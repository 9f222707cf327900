"""How much faster does the LLM answer on this CPU in float32 than in bfloat16?

    python -m tests.bench.llm_dtype

Prints one ratio: the sample's first recording is answered in turn by two trackers in one process, several times. Above 1 on CPUs
without bfloat16 arithmetic, where the engine takes float32 by itself; below 1 on those that have it.
"""

import statistics
import time
from pathlib import Path

import torch

from engine.llms import bfloat16_cpu
from engine.tracking import Tracker

AUDIO = sorted((Path(__file__).parents[2] / "studio" / "assets" / "sample" / "audio").glob("*.flac"))[0]
ROUNDS = 3


def answer(tracker):
    """Seconds of one answer."""
    begun = time.perf_counter()
    tracker.turn(AUDIO)
    return time.perf_counter() - begun


def main() -> None:
    trackers = {dtype: Tracker.load(device="cpu") for dtype in (torch.float32, torch.bfloat16)}
    for dtype, tracker in trackers.items():
        tracker.model.llm.to(dtype)
    times = {dtype: [answer(tracker) for _ in range(1 + ROUNDS)][1:] for dtype, tracker in trackers.items()}
    slow, fast = statistics.median(times[torch.bfloat16]), statistics.median(times[torch.float32])
    able = "has" if bfloat16_cpu() else "lacks"
    print(f"this CPU {able} bfloat16 arithmetic: float32 {fast:.2f} s, bfloat16 {slow:.2f} s, {slow / fast:.2f} times as long")


if __name__ == "__main__":
    main()
