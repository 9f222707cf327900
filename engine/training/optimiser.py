"""AdamW on float32 master weights, with a learning rate per group and a schedule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.config import RecipeError, StageConfig
from engine.model import SpeechLLM


def select_trainable(model: SpeechLLM, patterns: Sequence[str]) -> None:
    """Freeze everything but the parameters that match one of the regular expressions.

    Raises:
        RecipeError: a pattern that matches no parameter, or one of a base model.
    """
    used = dict.fromkeys(patterns, False)
    for name, parameter in model.named_parameters():
        matching = [pattern for pattern in patterns if re.search(pattern, name)]
        if matching and model.is_base(name):
            raise RecipeError(
                f"trainable pattern {matching[0]!r} matches {name}, a base model's, which stays frozen: name connector, ctc or "
                f"lora_ only, or set model.{name.partition('.')[0]}_tuning to 'full'"
            )
        parameter.requires_grad_(bool(matching))
        parameter.grad = None
        for pattern in matching:
            used[pattern] = True
    for pattern, matched in used.items():
        if not matched:
            raise RecipeError(f"trainable pattern {pattern!r} matches no parameter of the model")


def schedule(stage: StageConfig, step: int) -> float:
    """Factor on the learning rate at step 0, 1, ...: linear warm-up, then the stage's decay to zero."""
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[stage.schedule]


class MasterAdamW:
    """AdamW whose weights are float32 even where the model's are bfloat16: small updates are not rounded away."""

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], stage: StageConfig) -> None:
        self.stage = stage
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self.masters = [
            parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())
            for parameter in self.parameters
        ]
        rates = [self._rate(name) for name in self.names]
        groups = [
            {"params": [m for m, r in zip(self.masters, rates, strict=True) if r == rate], "lr": rate, "base": rate}
            for rate in sorted(set(rates))
        ]
        self.adamw = torch.optim.AdamW(groups, weight_decay=stage.weight_decay, betas=(0.9, 0.98), foreach=True)

    def _rate(self, name: str) -> float:
        for pattern, rate in self.stage.learning_rates.items():
            if re.search(pattern, name):
                return rate
        return self.stage.learning_rate

    def zero(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, step: int, divisor: float) -> tuple[float, float]:
        """Divide the summed gradients, clip, update. Returns the gradient norm and the highest learning rate."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float() / divisor
        norm = nn.utils.clip_grad_norm_(self.masters, self.stage.clip)
        if not torch.isfinite(norm):
            return float(norm), 0.0
        for group in self.adamw.param_groups:
            group["lr"] = group["base"] * schedule(self.stage, step)
        self.adamw.step()
        with torch.no_grad():
            for parameter, master in zip(self.parameters, self.masters, strict=True):
                if parameter is not master:
                    parameter.copy_(master)
        return float(norm), max(group["lr"] for group in self.adamw.param_groups)

    def state(self) -> dict[str, Any]:
        return {"adamw": self.adamw.state_dict(), "masters": dict(zip(self.names, self._copies(), strict=True))}

    def _copies(self) -> list[Tensor]:
        return [master.detach().clone() for master in self.masters]

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        for name, parameter, master in zip(self.names, self.parameters, self.masters, strict=True):
            master.copy_(state["masters"][name])
            parameter.copy_(master)
        self.adamw.load_state_dict(state["adamw"])
