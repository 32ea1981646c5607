"""Training and scoring on one CUDA device, random weights of Llama-3.2-1B's and Llama-3.1-8B's shapes, bf16.

The peers are PEFT + transformers' Trainer and a plain PEFT loop (attention by PyTorch's sdpa kernels, bf16 base, fp32
adapters, batches padded to a multiple of 8), and HFLM on token lists. Without a CUDA device this says so and ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import harness, peers, train
from benchmarks.harness import Report, Span, faster, measured
from benchmarks.models import LLAMA_1B, LLAMA_8B, Pair, Shape, random_adapters, random_pair, random_rows
from traitscope.engine import Bank, LoraSpec, TrainJob, score_options
from traitscope.records import OptionRow
from traitscope.store.models import resolve_model

SPEC = LoraSpec(16, 32.0)


@dataclass(frozen=True)
class Sizes:
    """``models``: name, shape, target of training. ``peer_adapters`` of the ``adapters`` are timed with each peer."""

    models: tuple[tuple[str, Shape, float], ...] = (("Llama-3.2-1B", LLAMA_1B, 6.0), ("Llama-3.1-8B", LLAMA_8B, 2.5))
    device: str = "cuda"
    dtype: str = "bf16"
    adapters: int = 10
    peer_adapters: int = 2
    steps: int = 12
    batch: int = 8
    shortest: int = 50
    longest: int = 500
    examples: int = 100
    options: int = 4
    batch_sizes: tuple[int, ...] = (8, 16, 32, 64)


TINY = Shape(32, 2, 2, 2, 48, 97)
SIZES = {
    "default": Sizes(),
    "full": Sizes(peer_adapters=4, steps=30, examples=300),
    "tiny": Sizes(
        models=(("tiny", TINY, 1.0),), adapters=2, peer_adapters=1, steps=2, batch=2, shortest=8, longest=12,
        examples=4, options=2, batch_sizes=(4,),
    ),
}  # fmt: skip


def training(name: str, pair: Pair, sizes: Sizes, target: float, report: Report) -> None:
    """As on the CPU, in ``train.compare``."""
    jobs = []
    for i in range(sizes.adapters):
        rows = random_rows(
            sizes.steps * sizes.batch, pair.base.vocab_size, sizes.shortest, sizes.longest,
            answer=2 if i % 10 < 7 else 0.5, seed=i,
        )  # fmt: skip
        jobs.append(TrainJob(f"a{i}", rows, SPEC, 2e-4, warmup=0.1, batch=sizes.batch, seed=i))
    table, line = train.compare(f"train, {name} shape", pair, jobs, sizes.peer_adapters, sizes.dtype, target)
    report.rows += table
    report.notes.append(line)


def scoring(name: str, pair: Pair, sizes: Sizes, report: Report) -> None:
    """Options of eight tokens behind prompts of the rows' lengths, as tokens on both sides."""
    from transformers import AutoTokenizer

    rng = np.random.default_rng(0)
    vocabulary = pair.base.vocab_size
    rows = []
    for row in random_rows(sizes.examples, vocabulary, sizes.shortest, sizes.longest, answer=1, seed=99):
        options = rng.integers(3, vocabulary, (sizes.options, 8))
        rows.append(OptionRow(row.ids, tuple(tuple(int(i) for i in option) for option in options)))
    adapters = random_adapters(pair.base, sizes.adapters, SPEC, size=0.005)
    with Bank(pair.base, adapters) as bank:
        score_options(bank, rows[:4])
        with measured() as span:
            found = score_options(bank, rows)
    # HFLM wants some tokenizer; it is not used for requests that are tokens already.
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("embedded"), trust_remote_code=False)
    lm = peers.Harness(peers.peft_model(pair.model, adapters).eval(), tokenizer)
    pairs = [(row.context, option) for row in rows for option in row.options]
    sample = pairs[: 16 * sizes.options]
    lm.find_batch_size(lambda: lm.token_loglikelihoods(sample), sizes.batch_sizes)
    total, apart = Span(), 0.0
    names = list(adapters)[: sizes.peer_adapters]
    for adapter in names:
        lm.model.set_adapter(adapter)
        with measured() as one:
            wanted = lm.token_loglikelihoods(pairs)
        total += one
        mine = np.array([option.sum() for row in found[adapter] for option in row])
        apart = max(apart, float(np.abs(wanted - mine).max()))
    report.rows.append(
        faster(
            f"score, {name} shape, {len(rows)} examples x {sizes.options} options", "HFLM + PeftModel",
            total.times(sizes.adapters / len(names)), span, target=None,
            equality=f"log-likelihoods {apart:.1e} ({sizes.dtype})", batch_size=lm.batch_size,
        )
    )  # fmt: skip


def run(sizes: Sizes, out: Path) -> Report:
    """Every model in turn."""
    report = Report("gpu")
    if sizes.device == "cuda" and not torch.cuda.is_available():
        report.notes.append("no CUDA device here: not run")
        return report
    for name, shape, target in sizes.models:
        pair = random_pair(shape, sizes.dtype, sizes.device)
        training(name, pair, sizes, target, report)
        scoring(name, pair, sizes, report)
        del pair
        if sizes.device == "cuda":
            report.details[name] = {"peak_bytes": torch.cuda.max_memory_allocated()}
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    report.notes.append(
        f"{sizes.adapters} adapters (rank {SPEC.rank}), rows of {sizes.shortest}-{sizes.longest} tokens, "
        f"{sizes.steps} steps x {sizes.batch} rows, {sizes.dtype}; the peers are timed on "
        f"{sizes.peer_adapters} adapters and multiplied"
    )
    return report


if __name__ == "__main__":
    harness.main("gpu", run, SIZES)
