"""Log-likelihoods of answers of several tokens under ten adapters: lm-evaluation-harness' HFLM, ``score_options``.

Both sides start from the same texts, so that encoding counts on both. The peer switches the adapters of one PeftModel
and uses the batch size that is fastest on a sample; it is timed on some of the adapters, and its time per adapter is
multiplied. HFLM runs the adapter unmerged, as lm-evaluation-harness' ``peft=`` option loads it; a second row has PEFT
merge it first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import harness, peers
from benchmarks.harness import Report, Span, faster, measured
from benchmarks.models import Choice, Pair, choices, embedded_pair, random_adapters
from traitscope.engine import Adapter, Bank, Base, LoraSpec, score_options
from traitscope.records import OptionRow
from traitscope.tasks.encode import encode_pair

SPEC = LoraSpec(8, 16.0)


@dataclass(frozen=True)
class Sizes:
    """``peer_adapters`` of the ``adapters`` are timed with the peer; ``probe`` examples choose its batch size."""

    adapters: int = 10
    peer_adapters: int = 2
    examples: int = 200
    options: int = 4
    shots: int = 5
    shot_examples: int = 100
    probe: int = 32
    batch_sizes: tuple[int, ...] = (4, 8, 16, 32, 64)


SIZES = {
    "default": Sizes(),
    "full": Sizes(peer_adapters=10, examples=500, shot_examples=200),
    "tiny": Sizes(
        adapters=2, peer_adapters=1, examples=6, options=3, shots=1, shot_examples=6, probe=2, batch_sizes=(4, 8)
    ),
}


def rows_of(base: Base, examples: Sequence[Choice]) -> list[OptionRow]:
    """Token rows by the rule that lm-evaluation-harness uses."""
    rows = []
    for example in examples:
        pairs = [encode_pair(base.tokenizer, example.context, option) for option in example.options]
        rows.append(OptionRow(tuple(pairs[0][0]), tuple(tuple(rest) for _, rest in pairs)))
    return rows


def ours(base: Base, adapters: dict[str, Adapter], examples: Sequence[Choice]) -> tuple[Span, dict[str, np.ndarray]]:
    """All adapters; the summed log-likelihoods of every option, one array per adapter."""
    with Bank(base, adapters) as bank:
        score_options(bank, rows_of(base, examples[:4]))
    with measured() as span, Bank(base, adapters) as bank:
        found = score_options(bank, rows_of(base, examples))
    sums = {name: np.array([option.sum() for row in rows for option in row]) for name, rows in found.items()}
    return span, sums


def pairs_of(examples: Sequence[Choice]) -> list[tuple[str, str]]:
    return [(example.context, option) for example in examples for option in example.options]


def theirs(
    lm: peers.Harness, names: Sequence[str], examples: Sequence[Choice], mine: dict[str, np.ndarray], merged: bool
) -> tuple[Span, float]:
    """Some adapters with HFLM: time per adapter, and the largest difference from ours."""
    total, apart = Span(), 0.0
    for name in names:
        with measured() as span:
            lm.model.set_adapter(name)
            if merged:
                lm.model.merge_adapter([name])
            found = lm.loglikelihoods(pairs_of(examples))
        if merged:
            lm.model.unmerge_adapter()
        total += span
        apart = max(apart, float(np.abs(found - mine[name]).max()))
    return total.times(1 / len(names)), apart


def compare(pair: Pair, sizes: Sizes, report: Report) -> None:
    """Both settings: no shots, and the same shots before every example."""
    adapters = random_adapters(pair.base, sizes.adapters, SPEC)
    lm = peers.Harness(peers.peft_model(pair.model, adapters).eval(), pair.tokenizer)
    for shots, n, target in ((0, sizes.examples, 6.0), (sizes.shots, sizes.shot_examples, 15.0)):
        longest = 150 if shots == 0 else 90
        examples = choices(pair.tokenizer, n, n_options=sizes.options, shots=shots, longest=longest)
        span, mine = ours(pair.base, adapters, examples)
        sample = pairs_of(examples[: sizes.probe])
        seconds = lm.find_batch_size(partial(lm.loglikelihoods, sample), sizes.batch_sizes)
        what = f"{n} examples x {sizes.options} options, {shots}-shot"
        names = list(adapters)[: sizes.peer_adapters]
        for merged, chosen in ((False, names), (True, names[:1])):
            peer_span, apart = theirs(lm, chosen, examples, mine, merged)
            peer = "HFLM, adapter merged by PEFT" if merged else "HFLM + PeftModel"
            report.rows.append(
                faster(
                    what, peer, peer_span.times(sizes.adapters), span, target=None if merged else target,
                    equality=f"log-likelihoods {apart:.1e}", batch_size=lm.batch_size, adapters_timed=len(chosen),
                )
            )  # fmt: skip
        rows = rows_of(pair.base, examples)
        context = sum(len(row.context) for row in rows) / n
        option = sum(len(rest) for row in rows for rest in row.options) / n / sizes.options
        report.notes.append(f"{what}: prompts of {context:.0f} tokens and options of {option:.1f}, on average")
        tried = ", ".join(f"{size}: {value:.2f} s" for size, value in seconds.items())
        report.notes.append(f"{what}: HFLM's batch size {lm.batch_size} (on {len(sample)} requests: {tried})")


def run(sizes: Sizes, out: Path) -> Report:
    """The embedded base in fp32."""
    report = Report("score")
    compare(embedded_pair(), sizes, report)
    report.notes.append(
        f"{sizes.adapters} adapters (rank {SPEC.rank}, random), embedded base, fp32; the peer is timed on "
        f"{sizes.peer_adapters} of them (merged: 1) and multiplied; log-likelihoods: largest difference of "
        "any summed option, target 1e-4"
    )
    return report


if __name__ == "__main__":
    harness.main("score", run, SIZES)
