"""Adapters and models that were made elsewhere, as rows: what PEFT says of a task by hand is what the cells hold."""

from __future__ import annotations

from pathlib import Path

import foreign
import pytest
import tiny
from foreign import MERGED, SIDE_BY_SIDE

from traitscope.study import Study
from traitscope.study.checking import check_study

KINDS = [*SIDE_BY_SIDE, *MERGED]
STUDY = """\
study: rows
base: {{model: {base}, dtype: fp32}}
tasks:
  tone:
    data: {{path: {{eval: tone-eval.jsonl}}, eval: 6}}
    prompt: "{{{{ text }}}} is"
    answer: {{choice: [" bad", " good"], gold: "{{{{ label }}}}"}}
compute: {{device: cpu, threads: 1, workers: 1}}
"""


@pytest.fixture(scope="module")
def rows(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of one adapter of every kind, run."""
    folder = tmp_path_factory.mktemp("rows")
    file = tiny.make_study(folder, base, STUDY)
    for kind in KINDS:
        foreign.make_adapter(kind, base, folder / kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRAITSCOPE_CACHE", str(folder / "cache"))
        named = ", ".join(f"{kind}-row: {kind}" for kind in KINDS)
        file.write_text(f"{file.read_text()}models: {{{named}}}\n")
        study = Study.open(file)
        check_study(study)
        study.run()
        assert Study.open(file).run() is None
    return study


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_answers_as_pefts_own_model_does(kind: str, rows: Study, base: Path) -> None:
    root, records = rows.config.root, rows.records(f"{kind}-row", "tone")
    prompts = foreign.tone_prompts(root, records["id"])
    theirs = foreign.option_logprobs(*foreign.peft_model(base, root / kind), prompts, [" bad", " good"])
    ours = records["logprobs"]
    for mine, wanted in zip(ours, theirs, strict=True):
        assert list(mine) == pytest.approx(wanted, abs=2e-4)
    alone = rows.records("base", "tone")["logprobs"]
    assert max(abs(a - b) for one, two in zip(ours, alone, strict=True) for a, b in zip(one, two, strict=True)) > 0.01
