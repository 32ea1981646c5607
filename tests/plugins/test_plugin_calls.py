"""Whatever a plugin raises when it is called, and whatever it gives wrongly, is one error that names it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny

from traitscope import plugins
from traitscope.config import DataConfig, TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.layers import compare
from traitscope.layers.activations import TaskActs
from traitscope.layers.task_analysis import analyse_task
from traitscope.metrics import METRICS, MetricValue, Outcomes, score
from traitscope.predict.evidence import Evidence, pair_features
from traitscope.records import Example, ExampleRecord
from traitscope.stats import DatasetText, dataset_stats
from traitscope.study import Study
from traitscope.tasks import Task, rejudge, summarise
from traitscope.tasks.controls import apply_control
from traitscope.tasks.formats import read_rows

# What stands before the body of the function that is called.
HEADS = {
    "metric": """
from traitscope.metrics import METRICS, Metric, MetricValue
def called(outcomes):
    {body}
METRICS.register("mine", version=1, reference="x")(
    Metric(forms=frozenset({{"generate"}}), higher_is_better=True, low=0.0, high=1.0, {how}=called)
)
""",
    "parser": """
from traitscope.tasks.parsers import PARSERS
@PARSERS.register("mine", version=1, reference="x")
def called(text, classes=()):
    {body}
""",
    "file format": """
from traitscope.tasks.formats import ROW_SOURCES
@ROW_SOURCES.register("mine", version=1, reference="x")
def called(path, data, where):
    {body}
""",
    "control": """
from traitscope.tasks.controls import CONTROLS
@CONTROLS.register("mine", version=1, reference="x")
def called(examples, seed):
    {body}
""",
    "statistic": """
from traitscope.stats.measures import statistic
@statistic("mine", "share", "x")
def called(prepared):
    {body}
""",
    "pair feature": """
import numpy as np
from traitscope.predict.evidence import PAIR_FEATURES, Feature
def called(evidence, sources, targets):
    {body}
PAIR_FEATURES.register("mine", version=1, reference="x")(Feature("text", called))
""",
    "measure": """
import numpy as np
from traitscope.layers.measures import cosine_measure
@cosine_measure("mine", version=1, reference="x", bounds=(-1.0, 1.0))
def called(rep):
    {body}
""",
    "whole measure": """
import numpy as np
from traitscope.layers.measures import MEASURES, Measure
class Mine(Measure):
    def compare(self, a, b, rows_S=None):
        {body}
MEASURES.register("mine", version=1, reference="x")(
    Mine("mine", "raw", identical=1.0, bounds=(0.0, 1.0), similarity=True)
)
""",
}
EXAMPLES = tuple(Example(str(i), f"p{i}", f" {i}", references=(f" {i}",)) for i in range(3))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test sees another's plugins."""
    yield
    for file in list(plugins._plugins):
        plugins._drop(file)


def task(parser: str, metric: str) -> Task:
    config = {
        "data": {"path": "none.csv"},
        "prompt": "{{ x }}",
        "answer": {"generate": {"gold": "{{ y }}", "parse": parser, "max_tokens": 4}},
        "metrics": [metric],
    }
    return Task("words", TaskConfig.model_validate(config))


def record(i: int) -> ExampleRecord:
    return ExampleRecord(
        id=str(i), gold=str(i), pred=str(i), pred_norm=None, correct=None, valid=True, finish="stop", output=f" {i}",
        n_output=1, n_gold=1, loss=1.0,
    )  # fmt: skip


def call_metric() -> None:
    summarise(task("raw", "mine"), [record(i) for i in range(3)], EXAMPLES)


def call_primary() -> None:
    rejudge(task("raw", "mine"), EXAMPLES, [record(i) for i in range(3)])


def call_parser() -> None:
    rejudge(task("mine", "exact_match"), EXAMPLES, [record(i) for i in range(3)])


def call_format() -> None:
    read_rows("mine", Path("rows.mine"), DataConfig.model_validate({"path": "rows.mine"}), "task words")


def call_control() -> None:
    apply_control("mine", EXAMPLES, where="controls.words")


def call_statistic() -> None:
    dataset_stats([DatasetText.from_examples("words", EXAMPLES)])


def call_feature() -> None:
    pair_features(Evidence(), ["a", "b"], ["c"])


def states(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 12, 5)).astype(np.float32)


def call_measure() -> None:
    models = {"base": states(0), "mix": states(1), "control": states(2)}
    acts = TaskActs("words", tuple(map(str, range(12))), models, 12, 0)
    analyse_task(acts, {role: role for role in acts.models}, measures=["mine"], map_measures=["mine"], n_null=2)


def call_compare() -> None:
    compare(states(0)[0], states(1)[0], "mine")


CALLS: dict[str, tuple[tuple[Callable[[], None], str], ...]] = {
    "metric": ((call_metric, "task words"), (call_primary, "task words")),
    "corpus metric": ((call_metric, "task words"),),
    "parser": ((call_parser, "task words"),),
    "file format": ((call_format, "task words"),),
    "control": ((call_control, "controls.words"),),
    "statistic": ((call_statistic, "dataset words"),),
    "pair feature": ((call_feature, "2 sources x 1 targets"),),
    "measure": ((call_measure, "task words, layer 0"), (call_compare, "compare")),
    "whole measure": ((call_measure, "task words, layer 0"), (call_compare, "compare")),
}

