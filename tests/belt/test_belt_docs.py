"""docs/belt.md is true: its example runs, its tables name every column, way to merge and rule."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import traitscope as ts
from traitscope.belt import ROUTERS, BeltFindings
from traitscope.belt.routed import judge_routers
from traitscope.compute import MERGES
from traitscope.engine.merge import WAYS

PAGE = (Path(__file__).parents[2] / "docs" / "belt.md").read_text()


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    exec(compile(code, "belt.md", "exec"), {})
    assert "('imdb', 'many')" in capsys.readouterr().out


def test_every_column_of_every_table_is_documented() -> None:
    frame = pd.DataFrame({"t": [1.0, 9.0, 2.0], "u": [1.0, 2.0, 9.0]}, index=["base", "a", "b"])
    tables = BeltFindings(choice=ts.choose_belt(ts.ScoreMatrix.from_wide(frame))).tables()
    for name, table in tables.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, flags=re.M)
        assert [column for column in table.columns if f"`{column}`" not in row] == [], name
    for name in ("routed", "routed_tasks"):
        assert f"| `{name}` |" in PAGE and f"{name}" in (BeltFindings.__doc__ or "")
    assert "<rule>_above" in PAGE and "<rule>_above" in (judge_routers.__doc__ or "")


def test_every_way_and_every_rule_has_its_line() -> None:
    assert tuple(MERGES) == WAYS
    for name in (*WAYS, *ROUTERS.names(), "none"):
        assert re.search(rf"^\| `{name}`", PAGE, flags=re.M), name
