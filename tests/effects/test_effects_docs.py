import re
from pathlib import Path

import pytest

from traitscope.effects.kinds import KINDS
from traitscope.effects.result import COLUMNS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["statistics.md", "effects.md"])
def test_the_examples_of_the_documentation_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
    assert capsys.readouterr().out


def test_every_kind_of_finding_is_documented() -> None:
    page = (DOCS / "effects.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []


def test_every_column_of_the_findings_is_documented() -> None:
    table = (DOCS / "effects.md").read_text().split("## The findings by kind")[0]
    assert [column for column in COLUMNS if f"`{column}`" not in table] == []
