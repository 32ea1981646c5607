"""The base's mean hidden states: captured once with the model, read by the analyses without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from backends import Changed, Idle
from processes import snapshot

from traitscope.compute import Capture, Refused
from traitscope.study import Study

DATASETS = ["tone", "tone.mislabel", "sums", "story"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled study with a base of its own, which a test may take away."""
    folder = tmp_path_factory.mktemp("filled")
    Study.open(tiny.make_study(folder, tiny.make_base(folder / "base", layers=4))).run()
    return folder


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled study; its run folder."""
    shutil.copytree(filled, tmp_path / "copy")
    return tmp_path / "copy" / "runs/tiny"


def read(folder: Path, name: str) -> np.ndarray:
    from safetensors.numpy import load_file

    return load_file(folder / "hidden" / f"{name}.safetensors")["mean_SD"]


def test_the_states_are_those_of_transformers_averaged_over_prompt_and_answer(filled: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(filled / "base", trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(filled / "base", trust_remote_code=False)
    study = Study.open(filled / "study.yaml")
    for name, part in (("tone", "train"), ("sums", "train"), ("story", "eval")):
        states_SD = read(filled / "runs/tiny", name)
        examples = study.examples(name)[part]
        assert states_SD.shape == (len(examples), 32) and states_SD.dtype == np.float32
        for state_D, example in zip(states_SD, examples, strict=True):
            # A text without a prompt follows the first token.
            ids = tokenizer(example.prompt + example.answer)["input_ids"]
            ids = ids if example.prompt else [tokenizer.bos_token_id, *ids]
            with torch.no_grad():
                found = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[2]
            np.testing.assert_allclose(state_D, found[0].mean(dim=0).numpy(), atol=1e-5)


def test_a_control_has_states_of_its_own_rows(filled: Path) -> None:
    folder = filled / "runs/tiny"
    assert sorted(path.stem for path in (folder / "hidden").iterdir()) == sorted(DATASETS)
    assert not np.array_equal(read(folder, "tone"), read(folder, "tone.mislabel"))


def test_semantic_similarity_rests_on_them_and_no_model_is_loaded(copy: Path) -> None:
    study = Study.open(copy, backend=Idle())
    semantic = study.dataset_stats().similarity["semantic"]
    assert semantic.by == "hidden" and "hidden states" in semantic.label
    assert list(semantic.names) == DATASETS
    assert '"by": "hidden"' in (copy / "analysis/stats.json").read_text()


def test_without_them_similarity_is_by_tfidf_and_says_so(copy: Path) -> None:
    shutil.rmtree(copy / "hidden")
    stats = Study.open(copy).dataset_stats()
    assert stats.similarity["semantic"].by == "tfidf"
    assert any("TF-IDF" in note and "tone.mislabel" in note for note in stats.notes)
    assert "TF-IDF" in stats.render()


def test_what_is_missing_is_captured_again_to_the_byte_and_findings_follow(copy: Path) -> None:
    before = snapshot(copy)
    (copy / "hidden/sums.safetensors").unlink()
    (copy / "hidden/tone.safetensors").write_bytes(b"cut off")
    assert Study.open(copy).dataset_stats().similarity["semantic"].by == "tfidf"
    work = Study.open(copy).evaluate()
    assert work is not None and work.captured == ["hidden/tone", "hidden/sums"]
    assert work.evaluated == [] and work.trained == []
    study = Study.open(copy)
    assert study.run() is None
    assert study.dataset_stats().similarity["semantic"].by == "hidden"
    after = {name: mark for name, mark in snapshot(copy).items() if not name.startswith("analysis/")}
    assert after == before


def test_rows_that_the_base_cannot_read_are_noted_and_the_study_stands(copy: Path, monkeypatch) -> None:
    (copy / "hidden/sums.safetensors").unlink()
    too_long = Refused("too long", None, None)
    study = Study.open(copy, backend=Changed(lambda order: [too_long] if isinstance(order, Capture) else None))
    notes: list[str] = []
    monkeypatch.setattr(study.report_to, "note", notes.append, raising=False)
    work = study.run()
    assert work is not None and work.captured == []
    assert notes == ["no hidden states of sums: too long"]


def test_states_of_other_rows_are_not_used(copy: Path) -> None:
    shutil.copy(copy / "hidden/sums.safetensors", copy / "hidden/tone.safetensors")
    assert Study.open(copy).dataset_stats().similarity["semantic"].by == "tfidf"


def test_without_the_base_similarity_stays_and_lengths_in_tokens_go(copy: Path, filled: Path) -> None:
    base = filled / "base"
    moved = base.rename(base.with_name("away"))
    try:
        study = Study.open(copy)
        stats = study.dataset_stats()
        assert stats.similarity["semantic"].by == "hidden"
        assert stats.frame["answer_tokens_mean"].isna().all()
        assert any("no tokenizer" in note for note in stats.notes)
        assert len(study.effects().findings)
    finally:
        moved.rename(base)
    again = Study.open(copy).dataset_stats()
    assert again.frame["answer_tokens_mean"].notna().all()
