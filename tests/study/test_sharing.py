"""What is shared of a study names no place of this machine: report, tables, lock, findings, cards, belt."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.config import StudyConfig
from traitscope.config.yamlfile import parse_yaml
from traitscope.study import Study
from traitscope.study.sharing import without_places

SMALL = """\
study: tiny
base: {{model: {base}, dtype: fp32}}
plugins: [{data}/plug.py]
recipe: {{rank: 2, alpha: 4, lr: 0.01, epochs: 1, batch: 4, max_tokens: 64, seeds: [0]}}
tasks:
  tone:
    data: {{path: {{train: ["{data}/tone-tr*.jsonl"], eval: {data}/../SECRET/tone-eval.jsonl}}, train: 6, eval: 4}}
    prompt: "{{{{ text }}}} is"
    answer: {{choice: [" bad", " good"], gold: "{{{{ label }}}}"}}
  sums:
    data: {{path: [{data}/sums-train.jsonl, {data}/sums-eval.jsonl], eval: 4, join: {{more: {data}/more.txt}}}}
    prompt: "{{{{ question }}}}="
    answer: {{generate: {{gold: "{{{{ answer }}}}", parse: final_number, max_tokens: 2}}}}
models: {{other: {other}}}
compute: {{device: cpu, threads: 1}}
"""


def invoke(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A filled study all of whose parts lie under a folder that nobody is to hear of."""
    data = tmp_path_factory.mktemp("places") / "SECRET"
    data.mkdir()
    tiny.make_tasks(data)
    (data / "plug.py").write_text("")
    (data / "more.txt").write_text("x\n" * 40)
    base, other = tiny.make_base(data / "base"), tiny.make_base(data / "other", seed=1)
    file = data / "project/study.yaml"
    file.parent.mkdir()
    file.write_text(SMALL.format(base=base, data=data, other=other))
    Study.open(file).run()
    return Study.open(file)


def test_nothing_that_is_shared_names_a_place(secret: Study) -> None:
    secret.report()
    out = secret.folder.root.parents[1] / "belt"
    said = invoke("belt", secret.folder.root, "--rule", "none", "--merge", "none", "--size", 1, "--out", out, "--json")
    # What of the run folder is for this machine: its study file, its caches, and what PEFT loads the base by.
    own = ("study.yaml", "local.json", "adapter_config.json")
    shared = [path for folder in (secret.folder.root, out) for path in folder.rglob("*") if path.is_file()]
    assert {"report.html", "lock.json", "README.md", "belt.json", "effects.json"} <= {path.name for path in shared}
    for path in shared:
        if path.name not in own or path.is_relative_to(out):
            assert b"SECRET" not in path.read_bytes(), path
    page = (secret.folder.root / "report.html").read_text()
    for name in ("tone-tr*.jsonl", "tone-eval.jsonl", "sums-eval.jsonl", "more.txt", "plug.py", "model: base", "other"):
        assert name in page
    for verb, more in (("effects", ()), ("stats", ()), ("ls", ("cells",))):
        said += invoke(verb, *more, secret.folder.root, "--json")
    assert "SECRET" not in said
    assert "SECRET" not in repr(secret) + secret._repr_html_() and "tiny on base" in repr(secret)


DATA = {
    "a text": '"/home/me/rows.csv"',
    "a list": '["/home/me/rows.csv", "/home/me/more.csv"]',
    "train and eval": "{train: /home/me/rows.csv, eval: /home/me/more.csv}",
    "lists of them": "{train: [/home/me/rows.csv], eval: [/home/me/more.csv]}",
    "globs": "{train: /home/me/*/rows.csv, eval: '/home/me/r[a-c]*.csv'}",
    "home": "~/me/rows.csv",
    "from above": "../../home/me/rows.csv",
    "escaped": '"/home/me/r\\u00f6ws.csv"',
    "a folder": "/home/me/",
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("where", ["data", "join", "base", "models", "plugins"])
def test_every_spelling_of_a_place_loses_it(data: str, where: str, tmp_path: Path) -> None:
    value = DATA[data]
    places, _ = parse_yaml(value, "x")
    one = places if isinstance(places, str) else "/home/me/rows.csv"
    written = value if isinstance(places, str) else one
    parts = {"data": "rows.csv", "join": "a.txt", "base": "embedded", "models": "embedded"}
    parts[where] = value if where == "data" else written
    text = (
        "study: x\nbase: {base}\nmodels: {{m: {models}}}\ntasks:\n  t:\n"
        "    data: {{path: {data}, join: {{c: {join}}}}}\n    answer: {{loss: '{{{{ text }}}}'}}\n"
    ).format(**parts)
    config = StudyConfig(**parse_yaml(text, "x")[0]).with_root(tmp_path / "project")
    if where == "plugins":
        config = config.model_copy(update={"plugins": (one,)})
        text += f"plugins: [{written}]\n"
    shown = without_places(text, config)
    assert "home" not in shown and "me/" not in shown and ("csv" in shown or "me" in shown)
    # What stands inside the study's folder is said from there; what an error tells has no place either.
    inside = without_places(f"{tmp_path / 'project'}/rows.csv is gone", config, None)
    assert inside == "rows.csv is gone"
    if isinstance(places, str):
        assert "home" not in without_places(f"{tmp_path / 'project' / one} is gone", config)
