"""The processes of one run: alone, or several under ``torchrun`` or ``accelerate launch``, each on its own GPU or CPU.

Every process holds the whole model and computes its share of each step's rows; gradients are summed before each optimiser step,
so that the result is a single process's. (torch's DistributedDataParallel averages them and wants equally many micro-batches in
every process; the sum over all target tokens, divided once, needs neither.) With ``shard`` no process holds the whole model:
FSDP spreads weights, gradients and optimiser over them.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from engine.model import SpeechLLM, pick_device

T = TypeVar("T")
BUCKET = 2**25  # numbers that one all-reduce takes


class Processes:
    """This process's place among those of the run; with one process, every method does nothing but hand back."""

    def __init__(self, device: str = "auto", shard: bool = False) -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.shard = (shard or os.environ.get("ACCELERATE_USE_FSDP") == "true") and self.world > 1
        self.device = pick_device(device)
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(self.device)
        self._mesh: DeviceMesh | None = None
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Every process's value, in order of rank."""
        if self.world == 1:
            return [value]
        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def together(self, work: Callable[[], T]) -> list[T]:
        """Every process's result, in order of rank; what goes wrong in one of them is raised in all."""
        if self.world == 1:
            return [work()]
        result, problem = None, None
        try:
            result = work()
        except Exception as error:
            problem = error
        outcomes = self.gather((result, problem))
        for _, failed in outcomes:
            if failed is not None:
                raise failed
        return [found for found, _ in outcomes]  # type: ignore[misc]

    def on_first(self, work: Callable[[], T]) -> T | None:
        """Run in the first process while the others wait; what goes wrong there is raised in all of them."""
        if self.world == 1:
            return work()
        result, problem = None, None
        if self.first:
            try:
                result = work()
            except Exception as error:
                problem = error
        problem = self.gather(problem)[0]
        if problem is not None:
            raise problem
        return result

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype by their sums over all processes."""
        if self.world == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def spread(self, root: nn.Module, llm: nn.Module) -> None:
        """Shard the LLM below ``root`` over the processes (FSDP): each block of its layer lists, then what remains of it.

        Encoder and connector stay whole in every process: they are small, and encode different rows at different times.
        """
        own = set(llm.parameters())
        others = {parameter for parameter in root.parameters() if parameter not in own}
        mesh = self._mesh = init_device_mesh(self.device.type, (self.world,))
        blocks = [block for module in llm.modules() if isinstance(module, nn.ModuleList) for block in module]
        policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
        for module in [*reversed(blocks), root]:
            fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params=others, reshard_after_forward=True)
            assert isinstance(module, FSDPModule)
            module.set_gradient_divide_factor(1.0)  # a sum over the processes, as without sharding
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other

    def memory(self) -> int:
        """Bytes: the most that this process held on the GPU, or holds on the CPU."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return int(psutil.Process().memory_info().rss)

    def part(self) -> None:
        """End the processes' talk, all at once: one that went before the others would break their connections."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()
        if self._mesh is not None:
            # DTensor's caches keep the mesh, and that the group with its threads: where those outlive Python, the process aborts
            gc.collect()
            getattr(self._mesh, "_pg_registry", {}).clear()


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be spread over the processes; all of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A copy of the whole of a tensor on the CPU; all processes must ask."""
    return full(tensor.detach()).to("cpu", copy=True)


def like(value: Tensor, model: Tensor) -> Tensor:
    """``value`` on the device of ``model``, and spread as that is."""
    if isinstance(model, DTensor):
        return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)
    return value.to(model.device)


@contextmanager
def gathered(model: SpeechLLM) -> Iterator[None]:
    """Whole tensors in place of the spread ones that a checkpoint holds, for as long as it takes to write it."""
    spread = [
        (module, name, value, full(value))
        for prefix, module in model.named_modules()
        for name, value in module.named_parameters(recurse=False)
        if isinstance(value, DTensor) and not model.is_base(f"{prefix}.{name}")
    ]
    for module, name, _, tensor in spread:
        setattr(module, name, nn.Parameter(tensor, requires_grad=False))
    try:
        yield
    finally:
        for module, name, value, _ in spread:
            setattr(module, name, value)


def _buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if not buckets or tensor.numel() > room:
            buckets.append([])
            room = BUCKET
        buckets[-1].append(tensor)
        room -= tensor.numel()
    return buckets
