"""docs/recipe.md is true: its tables are the code's own, and every option of other trainers is answered as it says.

``TRAITSCOPE_UPDATE_DOCS=1 pytest tests/tasks/test_recipe_docs.py`` writes the tables anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from test_docs import keys_of, table

from traitscope.config import RecipeConfig, load_config
from traitscope.config.elsewhere import ANSWERS, OPTIONS
from traitscope.config.recipe import MixConfig, RecipeChange, SourceConfig
from traitscope.errors import TraitscopeError

DOC = Path(__file__).resolve().parents[2] / "docs" / "recipe.md"
TASK = """
tasks:
  a:
    data: {path: a.jsonl, train: 1, eval: 1}
    prompt: "{{ text }}"
    answer: {choice: [" x", " y"], gold: "{{ label }}"}
"""


def generated() -> dict[str, str]:
    parts = []
    for title, offered in (("Offered, under another name or always", True), ("Not offered, and why", False)):
        rows = [
            [", ".join(f"`{key}`" for key in option.keys), option.answer]
            for option in OPTIONS
            if option.offered == offered
        ]
        parts.append(f"### {title}\n\n{table(['key', 'answer'], rows)}")
    return {"keys": keys_of(RecipeConfig), "elsewhere": "\n".join(parts)}


@pytest.mark.parametrize("name", ["keys", "elsewhere"])
def test_tables_are_the_codes_own(name: str) -> None:
    text = DOC.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if os.environ.get("TRAITSCOPE_UPDATE_DOCS"):
        text = pattern.sub(lambda m: m[1] + "\n" + generated()[name] + "\n" + m[3], text)
        DOC.write_text(text, encoding="utf-8")
    match = pattern.search(text)
    assert match is not None
    assert match[2].strip() == generated()[name].strip()


@pytest.mark.parametrize("key", list(ANSWERS))
@pytest.mark.parametrize(
    "place", ["recipe: {{{key}: 1}}", "sources: [{{a: {{{key}: 1}}}}]", "mixes: {{all: {{{key}: 1}}}}"]
)
def test_options_of_other_trainers_are_answered_by_name(key: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"study: x\nbase: embedded\n{place.format(key=key)}{TASK}")
    with pytest.raises(TraitscopeError) as caught:
        load_config(path)
    assert caught.value.what == f"unknown key '{key}'"
    assert caught.value.fix == ANSWERS[key]
    assert f"study.yaml:3, key {place.split(':')[0]}" in caught.value.where


def test_answers_name_keys_that_there_are() -> None:
    own = set(RecipeConfig.model_fields)
    assert not own & set(ANSWERS)
    assert sum(len(option.keys) for option in OPTIONS) == len(ANSWERS)
    for option in OPTIONS:
        verb, _, rest = option.answer.partition(" ")
        assert verb in ("write", "remove")
        if verb == "write" and " in base" not in rest:
            assert re.split(r"[:, ]", rest)[0] in own
        if not option.offered:
            assert verb == "remove"


def test_a_change_has_every_key_of_the_recipe() -> None:
    for cls in (RecipeChange, SourceConfig, MixConfig):
        assert set(RecipeConfig.model_fields) <= set(cls.model_fields)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ("dropout: 1", "recipe.dropout: 'dropout' must be less than 1"),
        ("dropout: -0.1", "recipe.dropout: 'dropout' must be greater than or equal to 0"),
        ("rslora: 2.5", "recipe.rslora: 'rslora' must be true or false"),
    ],
)
def test_dropout_and_rslora_are_checked(given: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"study: x\nbase: embedded\nrecipe: {{{given}}}{TASK}")
    with pytest.raises(TraitscopeError, match=wrong):
        load_config(path)
