"""How much fits: slots and tokens per pass from the model's shape and the free memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from traitscope.engine.base import Base
from traitscope.engine.linear import original_linear, shape_of
from traitscope.engine.loss import logits_at_once
from traitscope.errors import TraitscopeError, check_count

if TYPE_CHECKING:
    from traitscope.engine.jobs import TrainJob

# Beyond these a pass gains nothing: the matrix products are saturated (docs/performance.md).
CPU_TRAIN_TOKENS = 4096
CPU_SCORE_TOKENS = 2048
GPU_TRAIN_TOKENS = 32768
GPU_SCORE_TOKENS = 16384
# Keys and values of the rows being generated, on a CPU and on a GPU: fixed, so that the same rows make the same batches
# whatever else runs on the machine.
CACHE_BYTES = (2 << 30, 16 << 30)
# Share of the free memory that a plan may fill; the rest is for the allocator's fragments and the other processes.
FILL = 0.8


@dataclass(frozen=True)
class Fit:
    """What ``fit_training`` decided."""

    slots: int
    tokens_per_pass: int
    checkpoint_layers: bool
    bytes_per_slot: int
    bytes_per_token: int


def free_bytes(device: torch.device) -> int:
    """Free memory of the device in bytes (the machine's available memory for the CPU)."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        part = torch.cuda.get_per_process_memory_fraction(device)
        # A process that shares the device with others of its run was given a part of it.
        return int(min(free, part * total - torch.cuda.memory_reserved(device)) if part < 1 else free)
    try:
        for line in open("/proc/meminfo"):  # noqa: SIM115, PTH123
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def layer_bytes_per_token(base: Base) -> int:
    """Bytes one decoder layer saves for its backward pass, per token.

    Counted from the shapes: the input of every linear layer is saved once (inputs shared by several layers are
    counted once for each group of equal width), outputs feed element-wise functions that save them again, and the
    norms and the residual stream add about four hidden widths in fp32.
    """
    width = 0
    layer = base.layers[0]
    for module in layer.modules():
        linear = original_linear(module)
        if linear is module and linear is not None:
            d_in, d_out = shape_of(linear)
            width += d_in + 2 * d_out
    size = torch.finfo(base.dtype).bits // 8
    return width * size + 4 * base.hidden_size * 4


def fit_training(
    base: Base, jobs: Sequence[TrainJob], *, slots: int | str = "auto", tokens_per_pass: int | str = "auto"
) -> Fit:
    """Slots and tokens per pass that fit into the free memory of the base's device.

    Raises:
        TraitscopeError: one slot and one row of the longest job do not fit even with recomputation.
    """
    modules = dict(base.model.named_modules())
    item = 8 if base.dtype == torch.float64 else 4
    parameters = 0
    for job in jobs:
        size = 0
        for name in job.spec.resolve(base):
            linear = original_linear(modules[name])
            assert linear is not None
            size += job.spec.rank_of(name) * sum(shape_of(linear))
        parameters = max(parameters, size)
    # Weights, gradient, two moments of AdamW.
    bytes_per_slot = parameters * item * 4
    longest = max(len(row.ids) for job in jobs for row in job.rows)
    wanted = CPU_TRAIN_TOKENS if base.device.type == "cpu" else GPU_TRAIN_TOKENS
    if tokens_per_pass != "auto":
        wanted = int(tokens_per_pass)
    free = int(free_bytes(base.device) * FILL) - logits_at_once(base.device) * 4 * 3
    chosen = len(jobs) if slots == "auto" else min(int(slots), len(jobs))
    per_token = layer_bytes_per_token(base)
    # Layers are computed again under what the last batch of a pass laid out: only passes of one batch can be.
    whole = base.packed or (base.paths.batched and base.sides is None)
    for checkpoint_layers in (False, True) if whole else (False,):
        deep = 2 * base.hidden_size * 4 * base.n_layers + per_token
        bytes_per_token = deep if checkpoint_layers else per_token * base.n_layers
        for count in range(chosen, 0, -1):
            room = (free - count * bytes_per_slot) // bytes_per_token
            # Fewer tokens than a quarter of what saturates the device cost more than recomputation does.
            enough = longest if checkpoint_layers or tokens_per_pass != "auto" else max(longest, wanted // 4)
            if room >= enough:
                return Fit(
                    count,
                    int(max(longest, min(room, wanted))),
                    checkpoint_layers,
                    bytes_per_slot,
                    bytes_per_token,
                )
            if not checkpoint_layers:
                break
    raise TraitscopeError(
        f"training does not fit: {free / 2**30:.1f} GiB free, one slot takes {bytes_per_slot / 2**30:.1f} GiB and "
        f"the longest row ({longest} tokens) {longest * bytes_per_token / 2**30:.1f} GiB",
        where=f"device {base.device}",
        fix="lower recipe.max_tokens or recipe.rank, use dtype bf16, or a device with more memory",
    )


def score_tokens(base: Base, tokens_per_pass: int | str) -> int:
    """Tokens in one scoring pass: what saturates the device, less where memory is short."""
    check_count(tokens_per_pass, "tokens_per_pass", "auto")
    if tokens_per_pass != "auto":
        return int(tokens_per_pass)
    wanted = CPU_SCORE_TOKENS if base.device.type == "cpu" else GPU_SCORE_TOKENS
    # Without gradients only a few activations of one layer live at a time.
    room = int(free_bytes(base.device) * FILL) // (4 * layer_bytes_per_token(base))
    return max(256, min(wanted, room))


def cache_rows(base: Base, length: int) -> int:
    """Rows of ``length`` tokens whose keys and values fit into the cache: a quarter of the free memory at most."""
    per_row = base.paths.kv_width * length * torch.finfo(base.dtype).bits // 8
    return max(1, min(int(free_bytes(base.device) * 0.25), CACHE_BYTES[base.device.type == "cuda"]) // per_row)
