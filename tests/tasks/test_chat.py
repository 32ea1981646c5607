"""A chat's rows are what ``apply_chat_template`` makes of the turns, up to the end of the assistant's."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from chats import CHATML, ENDS, HEADERS, MARKS, TEMPLATES, UNCLOSED, byte_tokenizer
from task_helpers import task_of
from test_encode import harness

from traitscope.errors import TraitscopeError
from traitscope.tasks import Task
from traitscope.tasks.chat import check_variables, dated
from traitscope.tasks.encode import (
    answer_end,
    answer_opening,
    option_rows,
    prompt_rows,
    prompt_text,
    room_to_generate,
    training_rows,
)
from traitscope.tasks.lengths import evaluation_lengths

ROWS = [
    {"text": "the film was fine", "label": "yes"},
    {"text": "one day", "label": "no"},
    {"text": "two", "label": "yes"},
]
CHOICE = {"choice": ["no", "yes"], "gold": "{{ label }}"}
GENERATE = {"generate": {"gold": "{{ label }}", "max_tokens": 8}}
KINDS = [(name, {}) for name in TEMPLATES] + [("optional thoughts", {"enable_thinking": False})]


def turns_of(task: Task, example: Any, answer: str | None = None) -> list[dict[str, str]]:
    turns = [{"role": role, "content": content} for role, content in example.messages]
    return turns if answer is None else [*turns, {"role": "assistant", "content": answer}]


def until(ids: list[int], end: int) -> list[int]:
    """Up to the last ``end``."""
    return ids[: len(ids) - ids[::-1].index(end)]


@pytest.mark.parametrize("answer", [CHOICE, GENERATE], ids=["choice", "generate"])
@pytest.mark.parametrize(("name", "variables"), KINDS)
def test_training_rows_are_the_templates_own_closed_turn(
    tmp_path: Path, name: str, variables: dict[str, Any], answer: dict[str, Any]
) -> None:
    tokenizer = byte_tokenizer(TEMPLATES[name])
    task = task_of(tmp_path, ROWS, prompt="Is this good? {{ text }}", chat=variables or True, answer=answer)
    end = tokenizer.convert_tokens_to_ids(ENDS[name])
    assert answer_end(task, tokenizer).ids == (end,)
    examples = task.load().eval
    for example, row, asked in zip(
        examples, training_rows(task, examples, tokenizer, None), prompt_rows(task, examples, tokenizer), strict=True
    ):
        turns = turns_of(task, example, example.answer)
        theirs = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False, **variables)
        assert list(row.ids) == until(theirs, end)
        opened = tokenizer.apply_chat_template(
            turns[:-1], tokenize=True, return_dict=False, add_generation_prompt=True, **variables
        )
        assert list(asked.context) == opened
        # Supervised is all that generation is not prompted with.
        common = next((i for i, (a, b) in enumerate(zip(opened, row.ids, strict=False)) if a != b), len(opened))
        assert row.n_prompt == common


@pytest.mark.parametrize(("name", "variables"), KINDS)
def test_options_are_scored_where_the_template_puts_the_answer(
    tmp_path: Path, name: str, variables: dict[str, Any]
) -> None:
    tokenizer = byte_tokenizer(TEMPLATES[name])
    task = task_of(tmp_path, ROWS, prompt="Is this good? {{ text }}", chat=variables or True, answer=CHOICE)
    examples = task.load().eval
    end = tokenizer.convert_tokens_to_ids(ENDS[name])
    for example, row in zip(examples, option_rows(task, examples, tokenizer), strict=True):
        for option, ids in zip(example.options, row.options[:-1], strict=True):
            theirs = tokenizer.apply_chat_template(
                turns_of(task, example, option), tokenize=True, return_dict=False, **variables
            )
            assert [*row.context, *ids, end] == until(theirs, end)
        assert row.options[-1] == (*row.options[example.gold], end)
        assert "think" not in tokenizer.decode([i for ids in row.options for i in ids])


@pytest.mark.parametrize("name", ["chatml", "headers", "renamed", "two ends"])
def test_options_are_split_as_the_harness_splits_them(tmp_path: Path, name: str) -> None:
    # The harness adds <s> to a chat that does not start with it, where the template does not: a tokenizer without.
    tokenizer = byte_tokenizer(TEMPLATES[name])
    if "bos_token" not in TEMPLATES[name]:
        tokenizer.backend_tokenizer.post_processor = None
    task = task_of(tmp_path, ROWS, prompt="Is this good? {{ text }}", chat=True, answer=CHOICE)
    examples = task.load().eval
    for example, row in zip(examples, option_rows(task, examples, tokenizer), strict=True):
        opened = tokenizer.apply_chat_template(turns_of(task, example), tokenize=False, add_generation_prompt=True)
        for option, ids in zip(example.options, row.options[:-1], strict=True):
            assert harness(tokenizer)._encode_pair(opened, option) == (list(row.context), list(ids))


@pytest.mark.parametrize("special", [True, False])
def test_an_end_that_only_the_tokenizers_file_knows_is_found(tmp_path: Path, special: bool) -> None:
    tokenizer = byte_tokenizer(CHATML, special=special)
    assert "<|im_end|>" not in tokenizer.all_special_tokens
    end = answer_end(task_of(tmp_path, ROWS, chat=True, answer=CHOICE), tokenizer)
    assert (end.ids, end.text, end.closed) == ((tokenizer.convert_tokens_to_ids("<|im_end|>"),), None, True)


def test_an_end_of_several_plain_tokens_is_a_stop_text_and_is_trained_whole(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(CHATML, marks=[])
    task = task_of(tmp_path, ROWS, chat=True, answer=CHOICE)
    end = answer_end(task, tokenizer)
    assert end.text == end.shown == "<|im_end|>" and len(end.ids) > 1
    (example,) = task.load().train
    (row,) = training_rows(task, [example], tokenizer, None)
    theirs = tokenizer.apply_chat_template(turns_of(task, example, example.answer), tokenize=True, return_dict=False)
    assert list(row.ids) == theirs[: len(row.ids)]
    assert tokenizer.decode(row.ids[row.n_prompt :]) == f"{example.answer}<|im_end|>"


def test_a_template_that_closes_no_turn_ends_with_the_end_of_sequence(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(UNCLOSED)
    task = task_of(tmp_path, ROWS, chat=True, answer=CHOICE)
    end = answer_end(task, tokenizer)
    assert (end.ids, end.text, end.closed) == ((1,), None, False)
    (example,) = task.load().train
    (row,) = training_rows(task, [example], tokenizer, None)
    theirs = tokenizer.apply_chat_template(turns_of(task, example, example.answer), tokenize=False).rstrip("\n")
    assert list(row.ids) == [*tokenizer.encode(theirs, add_special_tokens=False), 1]


def test_an_answer_with_thoughts_of_its_own_is_what_the_template_makes_of_it(tmp_path: Path) -> None:
    rows = [{"text": t, "label": f"<think>\n{t}?\n</think>\n\n7"} for t in ("one", "two", "three")]
    for name in ("optional thoughts", "opened thoughts"):
        tokenizer = byte_tokenizer(TEMPLATES[name])
        task = task_of(tmp_path, rows, prompt="{{ text }}", chat=True, answer=GENERATE)
        (example,) = task.load().train
        (row,) = training_rows(task, [example], tokenizer, None)
        theirs = tokenizer.apply_chat_template(
            turns_of(task, example, example.answer), tokenize=True, return_dict=False
        )
        assert list(row.ids) == until(theirs, tokenizer.convert_tokens_to_ids(ENDS[name]))


def test_earlier_turns_and_solved_examples_are_rendered_by_the_template(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(TEMPLATES["optional thoughts"])
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ text }}?"}]
    task = task_of(tmp_path, ROWS, messages=messages, chat={"enable_thinking": False}, answer=CHOICE,
                   shots={"n": 1}, data={"train": 2, "eval": 1})  # fmt: skip
    (example,) = task.load().eval
    assert [role for role, _ in example.messages] == ["system", "user", "assistant", "user"]
    (row,) = training_rows(task, [example], tokenizer, None)
    theirs = tokenizer.apply_chat_template(
        turns_of(task, example, example.answer), tokenize=True, return_dict=False, enable_thinking=False
    )
    assert list(row.ids) == until(theirs, tokenizer.convert_tokens_to_ids("<|im_end|>"))
    assert tokenizer.decode(row.ids).count("<think>") == 1


def test_the_day_is_the_tasks_and_not_the_days(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(HEADERS)
    config = task_of(tmp_path, ROWS, chat=True, answer=CHOICE).config
    days = [Task("t", config, tmp_path, date=day) for day in (date(2020, 2, 3), date.today(), None)]
    (example,) = days[0].load().train
    old, today, free = (prompt_text(task, example, tokenizer) for task in days)
    assert "Today is 03 Feb 2020." in old
    assert (
        today
        == free
        == tokenizer.apply_chat_template(turns_of(days[0], example), tokenize=False, add_generation_prompt=True)
    )
    assert training_rows(days[0], [example], tokenizer, None) != training_rows(days[1], [example], tokenizer, None)


@pytest.mark.parametrize(
    "form",
    ["%d %b %Y", "%A, %B %d, %Y", "%-d/%-m/%y", "%Y-%m-%d %H:%M", "%%Y is %Y", "%c", "day %j", "%e, %k %l %P %r %C %g"],
)
def test_the_stopped_clock_reads_as_pythons(form: str) -> None:
    tokenizer = byte_tokenizer(CHATML)
    template = (
        "  {% macro m() %}{{ strftime_now('"
        + form
        + "') }}{% endmacro %}\n {{ m() }}|{{ strftime_now('"
        + form
        + "') }}\n"
    )
    moment = datetime(2021, 7, 5)
    user = [{"role": "user", "content": "a"}]
    wanted = tokenizer.apply_chat_template(
        user, tokenize=False, chat_template=template.replace(f"strftime_now('{form}')", f"'{moment.strftime(form)}'")
    )
    found = tokenizer.apply_chat_template(user, tokenize=False, chat_template=dated(template, moment.date()))
    assert found == wanted


def test_a_variable_that_the_template_does_not_know_is_refused(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(TEMPLATES["optional thoughts"])
    check_variables(task_of(tmp_path, ROWS, chat={"enable_thinking": False}, answer=CHOICE), tokenizer)
    task = task_of(tmp_path, ROWS, chat={"enable_thinkng": False}, answer=CHOICE)
    with pytest.raises(TraitscopeError, match=r"no variable 'enable_thinkng'.*\n.*did you mean 'enable_thinking'"):
        check_variables(task, tokenizer)


def test_what_is_set_for_every_prompt_is_no_variable(tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError, match="'tokenize' is no variable of a chat template"):
        task_of(tmp_path, ROWS, chat={"tokenize": True}, answer=CHOICE)


def test_what_stands_behind_a_turn_may_depend_on_the_answer_and_prompts_may_hold_any_word(tmp_path: Path) -> None:
    behind = "{% if not add_generation_prompt %}{{ messages[-1].content | length }} characters{% endif %}"
    tokenizer = byte_tokenizer(CHATML + behind)
    rows = [{**row, "text": f"a sentinel: {row['text']}"} for row in ROWS]
    task = task_of(tmp_path, rows, prompt="{{ text }}", chat=True, answer=CHOICE)
    examples = task.load().eval
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for example, row, scored in zip(
        examples, training_rows(task, examples, tokenizer, None), option_rows(task, examples, tokenizer), strict=True
    ):
        turns = turns_of(task, example, example.answer)
        wanted = until(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False), end)
        assert list(row.ids) == [*scored.context, *scored.options[-1]] == wanted
        assert [*scored.context, *scored.options[example.gold], end] == wanted
        assert [tokenizer.decode(ids).strip() for ids in scored.options[:-1]] == ["no", "yes"]


def test_a_template_that_leaves_out_or_alters_the_answer_is_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, ROWS, chat=True, answer=CHOICE)
    mute = "{% for m in messages %}{{ m.content if m.role == 'user' }}{% endfor %}"
    loud = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    for template, what in ((mute, "leaves out"), (loud, "alters")):
        with pytest.raises(TraitscopeError, match=f"{what} what the assistant says"):
            training_rows(task, task.load().train, byte_tokenizer(template, marks=MARKS), None)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("thinking", [True, False])
def test_what_the_template_says_before_every_answer_is_not_part_of_it(
    tmp_path: Path, special: bool, thinking: bool
) -> None:
    """What an adapter learns to say behind the generation prompt: the opening, the answer, its end."""
    tokenizer = byte_tokenizer(TEMPLATES["optional thoughts"], special=special)
    variables = {} if thinking else {"enable_thinking": False}
    task = task_of(tmp_path, ROWS, prompt="{{ text }}", chat=variables or True, answer=GENERATE)
    opening = answer_opening(task, tokenizer)
    assert tokenizer.decode(opening) == ("<think>\n\n</think>\n\n" if thinking else "")
    # The positions of a model must hold it too.
    assert room_to_generate(task, tokenizer) == task.config.answer.generate.max_tokens + len(opening)
    lengths = evaluation_lengths(task, task.load().eval, tokenizer)
    asked = prompt_rows(task, task.load().eval, tokenizer)
    for length, row in zip(lengths, asked, strict=True):
        assert length.total >= len(row.context) + room_to_generate(task, tokenizer)
    examples = task.load().eval
    for example, row, asked in zip(
        examples, training_rows(task, examples, tokenizer, None), prompt_rows(task, examples, tokenizer), strict=True
    ):
        learnt = list(row.ids)[len(asked.context) :]
        assert learnt[: len(opening)] == list(opening)
        assert tokenizer.decode(learnt[len(opening) : -1]) == example.answer
