"""Fixtures that several folders of tests use: shared data files and tiny tokenizers made on the spot."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
# What is printed into a test is as wide as it is, whatever the environment says of a terminal.
os.environ.pop("COLUMNS", None)
# The real base is dequantised once for all tests, and not into the user's own cache.
os.environ.setdefault("TRAITSCOPE_CACHE", str(Path(__file__).resolve().parents[1] / "build" / "cache"))

_CORPUS = [
    "The film was good and the acting was bad. Sentiment: positive negative neutral",
    "Question: how many apples does Tom have? Answer: 12 #### 42 and 1,000 or -3.5",
    "Premise: a man sleeps.\nHypothesis: nobody sleeps.\nLabel: entailment contradiction",
    "yes no true false  two  spaces\tand tabs   at the end   ",
    "def add(a, b):\n    return a + b\n",
]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def shared_root() -> Path:
    """The folder with data files and papers that are not part of the repository (it may not exist)."""
    named = os.environ.get("TRAITSCOPE_SHARED")
    return Path(named) if named else Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def real_base() -> Path:
    """The dequantised folder of ``smollm2-135m``; the test is skipped where its package is absent."""
    from traitscope.errors import TraitscopeError
    from traitscope.store.models import resolve_model

    try:
        return Path(resolve_model("smollm2-135m"))
    except TraitscopeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; the test is skipped where it is absent."""
    if not shared_root().is_dir():
        pytest.skip("the shared folder is not here (set TRAITSCOPE_SHARED)")
    return shared_root()


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """The shared folder's data files."""
    return shared / "data"


def _byte_level(extra: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=extra, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_CORPUS * 3, trainer)
    return tokenizer


def _with_first(tokenizer: Any, token: str) -> Any:
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.token_to_id(token))]
    )
    return tokenizer


def _gpt2_like() -> Any:
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=_byte_level([end]), bos_token=end, eos_token=end)


def _llama_like() -> Any:
    from transformers import PreTrainedTokenizerFast

    inner = _with_first(_byte_level(["<s>", "</s>", "<|end|>"]), "<s>")
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=["<|end|>"],
        chat_template=CHAT_TEMPLATE,
    )


def _metaspace_like() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    inner.train_from_iterator(_CORPUS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=_with_first(inner, "<s>"), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _end_only() -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=_byte_level(["<|end|>"]), eos_token="<|end|>")


_MAKERS: dict[str, Callable[[], Any]] = {
    "gpt2": _gpt2_like,
    "llama": _llama_like,
    "metaspace": _metaspace_like,
    "end-only": _end_only,
}


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, Any]:
    """Four tiny tokenizers by kind.

    ``gpt2``: byte-level BPE, adds nothing. ``llama``: byte-level BPE, adds ``<s>``, has a chat template. ``metaspace``:
    as SentencePiece, adds ``<s>``. ``end-only``: has an end token and no first one.
    """
    return {name: make() for name, make in _MAKERS.items()}
