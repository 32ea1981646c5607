"""The evidence of a study: gradients made on demand and kept, and everything read again without a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from backends import Changed, Idle
from processes import snapshot
from safetensors import safe_open

from traitscope.compute import Differentiate, Refused
from traitscope.predict.evidence import Evidence, pair_features
from traitscope.study import Study
from traitscope.study.evidence import _updates, gather_evidence
from traitscope.study.newdata import with_dataset

DATASETS = ["story", "sums", "tone", "tone.mislabel"]


@pytest.fixture(scope="module")
def made(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evidence]:
    """A filled study with its gradients, not to be changed, and its evidence."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(filled, folder / "copy")
    study = Study.open(folder / "copy/study.yaml")
    return folder / "copy", study.evidence(gradients=True)


@pytest.fixture
def copy(made: tuple[Path, Evidence], tmp_path: Path) -> Path:
    """A copy of it; its run folder."""
    shutil.copytree(made[0], tmp_path / "copy")
    return tmp_path / "copy/runs/tiny"


def same(one: Evidence, other: Evidence) -> bool:
    return one.gradients.keys() == other.gradients.keys() and all(
        np.array_equal(one.gradients[name], other.gradients[name]) for name in one.gradients
    )


def test_a_run_makes_no_gradients_and_evidence_asks_for_them(filled: Path, tmp_path: Path) -> None:
    assert not list((filled / "runs/tiny/gradients").glob("*"))
    shutil.copytree(filled, tmp_path / "copy")
    assert Study.open(tmp_path / "copy/study.yaml", backend=Idle()).evidence().gradients == {}


def test_every_dataset_has_a_gradient_controls_included(made: tuple[Path, Evidence]) -> None:
    folder, evidence = made
    assert sorted(path.stem for path in (folder / "runs/tiny/gradients").iterdir()) == DATASETS
    assert sorted(evidence.gradients) == DATASETS
    assert not np.array_equal(evidence.gradients["tone"], evidence.gradients["tone.mislabel"])