RAISES = ("raise KeyError('boom')", "KeyError: 'boom' (mine.py, line ")
WRONG = [
    *((kind, *RAISES) for kind in CALLS),
    ("parser", "raise ValueError('two\\nlines ' + 'and more ' * 99)", "ValueError: two lines and more and more"),
    ("metric", "import sys; sys.exit(3)", "SystemExit: 3 (mine.py, line "),
    ("metric", "return [1.0] * 2", "it gives values of shape (2,) for 3 examples"),
    ("metric", "return [[1.0]] * 3", "it gives values of shape (3, 1) for 3 examples"),
    ("metric", "return 1.0", "it gives values of shape () for 3 examples"),
    ("metric", "pass", "it gives values of shape () for 3 examples"),
    ("metric", "return ['1', '0', '1']", "it gives values of type <U1 where numbers are due"),
    ("metric", "return [1.0, None, 1.0]", "it gives values of type object where numbers are due"),
    ("metric", "return [1.0, float('nan'), 1.0]", "it gives nan for example 2 of 3, and declares finite numbers from"),
    ("metric", "return [1.0, 1.0, float('inf')]", "it gives inf for example 3 of 3, and declares finite numbers from"),
    ("metric", "return [5, 1, 1]", "it gives 5 for example 1 of 3, and declares finite numbers from 0 to 1"),
    ("corpus metric", "return 0.5", "it gives float where a MetricValue is due"),
    ("corpus metric", "return MetricValue(None, None, 3)", "it gives NoneType where a number is due"),
    ("corpus metric", "return MetricValue(float('nan'), None, 3)", "it gives nan, and declares finite numbers from"),
    ("corpus metric", "return MetricValue(5.0, None, 3)", "it gives 5.0, and declares finite numbers from 0 to 1"),
    ("corpus metric", "return MetricValue(1.0, float('nan'), 3)", "it gives a standard error of nan"),
    ("corpus metric", "return MetricValue(1.0, None, 'three')", "TypeError: 'str' object cannot be interpreted"),
    ("parser", "return 7", "it gives int where text or None is due"),
    ("file format", "return None", "'NoneType' object is not iterable"),
    ("file format", "yield {'a': 1}; yield ['a']", "row 2 is no dict from column names to values but list"),
    ("file format", "yield {'a': 1}; raise OSError('gone')", "OSError: gone (mine.py, line "),
    ("control", "return None", "'NoneType' object is not iterable"),
    ("control", "return examples[:2]", "it gives 2 things where 3 examples are due"),
    ("control", "return ['a', 'b', 'c']", "it gives 3 things where 3 examples are due"),
    ("statistic", "return 'x'", "it gives str where a number is due"),
    ("statistic", "pass", "it gives NoneType where a number is due"),
    ("pair feature", "return [[1.0]]", "it gives values of shape (1, 1) for 2 x 1 pairs"),
    ("pair feature", "return 1.0", "it gives values of shape () for 2 x 1 pairs"),
    ("pair feature", "return [['x'], ['y']]", "could not convert string to float"),
    ("measure", "return rep.gram_SS[:2]", "it gives a matrix of shape (2, 12) for 12 examples"),
    ("measure", "pass", "it gives a matrix of shape () for 12 examples"),
    ("whole measure", "return 'x'", "it gives str where a number is due"),
    ("whole measure", "return float('inf')", "it gives inf"),
]  # fmt: skip


def load(folder: Path, kind: str, body: str) -> None:
    how = "corpus" if kind == "corpus metric" else "values"
    (folder / "mine.py").write_text(HEADS[kind.removeprefix("corpus ")].format(body=body, how=how))
    plugins.load_plugins(["./mine.py"], folder)


@pytest.mark.parametrize(("kind", "body", "words"), WRONG)
def test_a_call_that_fails_names_kind_name_plugin_and_reason(tmp_path: Path, kind: str, body: str, words: str) -> None:
    load(tmp_path, kind, body)
    for call, where in CALLS[kind]:
        with pytest.raises(TraitscopeError, match=re.escape(words)) as raised:
            call()
        word = kind.removeprefix("corpus ").removeprefix("whole ")
        assert raised.value.what.startswith(f"the {word} 'mine' of plugin ./mine.py fails: ")
        assert "\n" not in raised.value.what
        assert raised.value.where == where and raised.value.fix == "mend the plugin, then run again"
        assert raised.value.__cause__ is not None


