"""The engine is exact for every architecture or says that it is not: nothing silently wrong, no traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.architectures import END, PAGE, START

from zoo.build import NOT_BUILT
from zoo.cases import CASES, TYPES
from zoo.sweep import judged, sweep

# About a minute each.
PART = 12
PARTS = [list(CASES)[at : at + PART] for at in range(0, len(CASES), PART)]

# One of each kind, with the path that it must not lose.
SAMPLE = {
    "llama:longrope": "packed",
    "qwen2_moe:mixed": "packed",
    "phimoe:window": "packed",
    "diffllama": "packed",
    "gemma2:bf16, cap 30": "packed",
    "gemma4_text": "packed",
    "deepseek_v3": "packed",
    "mamba": "batched",
    "bart": "batched",
    "roberta:encoder": "refused",
}


QUICK = ("llama:longrope", "gemma2:bf16, cap 30", "deepseek_v3", "mamba", "bart", "roberta:encoder")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.verify) for name in SAMPLE]
)
def test_one_of_each_kind_is_exact_on_its_path(name):
    verdict = CASES[name].verdict()
    assert (verdict.kind, verdict.errors if verdict.kind != SAMPLE[name] else {}) == (SAMPLE[name], {}), verdict.why


@pytest.mark.verify
@pytest.mark.parametrize("names", PARTS, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_every_architecture_is_exact_or_refused(names):
    bad = {name: verdict for name, verdict in sweep(names).items() if verdict["kind"] in ("silent", "traceback")}
    assert bad == {}


def test_the_page_names_every_causal_type_of_the_installed_transformers():
    text = PAGE.read_text().split(START)[1].split(END)[0]
    named = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert [name for name in named if ":" not in name] == list(TYPES), "run `python -m tools.architectures`"
    assert "**" not in text


def test_every_type_is_tried_or_says_why_not():
    assert {name for name in CASES if ":" not in name} | set(NOT_BUILT) == set(TYPES)


def test_a_case_that_ends_itsjudged_is_a_verdict_and_the_rest_goes_on():
    names = ["no such case", "ctrl:two layers"]
    (lost,) = judged(names)
    assert (lost["case"], lost["kind"]) == ("no such case", "traceback")
    assert "KeyError" in lost["errors"]["process"]
