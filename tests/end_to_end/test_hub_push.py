"""``traitscope push``: shown first, private, without a place of this machine, resumed, and back as rows and data."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hub import Hub, commit_of
from hub_store import files_of
from hub_study import SECRET, Verbs, write_study
from huggingface_hub import DatasetCard, ModelCard

from traitscope.errors import TraitscopeError
from traitscope.store.adapters import WEIGHTS
from traitscope.study import Study
from traitscope.study.push_cards import interval
from traitscope.study.pushing import plan_push

LOGIN = {"HF_TOKEN": SECRET}
ADAPTER, SCORES = "org/up-tone-s0", "org/up-scores"


def pushed(verbs: Verbs, file: Path, *options: object, status: int = 0, token: str | None = SECRET) -> tuple[str, str]:
    """What a push says on both streams."""
    environ = {"HF_TOKEN": token} if token else {}
    found, out, said = verbs("push", file, "--to", "org/up", *options, environ=environ)
    assert found == status, out + said
    assert "Traceback" not in said
    return out, said


def writes(hub: Hub) -> list[str]:
    """The requests that made or changed something."""
    return [one for one in hub.asked if one.startswith("PUT") or "/commit/" in one or one.endswith("/repos/create")]


def text_of(hub: Hub, kind: str, name: str, file: str = "README.md") -> str:
    return (hub.repositories[kind][name] / file).read_text()


def test_it_shows_first_and_sends_nothing(filled: Path, hub: Hub, verbs: Verbs) -> None:
    out, said = pushed(verbs, filled)
    assert f"model {ADAPTER}  adapter tone-s0; new, private" in out
    assert re.search(rf"dataset {SCORES}  score matrix, \d+ lines; new, private", out)
    for file in ("adapter_model.safetensors", "adapter_config.json", "README.md", "scores.parquet", "lock.json"):
        assert re.search(rf"new +[\d,]+ B +{re.escape(file)}", out)
    assert "library_name: peft" in out and "pretty_name: Transfer matrix of hub" in out
    assert "would be sent as me: 8 files" in said and "--yes sends it" in said
    assert writes(hub) == []


def test_what_is_sent_is_private_and_complete(filled: Path, hub: Hub, verbs: Verbs) -> None:
    pushed(verbs, filled, "--yes", "--license", "apache-2.0")
    assert {ADAPTER, SCORES} <= hub.holds.private
    adapter = hub.repositories["models"][ADAPTER]
    local = filled.parent / "runs/hub/adapters/tone-s0"
    assert (adapter / WEIGHTS).read_bytes() == (local / WEIGHTS).read_bytes()
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/tiny-base"

    card = ModelCard(text_of(hub, "models", ADAPTER)).data.to_dict()
    assert card["base_model"] == "org/tiny-base" and card["base_model_relation"] == "adapter"
    assert card["library_name"] == "peft" and card["license"] == "apache-2.0"
    assert card["datasets"] == ["org/tiny-data"] and {"lora", "traitscope"} <= set(card["tags"])
    cell = json.loads((filled.parent / "runs/hub/cells/tone-s0/tone/cell.json").read_text())
    result = card["model-index"][0]["results"][0]
    told = result["metrics"][0]
    assert result["dataset"]["type"] == "org/tiny-data"
    assert result["dataset"]["revision"] == commit_of(hub.repositories["datasets"]["org/tiny-data"])
    assert told["type"] == "accuracy" and told["value"] == pytest.approx(cell["scores"][0]["value"], abs=1e-6)
    assert told["args"]["n"] == 8
    assert told["args"]["interval_95"][0] < told["value"] < told["args"]["interval_95"][1]

    dataset = DatasetCard(text_of(hub, "datasets", SCORES)).data.to_dict()
    assert dataset["configs"][0]["data_files"] == [{"split": "train", "path": "scores.parquet"}]
    assert yaml.safe_load(text_of(hub, "datasets", SCORES, "study.yaml"))["base"]["model"] == "org/tiny-base"


@pytest.mark.parametrize(
    ("value", "stderr", "n", "lo", "hi"),
    [
        # 0 of 8 and 8 of 8: Wilson's ends, z^2 / (n + z^2) with z = 1.96.
        (0.0, 0.0, 8, 0.0, 0.3244),
        (1.0, 0.0, 8, 0.6756, 1.0),
        # Half of 100, by hand: 1.96 * sqrt(.25 / 99).
        (0.5, 0.050252, 100, 0.4015, 0.5985),
    ],
)
def test_intervals_of_cards(value: float, stderr: float, n: int, lo: float, hi: float) -> None:
    assert interval("accuracy", value, stderr, n) == pytest.approx((lo, hi), abs=1e-4)
    assert interval("accuracy", value, float("nan"), n) == (None, None)


def test_again_it_sends_what_changed_and_nothing_else(filled_copy: Path, hub: Hub, verbs: Verbs) -> None:
    pushed(verbs, filled_copy, "--yes")
    hub.asked.clear()
    _, said = pushed(verbs, filled_copy, "--yes")
    assert "nothing has changed since the last push" in said
    assert writes(hub) == []
    # A card that was edited in the run folder.
    card = filled_copy.parent / "runs/hub/adapters/tone-s0/README.md"
    card.write_text(card.read_text() + "\nMy own words.\n")
    out, _ = pushed(verbs, filled_copy)
    assert re.search(r"changed +[\d,]+ B +README.md", out) and re.search(r"same +[\d,]+ B +adapter_model", out)
    hub.asked.clear()
    pushed(verbs, filled_copy, "--yes")
    assert writes(hub) == [f"POST /api/models/{ADAPTER}/commit/main"]
    assert "My own words." in text_of(hub, "models", ADAPTER)


def test_cut_off_in_the_middle_it_goes_on_where_it_was(filled: Path, hub: Hub, verbs: Verbs) -> None:
    verbs.impatient = True
    hub.drop(rf"POST /api/datasets/{SCORES}/commit", times=100)
    _, said = pushed(verbs, filled, "--yes", status=2)
    assert "the connection to the Hub" in said and "(1 of 2 repositories are up to date)" in said
    assert "run the same command again" in said
    hub.mend()
    hub.asked.clear()
    pushed(verbs, filled, "--yes")
    assert writes(hub) == [f"POST /api/datasets/{SCORES}/commit/main"]
    # Files of the large storage that had come are not sent again.
    assert (hub.repositories["datasets"][SCORES] / "scores.parquet").stat().st_size > 0


def test_adapters_in_one_repository_are_rows_of_another_study(
    filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    pushed(verbs, filled, "--yes", "--one-repo", "--what", "adapters", "--public")
    name = "org/up-adapters"
    assert name not in hub.holds.private
    assert set(files_of(hub.repositories["models"][name])) == {
        "README.md",
        *(f"tone-s0/{file}" for file in ("README.md", "adapter_config.json", "adapter_model.safetensors")),
    }
    other = f"{{model: {name}, subfolder: tone-s0}}"
    file = write_study(tmp_path / "study", "org/tiny-base", other, "hub: org/tiny-data, splits: test, train: 0", "")
    file.write_text(file.read_text().replace("train: 0, train: 12, eval: 8", "train: 0, eval: 8"))
    status, _, said = verbs("run", file)
    assert status == 0, said
    there, mine = (
        json.loads((one.parent / f"runs/hub/cells/{model}/tone/cell.json").read_text())["scores"]
        for one, model in ((file, "other"), (filled, "tone-s0"))
    )
    assert [one["metric"] for one in there] == [one["metric"] for one in mine]


def test_the_matrix_comes_back_by_datasets(filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path) -> None:
    pushed(verbs, filled, "--yes", "--what", "scores", "--public")
    rows = "hub: org/up-scores, splits: train, train: 0, eval: 3"
    file = write_study(tmp_path / "study", "org/tiny-base", "org/tiny-adapter", rows, "")
    text = file.read_text().replace("eval: 3, train: 12, eval: 8", "eval: 3").replace("{{ text }} is", "{{ model }}")
    file.write_text(re.sub(r"answer: .*", 'answer: {loss: "{{ role }} {{ relation }} {{ value }}"}', text))
    file.write_text(
        file.read_text().replace("    metrics: [accuracy]\n", "").replace('    prompt: "{{ model }}"\n', "")
    )
    status, out, said = verbs("check", file)
    assert status == 0, said
    assert "0 train, 3 eval rows" in out
    assert re.search(r"base model 0\.\d+|source own 0\.\d+|foreign model 0\.\d+", out)


def test_nothing_that_is_sent_names_a_place_or_the_token(here: Path, hub: Hub, verbs: Verbs, tmp_path: Path) -> None:
    assert verbs("belt", here, "--out", tmp_path / "belt", "--loss", "100", "--size", "1", "--merge", "none")[0] == 0
    pushed(verbs, here, "--yes", "--belt", tmp_path / "belt")
    sent = [
        hub.repositories[kind][name]
        for kind, name in (("models", ADAPTER), ("models", "org/up-belt"), ("datasets", SCORES))
    ]
    hidden = [str(here.parents[1]), str(tmp_path), SECRET, str(Path.home()) + "/", os.uname().nodename]
    for folder in sent:
        for file in folder.rglob("*"):
            if file.is_file():
                assert not [one for one in hidden if one.encode() in file.read_bytes()], file
    # A base of this machine has no name on the Hub.
    card = ModelCard(text_of(hub, "models", ADAPTER)).data.to_dict()
    assert "base_model" not in card and "datasets" not in card
    assert "base_model" not in ModelCard(text_of(hub, "models", "org/up-belt")).data.to_dict()
    assert "belt.json" in {one.name for one in sent[1].iterdir()}


def test_a_place_in_an_edited_card_is_refused(filled_copy: Path, hub: Hub, verbs: Verbs) -> None:
    card = filled_copy.parent / "runs/hub/adapters/tone-s0/README.md"
    card.write_text(card.read_text() + f"\nLoad it from {Path.home()}/models\n")
    if Path.home() != Path("/"):
        _, said = pushed(verbs, filled_copy, "--yes", status=2)
        assert "names a place of this machine" in said and "README.md" in said
    card.write_text(card.read_text() + f"\n{SECRET}\n")
    _, said = pushed(verbs, filled_copy, "--yes", status=2)
    assert SECRET not in said and writes(hub) == []


@pytest.mark.parametrize(
    ("token", "options", "says"),
    [
        (None, ("--yes",), "nobody is logged in to the Hub"),
        ("hf_wrongwrongwrong", ("--yes",), "the Hub does not take your token"),
        ("reader", ("--yes",), "your token has no right to do this"),
    ],
)
def test_who_cannot_push(
    filled: Path, hub: Hub, verbs: Verbs, token: str | None, options: tuple[str, ...], says: str
) -> None:
    _, said = pushed(verbs, filled, *options, "--what", "scores", status=2, token=token)
    assert says in said and "fix: " in said, said
    assert not [one for one in writes(hub) if "/commit/" in one]
    assert SECRET not in said and "hf_wrong" not in said


@pytest.mark.parametrize(
    ("to", "options", "says"),
    [
        ("org", {}, "'org' is no name on the Hub"),
        ("org/a b", {}, "org/a b-tone-s0 is no name on the Hub"),
        ("org/up", {"models": ["tune"]}, "did you mean 'tone'"),
        ("org/up", {"belt": Path("nowhere")}, "belt --out"),
    ],
)
def test_what_cannot_be_pushed(here: Path, to: str, options: dict, says: str) -> None:
    with pytest.raises(TraitscopeError) as told:
        plan_push(Study.open(here), to, **options)
    assert says in str(told.value) and told.value.fix


def test_a_name_that_is_taken_and_a_repository_that_everybody_sees(
    filled: Path, hub: Hub, verbs: Verbs, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README.md").write_text("---\ntags: [mine]\n---\n# Mine\n")
    hub.repositories["models"][ADAPTER] = tmp_path / "other"
    _, said = pushed(verbs, filled, "--yes", status=2)
    assert "the name is taken" in said
    (tmp_path / "other/README.md").write_text("---\ntags: [traitscope]\n---\n# Mine\n")
    _, said = pushed(verbs, filled, "--yes", status=2)
    assert "everybody sees this repository" in said and "--public" in said
    (tmp_path / "other/more.txt").write_text("kept")
    pushed(verbs, filled, "--yes", "--public")
    assert text_of(hub, "models", ADAPTER, "more.txt") == "kept"
    hub.holds.private.add(ADAPTER)
    _, said = pushed(verbs, filled, "--yes", "--public", status=2)
    assert "there and private" in said and "/settings" in said


def test_comments_are_not_sent(filled_copy: Path, hub: Hub, verbs: Verbs) -> None:
    copy = filled_copy.parent / "runs/hub/study.yaml"
    text = copy.read_text()
    for file in (filled_copy, copy):
        file.write_text(f"# see /mnt/priv/x\n# token hf_oldoldoldold\n{file.read_text()}")
    pushed(verbs, filled_copy, "--yes", "--what", "scores")
    sent = text_of(hub, "datasets", SCORES, "study.yaml")
    assert "#" not in sent and "priv" not in sent and "hf_old" not in sent
    assert yaml.safe_load(sent) == yaml.safe_load(text)


def test_the_users_own_token_is_refused_whatever_its_shape(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.open(here)
    plan_push(study, "org/up")
    # A word of the cards.
    monkeypatch.setenv("HF_TOKEN", "higher_is_better")
    with pytest.raises(TraitscopeError, match="it holds a token") as told:
        plan_push(study, "org/up")
    assert "higher_is_better" not in str(told.value)


def with_prompt(file: Path, prompt: str) -> None:
    """Writes a prompt into the study file's copy in the run folder, which is what is sent."""
    copy = file.parent / "runs/hub/study.yaml"
    said = yaml.safe_load(copy.read_text())
    said["tasks"]["tone"]["prompt"] = prompt
    copy.write_text(yaml.safe_dump(said))


def test_the_user_says_that_it_is_no_place(filled_copy: Path, hub: Hub, verbs: Verbs) -> None:
    with_prompt(filled_copy, "GET /api/v1/users {{ text }} is")
    out, _ = pushed(verbs, filled_copy, "--what", "scores")
    assert re.search(r"looks like a place.*--allow-paths", out)
    assert "study.yaml, key tasks.tone.prompt: '/api/v1/users'" in out
    out, _ = pushed(verbs, filled_copy, "--what", "scores", "--json")
    assert [one["text"] for one in json.loads(out)["places"]] == ["/api/v1/users"]
    _, said = pushed(verbs, filled_copy, "--what", "scores", "--yes", status=2)
    assert "'/api/v1/users' looks like a place of a machine" in said and "--allow-paths" in said
    assert "key tasks.tone.prompt" in said and writes(hub) == []
    out, _ = pushed(verbs, filled_copy, "--what", "scores", "--allow-paths")
    assert "looks like" not in out
    pushed(verbs, filled_copy, "--what", "scores", "--yes", "--allow-paths")
    assert "/api/v1/users" in text_of(hub, "datasets", SCORES, "study.yaml")