@pytest.mark.parametrize("kind", CALLS)
def test_an_error_that_says_what_to_do_passes_unchanged(tmp_path: Path, kind: str) -> None:
    load(tmp_path, kind, "from traitscope.errors import TraitscopeError; raise TraitscopeError('no', fix='do it')")
    for call, _ in CALLS[kind]:
        with pytest.raises(TraitscopeError) as raised:
            call()
        assert (raised.value.what, raised.value.fix) == ("no", "do it")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("metric", "import numpy as np; return np.array([True, False, True])"),
        ("metric", "return [1.0 + 1e-10, 0, 0.5]"),
        ("corpus metric", "import numpy as np; return MetricValue(np.float32(0.5), None, np.int64(3))"),
        ("parser", "return text[:0] or None"),
        ("file format", "yield {'a': 1}"),
        ("control", "return tuple(examples)"),
        ("statistic", "return float('nan')"),
        ("statistic", "return float('inf')"),
        ("statistic", "import numpy as np; return np.float32(2.0)"),
        ("pair feature", "return [[float('nan')], [1]]"),
        ("pair feature", "return None"),
        ("measure", "return np.full((rep.n, rep.n), np.nan)"),
        ("whole measure", "return float('nan')"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, kind: str, body: str) -> None:
    load(tmp_path, kind, body)
    for call, _ in CALLS[kind]:
        call()


def test_what_a_metric_gives_is_stored_as_plain_numbers(tmp_path: Path) -> None:
    load(tmp_path, "corpus metric", "import numpy as np; return MetricValue(np.float32(0.5), None, np.int64(3))")
    outcomes = Outcomes(
        gold=("a",) * 3, pred=("a",) * 3, pred_norm=(None,) * 3, references=(("a",),) * 3, loss_S=np.ones(3),
        classes=None,
    )  # fmt: skip
    found = score(METRICS.get("mine").value, outcomes)
    assert found == MetricValue(0.5, None, 3)
    assert (type(found.value), type(found.n)) == (float, int)


def test_what_comes_with_traitscope_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traitscope.stats.measures.near_duplicate_share", lambda texts: 1 / 0)
    with pytest.raises(TraitscopeError, match=r"the statistic 'near_duplicates' fails: ZeroDivisionError") as raised:
        call_statistic()
    assert "(measures.py, line " in raised.value.what and "report this" in (raised.value.fix or "")


STUDY = """\
study: called
plugins: [{plugins}]
base: {{model: {base}, dtype: fp32}}
recipe: {{rank: 2, alpha: 4, lr: 0.01, epochs: 1, batch: 4, max_tokens: 64, seeds: [0]}}
tasks:
  words:
    data: {{path: {{train: train.jsonl, eval: eval.jsonl}}}}
    prompt: "{{{{ question }}}} ="
    answer: {{generate: {{gold: " {{{{ answer }}}}", parse: raw, max_tokens: 4}}}}
    metrics: [{metric}]
mixes: {{all: {{of: sources}}}}
layers: {{examples: 8, measures: [{measure}], causal: 0}}
compute: {{device: cpu, threads: 1, workers: {workers}}}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_base(tmp_path_factory.mktemp("base"), layers=4)


def write(folder: Path, bodies: dict[str, str], **more: object) -> Path:
    for kind, body in bodies.items():
        (folder / f"{kind}.py").write_text(HEADS[kind].format(body=body, how="values"))
    for split in ("train", "eval"):
        rows = (f'{{"question": "is {split} {i} odd?", "answer": "{"yes" if i % 2 else "no"}"}}\n' for i in range(8))
        (folder / f"{split}.jsonl").write_text("".join(rows))
    path = folder / "study.yaml"
    path.write_text(STUDY.format(plugins=", ".join(f"./{kind}.py" for kind in bodies), **more))
    return path


def test_a_statistic_and_a_measure_that_fail_cost_their_parts_of_the_report_alone(base: Path, tmp_path: Path) -> None:
    bodies = {"statistic": "raise KeyError('boom')", "measure": "return rep.gram_SS[:2]"}
    path = write(tmp_path, bodies, base=base, metric="exact_match", measure="mine", workers=1)
    study = Study.open(path, tmp_path / "run")
    study.run()
    found = study.analyse()
    assert found.stats is None and "the statistic 'mine' of plugin ./statistic.py fails" in found.missing["stats"]
    assert found.layers is None and "the measure 'mine' of plugin ./measure.py fails" in found.missing["layers"]
    assert found.traits is not None or "plugin" not in found.missing["traits"]
    assert study.report().is_file()
    results = (study.folder.read_lock() or {})["results"]
    assert re.fullmatch(r"1 of [0-9a-f]{64}", results["statistics"]["mine"])
    assert re.fullmatch(r"1 of [0-9a-f]{64}", results["measures"]["mine"])
    assert (results["measures"]["cka"], results["file formats"]["jsonl"], results["statistics"]["n_examples"]) == (
        2,
        1,
        1,
    )


def test_an_error_in_a_process_of_the_pool_arrives_as_it_is(base: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path, {"metric": "return [5.0] * len(outcomes.gold)"}, base=base, metric="mine", measure="cka", workers=2
    )
    with pytest.raises(TraitscopeError) as raised:
        Study.open(path, tmp_path / "run").run()
    assert raised.value.what == (
        "the metric 'mine' of plugin ./metric.py fails: ValueError: it gives 5.0 for example 1 of 8, and declares "
        "finite numbers from 0 to 1"
    )
    assert raised.value.where == "task words"
