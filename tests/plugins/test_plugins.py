"""What docs/howto says of adding a metric, parser, format, measure, ... is done from outside the package."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny

import traitscope as ts
from traitscope import plugins, registry
from traitscope.cli import app
from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS
from traitscope.predict.evidence import pair_features
from traitscope.study import Study

PAGES = sorted((Path(__file__).parents[2] / "docs" / "howto").glob("*.md"))
PARTS = dict(found for page in PAGES for found in re.findall(r"```python (\w+)\n(.*?)```", page.read_text(), re.DOTALL))
STUDY = """\
study: plugged
plugins: [./metric.py, ./parser.py, ./format.py, ./measure.py, ./statistic.py, ./feature.py, ./predictor.py]
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
    forget_all()


def forget_all() -> None:
    for file in list(plugins._plugins):
        plugins._drop(file)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("base"), layers=4)


def write(folder: Path, base: Path, workers: int = 1) -> Path:
    """The study with the page's plugins beside it."""
    folder.mkdir()
    for name, code in PARTS.items():
        (folder / f"{name}.py").write_text(code)
    for split, n in (("train", 8), ("eval", 8)):
        text = "".join(f"is {split} {i} odd? => {'yes' if i % 2 else 'no'} it is\n" for i in range(n))
        (folder / f"{split}.pairs").write_text(text)
    path = folder / "study.yaml"
    path.write_text(STUDY.format(base=base, workers=workers))
    return path


def test_the_pages_add_one_of_each_kind() -> None:
    assert sorted(PARTS) == ["feature", "format", "measure", "metric", "parser", "predictor", "statistic"]


def test_plugins_reach_two_processes_the_matrix_the_statistics_and_the_layers(base: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "study", base, workers=2)
    # More than a pipe holds: a process whose words nobody reads would come to a halt.
    metric = path.parent / "metric.py"
    metric.write_text(metric.read_text() + "\nimport sys\n\nprint('a chatty library\\n' * 10_000, file=sys.stderr)\n")
    study = Study.open(path, tmp_path / "run")
    assert study.run() is not None
    table = study.score_table()
    assert table[table["primary"]]["metric"].unique().tolist() == ["word_overlap"]
    # By hand: the share of the words "yes it is" (or "no it is") that are in the parsed answer.
    for record in study.read_records("base", "words"):
        answer = (record.output or "").rsplit(":", 1)[-1].strip()
        assert record.gold in ("yes it is", "no it is")
        assert record.correct == len(set(record.gold.split()) & set(answer.split())) / 3
    assert study.dataset_stats().frame.loc["words", "questions"] == 1.0
    features = pair_features(study.evidence(), ["words"], ["words"])
    # Eight rows, and answers of four words: "so: yes it is".
    assert features.only(["rows per word"]).values_FIN.item() == 2.0
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


METRIC = """
from traitscope.metrics import METRICS, Metric
METRICS.register("{name}", version=1, reference="x")(
    Metric(forms=frozenset({{"generate"}}), higher_is_better=True, low=0.0, high=1.0, values=lambda outcomes: {value})
)
"""


def mark(name: str) -> object:
    return METRICS.get(name).mark


def test_it_does_not_matter_who_imported_a_module_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imported_before.py").write_text(METRIC.format(name="early", value=0))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("imported_before")
    expected = hashlib.sha256((tmp_path / "imported_before.py").read_bytes()).hexdigest()
    assert mark("early") == f"1 of {expected}"
    plugins.load_plugins(["imported_before"])
    assert mark("early") == f"1 of {expected}"


def test_a_package_is_one_plugin_with_all_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "whole_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(METRIC.format(name="outer", value=0))
    (folder / "inner.py").write_text(METRIC.format(name="inner", value=0))
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load_plugins(["whole_package.inner"])
    digest = hashlib.sha256((folder / "__init__.py").read_bytes() + (folder / "inner.py").read_bytes()).hexdigest()
    assert mark("outer") == mark("inner") == f"1 of {digest}"


def test_a_package_in_a_package_is_part_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "outer_package" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("# outer\n")
    (inner / "__init__.py").write_text(METRIC.format(name="nested", value=0))
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load_plugins(["outer_package.inner"])
    digest = hashlib.sha256(b"# outer\n" + (inner / "__init__.py").read_bytes()).hexdigest()
    assert mark("nested") == f"1 of {digest}"


def test_a_package_by_its_folder_is_imported_anew_with_its_parts_when_one_changes(tmp_path: Path) -> None:
    folder = tmp_path / "by_folder"
    folder.mkdir()
    (folder / "__init__.py").write_text("from . import part")
    (folder / "part.py").write_text(METRIC.format(name="part", value=0))
    plugins.load_plugins(["./by_folder"], tmp_path)
    before = mark("part")
    (folder / "__init__.py").write_text("from . import part  # changed")
    plugins.load_plugins(["./by_folder"], tmp_path)
    assert "part" in METRICS and mark("part") != before


