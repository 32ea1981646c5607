"""What a tokenizer puts behind every text by itself is no part of a prompt, an option or an answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chats import CHATML, byte_tokenizer
from task_helpers import task_of
from test_encode import PAIRS, harness

from traitscope.errors import TraitscopeError
from traitscope.tasks.encode import (
    added_behind,
    encode_pair,
    encode_text,
    option_rows,
    prompt_rows,
    training_rows,
)

ROWS = [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(4)]


def llama(**options: Any) -> Any:
    """The Llama tokenizer class (SentencePiece's spaces) over a tiny vocabulary."""
    from transformers import LlamaTokenizer

    letters = sorted({c for prompt, answer in PAIRS for c in f"{prompt}{answer}row0123456789" if c.isalnum()})
    words = ["<unk>", "<s>", "</s>", "▁", *letters, ":", "\n", "\t", "-", ",", ".", "(", ")", "+"]
    return LlamaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], **options)


def ended_by_separator() -> Any:
    """``[CLS]`` in front and ``[SEP]`` behind, which is no end-of-sequence token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for pair in PAIRS for word in "".join(pair).split()})
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "[CLS]", "[SEP]", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="[CLS]", eos_token="[UNK]", sep_token="[SEP]", unk_token="[UNK]"
    )


def pairs_of_both() -> dict[str, tuple[Any, Any]]:
    """Tokenizers that append something, each beside its twin that does not."""
    separated, plain = ended_by_separator(), ended_by_separator()
    from tokenizers.processors import TemplateProcessing

    plain.backend_tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    return {
        "byte level": (byte_tokenizer(CHATML, ends=True), byte_tokenizer(CHATML)),
        "sentencepiece": (llama(add_bos_token=True, add_eos_token=True), llama(add_bos_token=True)),
        "no first token": (llama(add_bos_token=False, add_eos_token=True), llama(add_bos_token=False)),
        "separator": (separated, plain),
    }


@pytest.fixture(scope="module")
def both() -> dict[str, tuple[Any, Any]]:
    return pairs_of_both()


KINDS = ["byte level", "sentencepiece", "no first token", "separator"]


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_those_of_the_harness_without_the_appended_token(both: Any, kind: str) -> None:
    appending, plain = both[kind]
    assert appending.encode("row")[-1] != plain.encode("row")[-1]
    theirs = harness(plain).loglikelihood([SimpleNamespace(args=pair) for pair in PAIRS], disable_tqdm=True)
    compared = 0
    for pair, (context, continuation) in zip(PAIRS, theirs, strict=True):
        if continuation:
            assert encode_pair(appending, *pair) == (context, continuation), pair
            compared += 1
        else:
            with pytest.raises(TraitscopeError, match="no token of its own"):
                encode_pair(appending, *pair)
    assert compared >= 6
    # What the harness makes of such a tokenizer: every option ends in, or is, the appended token.
    spoilt = harness(appending)._encode_pair("The film was good\nSentiment:", " positive")
    assert spoilt[0][-1] == spoilt[1][-1] == appending.encode("row")[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_one_end_and_it_stands_last(both: Any, kind: str, tmp_path: Path) -> None:
    appending, plain = both[kind]
    task = task_of(tmp_path, ROWS, shots={"n": 1}, data={"train": 2, "eval": 2})
    generate = task_of(tmp_path, ROWS, answer={"generate": {"gold": " {{ label }}"}}, data={"train": 2, "eval": 2})
    for one in (task, generate):
        examples = one.load().eval
        assert training_rows(one, examples, appending, None) == training_rows(one, examples, plain, None)
        assert option_rows(one, examples, appending) == option_rows(one, examples, plain)
        assert prompt_rows(one, examples, appending) == prompt_rows(one, examples, plain)
    behind = appending.encode("row")[-1]
    for row in training_rows(task, task.load().eval, appending, None):
        assert row.ids[-1] == appending.eos_token_id
        assert row.ids[:-1].count(behind) == 0


def test_an_end_that_the_text_itself_writes_stays(both: Any) -> None:
    appending, plain = both["byte level"]
    assert encode_text(appending, "yes</s>") == plain.encode("yes</s>") == [*plain.encode("yes"), 1]


def test_what_is_appended_is_known(both: Any, tokenizers: dict[str, Any]) -> None:
    assert [added_behind(both[kind][0]) for kind in KINDS] == [[1], [2], [2], [2]]
    assert [added_behind(tokenizer) for tokenizer in tokenizers.values()] == [[], [], [], []]
