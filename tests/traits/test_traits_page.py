"""The page on matrix and traits: its example runs, its command gives what it says, its tables are complete."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix.options import read_tags, read_typed, read_words
from traitscope.traits import fit_traits
from traitscope.traits.options import VIEWS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "traits.md"


def test_the_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code[1], str(PAGE), "exec"), {})
    assert (
        "Number of traits: 2 directions of the matrix (transfer, own and copied cells of base and sources) stand above"
        in printed.getvalue()
    )
    assert "'T1':" in printed.getvalue()


def test_every_view_has_its_line() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for view in (*VIEWS, "z"):
        assert f"| `{view}` |" in text


def test_the_command_on_the_page_reads_the_published_matrix(shared: Path) -> None:
    code = re.search(r"```\n(traitscope traits .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    words = shlex.split(code[1].replace("\\\n", " "))[2:]
    options: dict[str, list[str]] = {}
    for name, value in zip(words[1::2], words[2::2], strict=True):
        options.setdefault(name.removeprefix("--"), []).append(value)
    where = options.pop("where")
    scores = read_typed(
        shared / "matrices" / words[0],
        where=where,
        **{k: v[0] for k, v in options.items()},  # type: ignore[arg-type]
    )
    assert len(scores.models) == 11 and scores.base_name == "pretrain"
    traits = fit_traits(scores, permutations=99, replicates=0)
    assert traits.count.statement.startswith("at least ")


def test_typed_options_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,a,b,loss\nbase,10,20,3\nx,30,40,2\n")
    tags = tmp_path / "tags.yaml"
    tags.write_text("a: {kind: maths}\n")
    scores = read_typed(path, values="a, loss", n=["a=50"], lower_is_better="lo*", tags=tags)
    assert scores.tasks == ("a", "loss") and scores.tags == {"a": {"kind": "maths"}}
    assert scores.gains().values_IN[1].tolist() == [20.0, 1.0]
    assert scores.n_IN[0, 0] == 50
    assert read_words(["hard=a, b"]) == {"hard": ["a", "b"]}
    for bad, message in ((["a"], "cannot read 'a'"), (["a=many"], "'many' is not a whole number")):
        with pytest.raises(TraitscopeError, match=message):
            read_typed(path, n=bad)
    tags.write_text("- a\n")
    with pytest.raises(TraitscopeError, match="not a mapping of tasks"):
        read_tags(tags)
    with pytest.raises(TraitscopeError, match="no such file"):
        read_tags(tmp_path / "none.yaml")
