"""What CONTRIBUTING.md says of adding a metric, parser, format, measure, statistic is done from outside the package."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny

from traitscope import plugins, registry
from traitscope.cli import app
from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.study import Study

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
PARTS = dict(re.findall(r"```python (\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
STUDY = """\
study: plugged
plugins: [./metric.py, ./parser.py, ./format.py, ./measure.py, ./statistic.py]
base: {{model: {base}, dtype: fp32}}
recipe: {{rank: 2, alpha: 4, lr: 0.01, epochs: 1, batch: 4, max_tokens: 64, seeds: [0]}}
tasks:
  words:
    data: {{path: {{train: train.pairs, eval: eval.pairs}}}}
    prompt: "{{{{ question }}}} ="
    answer: {{generate: {{gold: " so: {{{{ answer }}}}", parse: after_colon, max_tokens: 4}}}}
    metrics: [word_overlap, exact_match]
mixes: {{all: {{of: sources}}}}
layers: {{examples: 8, measures: [gram_sign], causal: 0}}
compute: {{device: cpu, threads: 1, workers: {workers}}}
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test sees another's plugins."""
    yield
    for plugin in plugins._plugins.values():
        registry.forget(plugin.sha256)
        sys.modules.pop(plugin.module, None)
    plugins._plugins.clear()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("base"), layers=4)


def write(folder: Path, base: Path, workers: int = 1) -> Path:
    """The study with the page's five plugins beside it."""
    folder.mkdir()
    for name, code in PARTS.items():
        (folder / f"{name}.py").write_text(code)
    for split, n in (("train", 8), ("eval", 8)):
        text = "".join(f"is {split} {i} odd? => {'yes' if i % 2 else 'no'} it is\n" for i in range(n))
        (folder / f"{split}.pairs").write_text(text)
    path = folder / "study.yaml"
    path.write_text(STUDY.format(base=base, workers=workers))
    return path


def test_the_page_adds_one_of_each_kind() -> None:
    assert sorted(PARTS) == ["format", "measure", "metric", "parser", "statistic"]


def test_plugins_reach_two_processes_the_matrix_the_statistics_and_the_layers(base: Path, tmp_path: Path) -> None:
    study = Study.open(write(tmp_path / "study", base, workers=2), tmp_path / "run")
    assert study.run() is not None
    table = study.score_table()
    assert table[table["primary"]]["metric"].unique().tolist() == ["word_overlap"]
    # By hand: the share of the words "yes it is" (or "no it is") that are in the parsed answer.
    for record in study.read_records("base", "words"):
        answer = (record.output or "").rsplit(":", 1)[-1].strip()
        assert record.gold in ("yes it is", "no it is")
        assert record.correct == len(set(record.gold.split()) & set(answer.split())) / 3
    assert study.dataset_stats().frame.loc["words", "questions"] == 1.0
    layers = study.layers(causal=False).layers
    assert "gram_sign" in layers.meta["measures"]
    assert np.isfinite(layers.table[layers.table["measure"] == "gram_sign"]["value"]).any()
    lock = json.loads((tmp_path / "run" / "lock.json").read_text())
    assert re.fullmatch(r"1 of [0-9a-f]{64}", lock["results"]["metrics"]["word_overlap"])


def test_a_changed_plugin_is_judged_anew_and_a_changed_format_is_another_study(base: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "study", base)
    Study.open(path, tmp_path / "run").run()
    metric = path.parent / "metric.py"
    metric.write_text(metric.read_text().replace("len(words & set((pred", "0.5 * len(words & set((pred"))
    work = Study.open(path, tmp_path / "run").run()
    assert work is not None and work.evaluated == [] and len(work.rescored) == 3
    reader = path.parent / "format.py"
    reader.write_text(reader.read_text().replace("question.strip()", "question.strip().upper()"))
    with pytest.raises(TraitscopeError, match="the study changed"):
        Study.open(path, tmp_path / "run").run()


def test_check_and_ls_know_them(base: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "study", base)
    shown = CliRunner().invoke(app, ["check", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "is train" in shown.output and "word_overlap" in shown.output
    listed = CliRunner().invoke(app, ["ls", "metrics", str(path)])
    assert "word_overlap" in listed.output


def test_the_run_folder_finds_them_from_where_the_study_lay(base: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "study", base)
    Study.open(path, tmp_path / "run").run()
    assert Study.open(tmp_path / "run").scores().tasks == ("words",)


def test_an_installed_package_needs_no_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "study", base)
    path.write_text(path.read_text().replace("plugins: [./metric.py, ", "plugins: ["))
    (tmp_path / "offered_metric.py").write_text(PARTS["metric"])
    monkeypatch.syspath_prepend(tmp_path)
    point = SimpleNamespace(module="offered_metric", name="overlap")
    monkeypatch.setattr(plugins.importlib.metadata, "entry_points", lambda group: [point])
    assert load_config(path).tasks["words"].metric_names == ("word_overlap", "exact_match")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "there is no file"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError"),
        ("from traitscope.metrics import METRICS\nMETRICS.register('accuracy', version=1, reference='x')", "already"),
        ("from traitscope.metrics import METRICS\nMETRICS.register('new', version=0, reference='x')", "version"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, code: str | None, words: str) -> None:
    if code is not None:
        (tmp_path / "bad.py").write_text(code)
    (tmp_path / "study.yaml").write_text("study: x\nplugins: [./bad.py]\nbase: embedded\ntasks: {}\n")
    with pytest.raises(TraitscopeError, match=re.escape(words)) as raised:
        load_config(tmp_path / "study.yaml")
    assert "plugins" in (raised.value.where or "") and "bad.py" in str(raised.value)


def test_what_a_failing_plugin_registered_is_gone(tmp_path: Path) -> None:
    code = (
        "from traitscope.tasks.parsers import PARSERS\nPARSERS.register('half', version=1, reference='x')(print)\n1 / 0"
    )
    (tmp_path / "half.py").write_text(code)
    for _ in range(2):
        with pytest.raises(TraitscopeError, match="ZeroDivisionError"):
            plugins.load_plugins(["half.py"], tmp_path)
    assert "half" not in registry.registry("parser")


def test_a_module_of_that_name_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError, match="no module of this name"):
        plugins.load_plugins(["no_such_plugin_module"], tmp_path)
