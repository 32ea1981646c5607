import re
from pathlib import Path

import pytest

from traitscope.effects.result import TITLES

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
    assert [kind for kind in TITLES if f"`{kind}`" not in page] == []
