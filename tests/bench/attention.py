"""How much faster is eager attention than SDPA for training steps through the LLM on a CPU?

    python -m tests.bench.attention

Prints one ratio: both are timed in turn in the same process, several times, on rows as stage 2 has them.
"""

import statistics
import time

import torch
from transformers import AutoModelForCausalLM

from engine.base_models import resolve

ROWS, POSITIONS, TARGETS, ROUNDS = 16, 96, 24, 5


def step(llm, inputs, keep):
    """Seconds of one forward and backward pass through the frozen LLM."""
    begun = time.perf_counter()
    llm(inputs_embeds=inputs, use_cache=False, logits_to_keep=keep).logits.float().logsumexp(-1).sum().backward()
    return time.perf_counter() - begun


def main() -> None:
    folder = resolve("HuggingFaceTB/SmolLM2-135M-Instruct")
    kinds = ("eager", "sdpa")
    models = {
        kind: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation=kind).requires_grad_(False)
        for kind in kinds
    }
    inputs = torch.randn(ROWS, POSITIONS, models["eager"].config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    keep = torch.zeros(ROWS, POSITIONS, dtype=torch.bool)
    keep[:, -TARGETS:] = True
    times = {kind: [step(models[kind], inputs, keep) for _ in range(1 + ROUNDS)][1:] for kind in kinds}
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    ratio = medians["sdpa"] / medians["eager"]
    print(f"eager {medians['eager']:.3f} s, sdpa {medians['sdpa']:.3f} s: eager is {ratio:.2f} x as fast")


if __name__ == "__main__":
    main()