def test_an_edited_module_is_imported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "edited_module.py"
    file.write_text(METRIC.format(name="edited", value=0))
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load_plugins(["edited_module"])
    before = mark("edited")
    file.write_text(METRIC.format(name="edited", value=11))
    plugins.load_plugins(["edited_module"])
    assert mark("edited") != before and METRICS.get("edited").value.values(None) == 11


def test_a_broken_edit_that_is_undone_leaves_the_plugin_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "undone.py"
    file.write_text(METRIC.format(name="undone", value=0))
    plugins.load_plugins(["undone.py"], tmp_path)
    before = mark("undone")
    file.write_text("def broken(:")
    with pytest.raises(TraitscopeError, match="SyntaxError"):
        plugins.load_plugins(["undone.py"], tmp_path)
    file.write_text(METRIC.format(name="undone", value=0))
    plugins.load_plugins(["undone.py"], tmp_path)
    assert mark("undone") == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken_parent.sub", "RuntimeError: parent"),
        ("needs_more.sub", "No module named 'not_installed'"),
        ("sys", "no module that can be a plugin"),
        ("./leaves.py", "SystemExit: 3"),
    ],
)
def test_whatever_a_plugin_raises_is_one_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    for package, code in (("broken_parent", "raise RuntimeError('parent')"), ("needs_more", "import not_installed")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(code)
        (tmp_path / package / "sub.py").write_text("")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TraitscopeError, match=re.escape(words)) as raised:
        plugins.load_plugins([name], tmp_path)
    assert raised.value.where == f"plugin {name}"


def test_a_plugin_that_has_moved_is_found_where_the_study_says_it_is(base: Path, tmp_path: Path) -> None:
    path, run = write(tmp_path / "study", base), tmp_path / "run"
    Study.open(path, run).run()
    (path.parent / "mine").mkdir()
    (path.parent / "metric.py").rename(path.parent / "mine" / "metric.py")
    path.write_text(path.read_text().replace("./metric.py", "./mine/metric.py"))
    assert Study.open(path, run).run() is None
    assert Study.open(run).scores().tasks == ("words",)
    # A file of the same name, and of another metric of the same name, lies where it lay.
    (path.parent / "metric.py").write_text(PARTS["metric"] + "\n# another\n")
    path.write_text(path.read_text().replace("[word_overlap, exact_match]", "[exact_match, word_overlap]"))
    forget_all()
    assert Study.open(path, run).run() is not None


def test_the_same_file_in_two_folders_is_one_plugin_and_another_of_its_name_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metric.py").write_text(PARTS["metric"] + ("\n# changed\n" if name == "three" else ""))
        if name != "three":
            plugins.load_plugins(["./metric.py"], tmp_path / name)
    with pytest.raises(TraitscopeError, match=r"'word_overlap' is registered already by .*two.metric\.py"):
        plugins.load_plugins(["./metric.py"], tmp_path / "three")
    plugins._drop((tmp_path / "one" / "metric.py").resolve())
    assert "word_overlap" in METRICS


def test_findings_are_made_again_only_for_plugins_they_are_made_with(tmp_path: Path) -> None:
    for kind in ("statistic", "measure"):
        (tmp_path / f"{kind}.py").write_text(PARTS[kind])
    plugins.load_plugins(["./statistic.py"], tmp_path)
    before = registry.plugin_marks(["measure"]), registry.plugin_marks(["statistic"])
    assert before[0] == [] and [mark[:2] for mark in before[1]] == [["statistic", "questions"]]
    plugins.load_plugins(["./measure.py"], tmp_path)
    assert registry.plugin_marks(["measure"]) and registry.plugin_marks(["statistic"]) == before[1]


def test_the_pages_predictor_forecasts_the_median_of_each_columns_known_cells(tmp_path: Path) -> None:
    (tmp_path / "predictor.py").write_text(PARTS["predictor"])
    plugins.load_plugins(["./predictor.py"], tmp_path)
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(50, 5, (6, 4)), columns=list("abcd"), index=["base", *(f"s{i}" for i in range(5))])
    wide.loc["s1", "a"] = np.nan
    scores = ts.ScoreMatrix.from_wide(wide)
    ranked = ts.fit_predictor(scores, predictor="column median").rank_sources("a").set_index("source")
    assert ranked.loc["s1", "status"] == "predicted"
    known = wide.loc[["s0", "s2", "s3", "s4"], "a"]
    assert ranked.loc["s1", "expected"] == pytest.approx(known.median() - wide.loc["base", "a"])
