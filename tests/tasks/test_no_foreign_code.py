"""No code of a model, a tokenizer or a dataset is run: no call leaves it to a library to ask."""

from __future__ import annotations

import ast
import inspect
import io
from pathlib import Path

import pytest

from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.tasks import Task

ROOT = Path(__file__).parents[2]
# What these read holds no code: weights and numbers of a class that is named in the source.
READ_NO_CODE = ("PeftModel", "PeftConfig", "LlamaForCausalLM", "PreTrainedConfig", "GenerationConfig")


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [(f"{path.relative_to(ROOT)}:{node.lineno}", node) for node in found]


def said(node: ast.Call, source: ast.AST) -> bool:
    """Whether a call says ``trust_remote_code=False``, itself or in the mapping that it spreads."""
    for word in node.keywords:
        if word.arg == "trust_remote_code":
            return isinstance(word.value, ast.Constant) and word.value.value is False
    spread = {word.value.id for word in node.keywords if word.arg is None and isinstance(word.value, ast.Name)}
    for other in ast.walk(source):
        names = [t.id for t in getattr(other, "targets", [getattr(other, "target", None)]) if isinstance(t, ast.Name)]
        value = getattr(other, "value", None)
        if set(names) & spread and isinstance(value, ast.Dict):
            pairs = zip(value.keys, value.values, strict=True)
            if any(
                isinstance(k, ast.Constant) and k.value == "trust_remote_code" and v.value is False for k, v in pairs
            ):
                return True
    return False


@pytest.mark.parametrize("part", ["src", "tools", "benchmarks"])
def test_every_call_that_may_load_code_refuses_it(part: str) -> None:
    seen, silent = 0, []
    for path in sorted((ROOT / part).rglob("*.py")):
        source = ast.parse(path.read_text(encoding="utf-8"))
        for place, node in calls(path):
            assert isinstance(node.func, ast.Attribute)
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr not in ("from_pretrained", "from_config") or owner in READ_NO_CODE:
                continue
            if not owner.startswith("Auto") and any(word.arg == "state_dict" for word in node.keywords):
                continue  # no folder, no code
            seen += 1
            if not said(node, source):
                silent.append(place)
    assert seen and not silent


def test_nothing_says_that_code_is_trusted() -> None:
    for part in ("src", "tools", "benchmarks"):
        for path in (ROOT / part).rglob("*.py"):
            assert "trust_remote_code=True" not in path.read_text(encoding="utf-8").replace(" ", "")


def test_the_library_of_datasets_runs_no_scripts() -> None:
    import datasets

    # Where it could be asked to, the call in tasks/rows.py would have to refuse it.
    assert "trust_remote_code" not in inspect.signature(datasets.load_dataset).parameters


@pytest.mark.parametrize("typed", ["", "y\ny\n"])
def test_a_script_in_a_folder_of_data_is_not_run(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    folder = tmp_path / "own_data"
    folder.mkdir()
    (folder / "own_data.py").write_text(f"import pathlib\npathlib.Path({str(marker)!r}).write_text('ran')\n")
    (tmp_path / "study.yaml").write_text(
        "study: s\nbase: embedded\ntasks:\n  one:\n"
        f"    data: {{hub: {folder}, splits: train}}\n    answer: {{loss: '{{{{ text }}}}'}}\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    config = load_config(tmp_path / "study.yaml")
    with pytest.raises(TraitscopeError) as caught:
        Task("one", config.tasks["one"], config.root).load()
    assert not marker.exists() and caught.value.fix, caught.value
