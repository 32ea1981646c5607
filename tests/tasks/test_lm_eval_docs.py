"""docs/lm-eval.md is true: its table of keys is the code's own, and its study file is one.

``TRAITSCOPE_UPDATE_DOCS=1 pytest tests/tasks/test_lm_eval_docs.py`` writes the table anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from test_docs import FENCE, keys_of

from traitscope.config import LmEvalConfig, load_config

DOC = Path(__file__).resolve().parents[2] / "docs" / "lm-eval.md"


def test_the_table_of_keys_is_the_codes_own() -> None:
    text = DOC.read_text(encoding="utf-8")
    pattern = re.compile(r"(<!-- keys -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if os.environ.get("TRAITSCOPE_UPDATE_DOCS"):
        text = pattern.sub(lambda m: m[1] + "\n" + keys_of(LmEvalConfig) + "\n" + m[3], text)
        DOC.write_text(text, encoding="utf-8")
    match = pattern.search(text)
    assert match is not None
    assert match[2].strip() == keys_of(LmEvalConfig).strip()


def test_the_study_file_is_one(tmp_path: Path) -> None:
    (body,) = (body for language, _, body in FENCE.findall(DOC.read_text(encoding="utf-8")) if language == "yaml")
    (tmp_path / "study.yaml").write_text(f"study: docs\nbase: embedded\n{body}", encoding="utf-8")
    config = load_config(tmp_path / "study.yaml")
    assert config.target_names() == ("arc", "sums", "mine", "other")
    assert config.tasks["sums"].lm_eval is not None and config.tasks["sums"].lm_eval.num_fewshot == 5
