"""AdamW on float32 master weights, with a learning rate per group and a schedule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from engine.config import RecipeError, StageConfig
from engine.model import SpeechLLM
from engine.training.processes import Processes, full, like, whole


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
    """AdamW whose weights are float32 even where the model's are bfloat16: small updates are not rounded away, and neither are
    the small gradients of one micro-batch beside the sum of the others.

    With several processes (data parallel), ``norm`` sums their gradients; under FSDP they come summed.
    """

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]], stage: StageConfig, processes: Processes) -> None:
        self.stage = stage
        self.processes = processes
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self.masters = [
            parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())
            for parameter in self.parameters
        ]
        # Spread tensors (FSDP) and whole ones cannot be updated in one call, so they are groups of their own.
        self.kinds = [[master for master in self.masters if isinstance(master, DTensor) == spread] for spread in (False, True)]
        rates = {id(master): self._rate(name) for name, master in zip(self.names, self.masters, strict=True)}
        groups = [
            {"params": [master for master in kind if rates[id(master)] == rate], "lr": rate, "base": rate}
            for kind in self.kinds
            for rate in sorted({rates[id(master)] for master in kind})
        ]
        kind = "fused" if self.masters[0].is_cuda else "foreach"
        self.adamw = torch.optim.AdamW(groups, weight_decay=stage.weight_decay, betas=stage.betas, **{kind: True})

    def _rate(self, name: str) -> float:
        for pattern, rate in self.stage.learning_rates.items():
            if re.search(pattern, name):
                return rate
        return self.stage.learning_rate

    def zero(self) -> None:
        for tensor in (*self.parameters, *self.masters):
            tensor.grad = None

    def collect(self) -> None:
        """After each micro-batch's backward pass: add its gradients to the float32 sums."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if parameter is not master and parameter.grad is not None:
                gradient = parameter.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                parameter.grad = None

    def without_gradient(self) -> list[str]:
        """Names of the parameters that no micro-batch so far gave a gradient."""
        return [name for name, master in zip(self.names, self.masters, strict=True) if master.grad is None]

    def norm(self, divisor: float) -> float:
        """Divide the summed gradients; their norm comes back, for whoever decides whether to ``step``."""
        for master in self.masters:
            if master.grad is None:  # this process had no row
                master.grad = torch.zeros_like(master)
        whole_ones, spread = [[master.grad for master in kind if master.grad is not None] for kind in self.kinds]
        self.processes.sum(whole_ones)
        norms = []
        for gradients in filter(None, (whole_ones, spread)):
            torch._foreach_div_(gradients, divisor)
            norms.append(full(nn.utils.get_total_norm(gradients)))
        return float(torch.stack(norms).norm())

    def step(self, step: int, norm: float) -> float:
        """Clip gradients of this `norm`, update. Returns the highest learning rate."""
        if norm > self.stage.clip:
            for kind in self.kinds:
                if gradients := [master.grad for master in kind if master.grad is not None]:
                    torch._foreach_mul_(gradients, self.stage.clip / norm)
        for group in self.adamw.param_groups:
            group["lr"] = group["base"] * schedule(self.stage, step)
        self.adamw.step()
        with torch.no_grad():
            for parameter, master in zip(self.parameters, self.masters, strict=True):
                if parameter is not master:
                    parameter.copy_(master)
        return max(group["lr"] for group in self.adamw.param_groups)

    def state(self) -> dict[str, Any]:
        """Whole tensors on the CPU, whatever the number of processes; all of them must ask."""
        masters = {
            name: whole(master)
            for name, parameter, master in zip(self.names, self.parameters, self.masters, strict=True)
            if master is not parameter
        }
        names = {id(master): name for name, master in zip(self.names, self.masters, strict=True)}
        moments = {
            names[id(master)]: {key: whole(value) for key, value in entry.items()} for master, entry in self.adamw.state.items()
        }
        return {"moments": moments, "masters": masters}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        for name, parameter, master in zip(self.names, self.parameters, self.masters, strict=True):
            if master is not parameter:
                master.copy_(like(state["masters"][name], master))
                parameter.copy_(master)
        names = {id(master): name for name, master in zip(self.names, self.masters, strict=True)}
        ordered = [master for group in self.adamw.param_groups for master in group["params"]]
        moments = {
            place: {
                key: like(value, master) if value.dim() else value
                for key, value in state["moments"].get(names[id(master)], {}).items()
            }
            for place, master in enumerate(ordered)
        }
        self.adamw.load_state_dict(self.adamw.state_dict() | {"state": {k: v for k, v in moments.items() if v}})
