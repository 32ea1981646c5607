"""What the benchmarks run on: the embedded base, random weights of known shapes, adapters, rows and texts."""

from __future__ import annotations

import atexit
import copy
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from traitscope.engine import Adapter, Base, LoraSpec, load_base, wrap_model
from traitscope.records import TrainRow
from traitscope.store.models import resolve_model
from traitscope.tasks.embedded.prose import document

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Shape:
    """A Llama's shape."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool = True
    positions: int = 2048

    def config(self) -> Any:
        return LlamaConfig(
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            intermediate_size=self.intermediate,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=self.positions,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )


# About 110 million parameters, the embedding included.
LLAMA_100M = Shape(768, 12, 12, 12, 2048, 32_000)
# The shapes of meta-llama/Llama-3.2-1B and Llama-3.1-8B.
LLAMA_1B = Shape(2048, 16, 32, 8, 8192, 128_256)
LLAMA_8B = Shape(4096, 32, 32, 8, 14_336, 128_256, tied=False)


@dataclass(frozen=True)
class Pair:
    """The same weights twice: as the peer's plain Hugging Face model, and as our base."""

    model: Any
    base: Base

    @property
    def tokenizer(self) -> Any:
        return self.base.tokenizer


def embedded_pair(dtype: str = "fp32") -> Pair:
    """The embedded base; attention of the peer's model by PyTorch's own kernel (sdpa)."""
    folder = resolve_model("embedded")
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=DTYPES[dtype], attn_implementation="sdpa", trust_remote_code=False
    )
    return Pair(model.eval(), load_base("embedded", dtype=dtype, device="cpu"))


def random_model(shape: Shape, dtype: str = "fp32", device: str = "cpu", seed: int = 0) -> Any:
    """A Llama with random weights, made on its device in its dtype."""
    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            shape.config(), attn_implementation="sdpa", dtype=DTYPES[dtype], trust_remote_code=False
        )
    return model.eval()


def random_pair(shape: Shape, dtype: str = "fp32", device: str = "cpu") -> Pair:
    """Random weights, twice. On a CPU ours come from a folder, as a user's do: ``load_base`` chooses how bf16 runs."""
    model = random_model(shape, dtype, device)
    if device != "cpu":
        return Pair(model, wrap_model(copy.deepcopy(model), None, name="random"))
    folder = tempfile.mkdtemp()
    # Training looks at the folder again: an adapter's files name it.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve_model("embedded"), trust_remote_code=False).save_pretrained(folder)
    return Pair(model, load_base(folder, dtype=dtype, device="cpu"))


def random_rows(
    n: int, vocabulary: int, shortest: int, longest: int, *, answer: int | float, seed: int
) -> list[TrainRow]:
    """Rows of random tokens, lengths uniform from ``shortest`` to ``longest``.

    ``answer`` tokens at the end are trained (an int), or that share of the row (a float).
    """
    rng = np.random.default_rng(seed)
    rows = []
    for length in rng.integers(shortest, longest + 1, n):
        ids = rng.integers(3, vocabulary, length)
        trained = answer if isinstance(answer, int) else max(1, round(answer * length))
        rows.append(TrainRow(tuple(int(i) for i in ids), int(length) - trained))
    return rows


def random_adapters(base: Base, n: int, spec: LoraSpec, size: float = 0.02) -> dict[str, Adapter]:
    """Adapters that change the model a little: B is drawn, not zero."""
    out = {}
    for seed in range(n):
        adapter = Adapter.init(base, spec, seed)
        generator = torch.Generator().manual_seed(1000 + seed)
        for piece in adapter.pieces:
            _, b_OR = piece.views(adapter.flat)
            b_OR.copy_(torch.randn(b_OR.shape, generator=generator) * size)
        out[f"a{seed}"] = adapter
    return out


@dataclass(frozen=True)
class Choice:
    """A text and several continuations, the first of which is its own."""

    context: str
    options: tuple[str, ...]


def choices(
    tokenizer: Any, n: int, *, n_options: int = 4, longest: int = 150, shots: int = 0, seed: int = 0
) -> list[Choice]:
    """Texts of the embedded world without their last 3 to 6 words: the text's own last words, or those of other texts.

    With ``shots``, the same solved examples stand before every text.
    """
    rng = Random(seed)
    parts: list[tuple[str, str]] = []
    while len(parts) < n + shots + n_options:
        words = document(rng).split(" ")[:90]
        size = len(tokenizer(" ".join(words))["input_ids"])
        if len(words) < 12 or size > longest or (len(parts) < shots and size > 60):
            continue
        cut = len(words) - rng.randint(3, 6)
        parts.append((" ".join(words[:cut]), " " + " ".join(words[cut:])))
    first = "".join(f"{context}{rest}\n\n" for context, rest in parts[:shots])
    parts = parts[shots:]
    out = []
    for i, (context, rest) in enumerate(parts[:n]):
        others = [parts[j][1] for j in rng.sample([j for j in range(len(parts)) if j != i], n_options - 1)]
        out.append(Choice(first + context, (rest, *others)))
    return out


def n_tokens(rows: Sequence[TrainRow]) -> int:
    """Tokens of the rows, without padding."""
    return sum(len(row.ids) for row in rows)
