"""How much faster is our WavLM attention than upstream's?

    python -m tests.bench.wavlm_attention

Prints two ratios, forward alone and forward with backward. Both kinds are timed in turn in the same process, on one attention
layer of WavLM-large's size (random weights) and a padded batch of two clips; the kinds' outputs are compared first. The rest of
an encoder layer, where most of the arithmetic is, is the same code in both.
"""

import statistics
import time

import torch
from transformers import WavLMConfig, WavLMModel

from engine.wavlm import use_fused_attention

CLIPS, FRAMES, ROUNDS = 2, 500, 7  # 10 s of speech at 50 frames a second


def seconds(attention, hidden, mask, backward):
    hidden = hidden.clone().requires_grad_(backward)
    begun = time.process_time()  # of computing: other programs' turns are not counted
    with torch.set_grad_enabled(backward):
        output = attention(hidden, attention_mask=mask)[0]
        if backward:
            output.square().mean().backward()
    return time.process_time() - begun


def main() -> None:
    torch.manual_seed(0)
    config = WavLMConfig(
        hidden_size=1024, num_hidden_layers=1, num_attention_heads=16, intermediate_size=4096, do_stable_layer_norm=True
    )
    upstream, ours = WavLMModel(config).eval(), WavLMModel(config).eval()
    ours.load_state_dict(upstream.state_dict())
    use_fused_attention(ours)
    kinds = {name: model.encoder.layers[0].attention for name, model in (("upstream", upstream), ("ours", ours))}
    hidden = torch.randn(CLIPS, FRAMES, 1024)
    mask = torch.arange(FRAMES) < torch.tensor([[FRAMES], [FRAMES // 2]])
    with torch.no_grad():
        outputs = [attention(hidden, attention_mask=mask)[0][mask] for attention in kinds.values()]
    print(f"largest difference of the outputs: {(outputs[0] - outputs[1]).abs().max():.1e}")
    for backward in (False, True):
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(1 + ROUNDS):
            for name, attention in kinds.items():
                times[name].append(seconds(attention, hidden, mask, backward))
        medians = {name: statistics.median(values[1:]) for name, values in times.items()}
        what = "forward and backward" if backward else "forward"
        ratio = medians["upstream"] / medians["ours"]
        print(f"{what}: upstream {medians['upstream']:.3f} s, ours {medians['ours']:.3f} s: ours is {ratio:.2f} x as fast")


if __name__ == "__main__":
    main()