def test_their_losses_and_norms_are_those_of_transformers(made: tuple[Path, Evidence]) -> None:
    """The norm by the chain rule: at B = 0 the gradient of B is scale * dL/dW A'."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from traitscope.engine import Adapter, LoraSpec, load_base
    from traitscope.study.gradients import RANK, SEED

    folder, evidence = made
    study = Study.open(folder / "study.yaml")
    place = study.config.base.model
    tokenizer, model = (
        AutoTokenizer.from_pretrained(place, trust_remote_code=False),
        AutoModelForCausalLM.from_pretrained(place, trust_remote_code=False),
    )
    first = Adapter.init(load_base(place, dtype="fp32", device="cpu"), LoraSpec(RANK, RANK), SEED)
    total, count = torch.zeros(()), 0
    for example in study.examples("sums")["train"]:
        prompt = tokenizer(example.prompt)["input_ids"]
        ids = [*tokenizer(example.prompt + example.answer)["input_ids"], tokenizer.eos_token_id]
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        total = total - sum(logprobs[at - 1, ids[at]] for at in range(len(prompt), len(ids)))
        count += len(ids) - len(prompt)
    (total / count).backward()
    assert evidence.losses["sums"] == pytest.approx((total / count).item(), rel=1e-4)
    weights, square = dict(model.named_parameters()), 0.0
    for piece in first.pieces:
        (weight,) = (value for name, value in weights.items() if name.endswith(f"{piece.name}.weight"))
        a_RD, _ = piece.views(first.flat)
        assert weight.grad is not None
        square += float(((weight.grad @ a_RD.T) ** 2).sum())
    with safe_open(folder / "runs/tiny/gradients/sums.safetensors", "np") as file:
        mark = json.loads(file.metadata()["traitscope"])
    assert mark["norm"] == pytest.approx(np.sqrt(square), rel=1e-3)


def test_they_are_read_again_without_a_model(made: tuple[Path, Evidence], copy: Path) -> None:
    again = Study.open(copy, backend=Idle())
    assert same(again.evidence(gradients=True), made[1])


def test_made_again_together_they_are_the_same_to_the_byte(copy: Path) -> None:
    before = snapshot(copy / "gradients")
    shutil.rmtree(copy / "gradients")
    Study.open(copy).evidence(gradients=True)
    assert snapshot(copy / "gradients") == before


def test_what_is_missing_or_damaged_is_made_again(made: tuple[Path, Evidence], copy: Path) -> None:
    before = snapshot(copy / "gradients")
    (copy / "gradients/sums.safetensors").unlink()
    (copy / "gradients/tone.safetensors").write_bytes(b"cut off")
    assert sorted(Study.open(copy).evidence().gradients) == ["story", "tone.mislabel"]
    again = Study.open(copy).evidence(gradients=True)
    after = snapshot(copy / "gradients")
    assert {name for name in before if after[name] != before[name]} <= {"sums.safetensors", "tone.safetensors"}
    # In other company a pass rounds otherwise.
    for name in DATASETS:
        np.testing.assert_allclose(again.gradients[name], made[1].gradients[name], atol=1e-5)


def test_gradients_of_other_rows_are_not_used(copy: Path) -> None:
    shutil.copy(copy / "gradients/sums.safetensors", copy / "gradients/tone.safetensors")
    assert sorted(Study.open(copy).evidence().gradients) == ["story", "sums", "tone.mislabel"]


def test_a_dataset_that_the_base_cannot_read_costs_its_own_gradient_alone(
    made: tuple[Path, Evidence], copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(copy / "gradients")
    shutil.rmtree(copy / "gradients")
    too_long = Refused("row 3 is too long", None, None)
    refuse = Changed(lambda o: [too_long] if isinstance(o, Differentiate) and "sums" in o.parts else None)
    study = Study.open(copy, backend=refuse)
    notes: list[str] = []
    monkeypatch.setattr(study.report_to, "note", notes.append, raising=False)
    evidence = study.evidence(gradients=True)
    assert sorted(evidence.gradients) == ["story", "tone", "tone.mislabel"]
    assert notes == ["no mean gradient of sums: row 3 is too long"]
    # Alone or side by side with others, a dataset's gradient is the same to rounding.
    for name in evidence.gradients:
        np.testing.assert_allclose(evidence.gradients[name], made[1].gradients[name], atol=1e-5)
    Study.open(copy).evidence(gradients=True)
    assert sorted(snapshot(copy / "gradients")) == sorted(before)


def test_features_of_a_filled_study(made: tuple[Path, Evidence]) -> None:
    _, evidence = made
    found = pair_features(evidence, ["tone", "sums"], ["tone", "sums", "story"])
    assert {"style similarity", "gradient alignment", "update alignment"} <= set(found.names)
    assert set(found.costs) == {"text", "base", "adapters"}
    seconds = dict(zip(found.costs, found.seconds, strict=True))
    assert seconds["text"] > 0 and seconds["base"] > 0
    aligned_IN = found.only(["gradient alignment"]).values_FIN[0]
    assert np.isfinite(aligned_IN).all() and np.diag(aligned_IN) == pytest.approx(1.0)
    assert np.abs(aligned_IN[[0, 1], [1, 0]]).max() < 0.9
    updates_IN = found.only(["update alignment"]).values_FIN[0]
    # Nobody trained on "story".
    assert np.isnan(updates_IN[:, 2]).all() and updates_IN[0, 1] == pytest.approx(updates_IN[1, 0])


def test_update_alignment_is_that_of_the_weights_peft_merges(made: tuple[Path, Evidence]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, evidence = made
    place = Study.open(folder / "study.yaml").config.base.model
    plain = {
        n: p.detach().clone()
        for n, p in AutoModelForCausalLM.from_pretrained(place, trust_remote_code=False).named_parameters()
    }
    moved = []
    for name in ("tone-s0", "sums-s0"):
        model = AutoModelForCausalLM.from_pretrained(place, trust_remote_code=False)
        merged = PeftModel.from_pretrained(model, folder / "runs/tiny/adapters" / name).merge_and_unload()
        moved.append(np.concatenate([(p.detach() - plain[n]).numpy().ravel() for n, p in merged.named_parameters()]))
    one, other = moved
    expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    found = pair_features(evidence, ["tone"], ["sums"]).only(["update alignment"]).values_FIN.item()
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_new_dataset_has_the_evidence_that_costs_no_training(copy: Path, tmp_path: Path) -> None:
    """The same rows under another name: as alike as a dataset is to itself."""
    study = Study.open(copy)
    asked = {example.prompt.removesuffix("=") for example in study.examples("sums")["train"]}
    lines = (copy.parents[1] / "sums-train.jsonl").read_text().splitlines()
    rows = [line for line in lines if json.loads(line)["question"] in asked]
    (tmp_path / "extra.jsonl").write_text("\n".join(rows) + "\n")
    before = snapshot(copy / "gradients")
    beside, name = with_dataset(study, tmp_path / "extra.jsonl", "sums")
    assert name == "extra"
    evidence = gather_evidence(beside, gradients_wanted=True)
    assert snapshot(copy / "gradients") == before
    found = pair_features(evidence, ["extra", "tone"], ["sums", "story"])
    aligned_IN = found.only(["gradient alignment"]).values_FIN[0]
    assert aligned_IN[0, 0] == pytest.approx(1.0, abs=1e-5) and aligned_IN[1, 0] < 0.9
    assert found.only(["shared examples"]).values_FIN[0, 0, 0] == 1.0
    assert set(found.costs) == {"text", "base"}
    assert evidence.rows["extra"] == len(rows) == 12


def test_an_update_has_the_scale_that_peft_gives_it(copy: Path) -> None:
    """Rank-stabilised adapters are scaled by the root of their rank (Kalajdzievski 2023)."""
    from safetensors.numpy import load_file

    root = copy / "adapters/tone-s0"
    tensors = load_file(root / "adapter_model.safetensors")
    key = next(name for name in tensors if name.endswith(".lora_B.weight"))
    config = json.loads((root / "adapter_config.json").read_text())
    for stabilised, scale in (
        (False, config["lora_alpha"] / config["r"]),
        (True, config["lora_alpha"] / config["r"] ** 0.5),
    ):
        (root / "adapter_config.json").write_text(json.dumps({**config, "use_rslora": stabilised}))
        _, b_OR = _updates(Study.open(copy))["tone"][key.removesuffix(".lora_B.weight")]
        np.testing.assert_allclose(b_OR, scale * tensors[key], rtol=1e-6)
