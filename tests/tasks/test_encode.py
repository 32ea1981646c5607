"""Prompts and answers become the tokens that lm-evaluation-harness makes of them, with a stop token behind."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from task_helpers import task_of

from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.tasks.encode import (
    answer_end,
    encode_pair,
    encode_text,
    option_rows,
    prompt_rows,
    training_rows,
)
from traitscope.tasks.lengths import token_counts

KINDS = ["gpt2", "llama", "metaspace", "end-only"]

PAIRS = [
    ("The film was good\nSentiment:", " positive"),
    ("The film was good\nSentiment: ", "positive"),
    ("The film was good\nSentiment:  ", " positive"),
    ("Label:\n", "entailment"),
    ("Label:\t\n ", "entailment"),
    ("def add(a, b):", "\n    return a + b"),
    ("no", "body"),
    ("no", "body sleeps"),
    ("", " positive"),
    ("", "positive"),
    ("Answer:", " 1,000"),
    ("Answer: -", "3.5"),
    ("émile – ", "naïve 😀"),
    ("a" * 50, "a"),
]


def harness(tokenizer: Any) -> Any:
    """lm-evaluation-harness' model class around a tokenizer, which records token pairs instead of scoring them."""
    from lm_eval.models.huggingface import HFLM

    model = object.__new__(HFLM)
    model.tokenizer, model.backend, model.enable_thinking = tokenizer, "causal", False
    model.add_bos_token = model.custom_prefix_token_id = None
    model._loglikelihood_tokens = lambda requests, **_: [(c, k) for _, c, k in requests]
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_split_as_the_harness_splits_them(tokenizers: dict[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    requests = [SimpleNamespace(args=pair) for pair in PAIRS]
    theirs = harness(tokenizer).loglikelihood(requests, disable_tqdm=True)
    compared = 0
    for pair, (context, continuation) in zip(PAIRS, theirs, strict=True):
        if continuation:
            assert encode_pair(tokenizer, *pair) == (context, continuation), pair
            compared += 1
        else:  # "no" + "body" may be one token; the harness would fail on it later
            with pytest.raises(TraitscopeError, match="no token of its own"):
                encode_pair(tokenizer, *pair)
    assert compared >= len(PAIRS) - 2


@pytest.mark.parametrize("kind", KINDS)
def test_texts_that_start_with_the_first_token_get_no_second_one(tokenizers: dict[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    first = tokenizer.decode(tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id)
    for text in (first + "The film", "The film", first + first + " was"):
        assert encode_text(tokenizer, text) == harness(tokenizer).tok_encode(text)
    context, _ = encode_pair(tokenizer, first + "The film", " was")
    assert context.count(context[0]) == 1


def test_a_hand_worked_split(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["llama"]
    label, space_positive = tokenizer.encode("Label:")[1:], tokenizer.encode(" positive")[1:]
    assert encode_pair(tokenizer, "Label: ", "positive") == ([0, *label], space_positive)
    assert encode_pair(tokenizer, "", " positive") == ([0], space_positive)


def test_a_prompt_of_white_space_is_an_empty_one(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["gpt2"]
    assert encode_pair(tokenizer, " ", "positive") == encode_pair(tokenizer, "", " positive")


def test_an_answer_that_vanishes_into_the_prompt_is_refused(tokenizers: dict[str, Any]) -> None:
    with pytest.raises(TraitscopeError, match="has no token of its own"):
        encode_pair(tokenizers["gpt2"], "film", "")


def test_a_tokenizer_without_any_end_is_refused(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    task = task_of(tmp_path, [{"text": "a", "label": "no"}, {"text": "b", "label": "yes"}])
    bare = SimpleNamespace(bos_token_id=None, eos_token_id=None, chat_template=None)
    with pytest.raises(TraitscopeError, match="no end-of-sequence token"):
        answer_end(task, bare)  # type: ignore[arg-type]
    with pytest.raises(TraitscopeError, match="neither a beginning"):
        encode_pair(bare, "", "a")  # type: ignore[arg-type]


@pytest.fixture
def yes_no(tmp_path: Path) -> Any:
    return task_of(tmp_path, [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(6)], overlong="cut")


def test_training_rows_end_in_answer_and_stop_and_train_both(tokenizers: dict[str, Any], yes_no: Any) -> None:
    tokenizer = tokenizers["gpt2"]
    (example,) = yes_no.load().train
    (row,) = training_rows(yes_no, [example], tokenizer, 64)
    assert row.ids[row.n_prompt :] == (*tokenizer.encode(example.answer), tokenizer.eos_token_id)
    assert tokenizer.decode(row.ids[: row.n_prompt]) == example.prompt


def test_option_rows_hold_every_option_and_the_gold_one_with_its_stop(tokenizers: dict[str, Any], yes_no: Any) -> None:
    tokenizer = tokenizers["llama"]
    examples = yes_no.load().eval
    for example, row in zip(examples, option_rows(yes_no, examples, tokenizer), strict=True):
        assert row.options[:2] == tuple(tuple(encode_pair(tokenizer, example.prompt, o)[1]) for o in example.options)
        assert row.options[2] == (*row.options[example.gold], tokenizer.eos_token_id)
        assert row.context[0] == tokenizer.bos_token_id


def test_the_training_row_is_the_gold_option_row(tokenizers: dict[str, Any], yes_no: Any) -> None:
    for kind in KINDS:
        examples = yes_no.load().eval
        trained = training_rows(yes_no, examples, tokenizers[kind], 64)
        scored = option_rows(yes_no, examples, tokenizers[kind])
        assert [r.ids for r in trained] == [r.context + r.options[-1] for r in scored]


def test_the_loss_form_starts_from_the_prefix_token(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    task = task_of(tmp_path, [{"text": "one"}, {"text": "two tabs"}], answer={"loss": "{{ text }}"}, prompt=None)
    (example,) = task.load().eval
    (row,) = option_rows(task, [example], tokenizers["llama"])
    assert row.context == (0,)
    assert row.options == ((*tokenizers["llama"].encode(example.answer)[1:], 1),)


def long_example(task: Any) -> Example:
    (example,) = task.load().train
    return Example(example.id, "start " + "middle " * 40 + "end:", example.answer, example.options, example.gold)


def test_overlong_prompts_lose_their_middle_and_nothing_else(tokenizers: dict[str, Any], yes_no: Any) -> None:
    tokenizer = tokenizers["llama"]
    example = long_example(yes_no)
    (whole,) = training_rows(yes_no, [example], tokenizer, 10_000)
    (cut,) = training_rows(yes_no, [example], tokenizer, 21)
    n_answer = len(whole.ids) - whole.n_prompt
    assert len(cut.ids) == 21 and cut.n_prompt == 21 - n_answer
    head = (cut.n_prompt + 1) // 2
    assert cut.ids[:head] == whole.ids[:head]
    assert cut.ids[head:] == whole.ids[len(whole.ids) - (21 - head) :]
    counts = token_counts(yes_no, [example], tokenizer, 21)
    assert (counts.overlong, counts.prompt, counts.answer, counts.longest) == (
        1,
        cut.n_prompt,
        n_answer,
        len(whole.ids),
    )


def test_an_answer_is_never_cut(tokenizers: dict[str, Any], yes_no: Any) -> None:
    with pytest.raises(TraitscopeError, match="leaves no room for a prompt in 2"):
        training_rows(yes_no, [long_example(yes_no)], tokenizers["gpt2"], 2)


def test_overlong_prompts_are_refused_unless_the_study_says_otherwise(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    rows = [{"text": "a", "label": "no"}, {"text": "b", "label": "yes"}]
    task = task_of(tmp_path, rows)
    with pytest.raises(TraitscopeError, match=r"the prompt has \d+ tokens, and \d+ fit"):
        option_rows(task, [long_example(task)], tokenizers["gpt2"], 20)


def test_prompt_rows_leave_room_for_the_answer(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    answer = {"generate": {"gold": "{{ text }}", "max_tokens": 5}}
    task = task_of(
        tmp_path,
        [{"text": "word " * 50}, {"text": "word"}],
        answer=answer,
        data={"train": 0, "eval": 2},
        overlong="cut",
    )
    rows = prompt_rows(task, task.load().eval, tokenizers["llama"], 30)
    assert max(len(r.context) for r in rows) == 25


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "{{ text }}"},
]


def test_chat_prompts_carry_one_first_token_and_end_where_the_answer_starts(
    tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    tokenizer = tokenizers["llama"]
    rows = [{"text": "row one", "label": "no"}, {"text": "row two", "label": "yes"}]
    task = task_of(tmp_path, rows, messages=CHAT, answer={"choice": ["no", "yes"], "gold": "{{ label }}"})
    (example,) = task.load().eval
    (row,) = option_rows(task, [example], tokenizer)
    shown = f"<s><|system|>\nBe brief.<|end|>\n<|user|>\n{example.messages[1][1]}<|end|>\n<|assistant|>\n"
    assert tokenizer.decode(row.context + row.options[example.gold]) == shown + example.answer
    assert row.context.count(tokenizer.bos_token_id) == 1
    # The template closes a turn with <|end|>, so that is what the adapter learns to stop with.
    assert row.options[-1][-1] == tokenizer.convert_tokens_to_ids("<|end|>")


def test_chat_equals_one_user_turn(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"text": "row one", "label": "no"}, {"text": "row two", "label": "yes"}]
    by_flag = task_of(tmp_path, rows, prompt="{{ text }}?", chat=True)
    by_turns = task_of(tmp_path, rows, messages=[{"role": "user", "content": "{{ text }}?"}])
    for task in (by_flag, by_turns):
        assert task.load().eval[0].messages[0][0] == "user"
    a, b = (option_rows(t, t.load().eval, tokenizers["llama"]) for t in (by_flag, by_turns))
    assert a == b


def test_chat_without_a_template_is_refused(tokenizers: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"text": "row one", "label": "no"}, {"text": "row two", "label": "yes"}]
    task = task_of(tmp_path, rows, chat=True)
    with pytest.raises(TraitscopeError, match="the base's tokenizer has no chat template"):
        option_rows(task, task.load().eval, tokenizers["gpt2"])
