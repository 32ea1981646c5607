"""Every benchmark runs through at its smallest size, and both sides find the same; the ratios prove nothing there."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.harness import Report, Row, Span, faster  # noqa: E402

from benchmarks import harness  # noqa: E402


@pytest.fixture(autouse=True)
def _quiet() -> None:
    harness.quiet()


def figures(text: str) -> list[float]:
    """The numbers such as 1.2e-05 in an equality cell."""
    words = text.replace(",", " ").replace(";", " ").split()
    return [float(word) for word in words if "e-" in word or "e+" in word]


def test_the_table_names_a_missed_target_and_keeps_the_notes() -> None:
    missed = faster("a", "p", Span(2.0, 3.0), Span(1.0, 1.0), target=5.0, equality="1e-6", extra=7)
    met = Row("b", "q", "MB", 4.0, 2.0, 2.0, 1.0, "same")
    text = harness.table([Report("one", [missed, met], ["a note"])])
    lines = text.splitlines()
    assert ">= 5 MISSED" in lines[2] and "2.00" in lines[2] and "3.00" in lines[2]
    assert ">= 1" in lines[3] and "MISSED" not in lines[3]
    assert "one: a note" in text
    assert missed.details["extra"] == 7


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    report = Report("one", [Row("b", "q", "MB", 4.0, 2.0, 2.0, None, "same", None, {"x": 1})], ["note"], {"d": 2})
    assert Report.read(report.write(tmp_path)) == report


def test_the_page_gets_the_tables_between_its_marks_and_keeps_the_rest() -> None:
    from benchmarks.docs import fill

    machine = {"date": "2026-01-02T03", "cores": 2, "processor": "P", "versions": {"torch": "2"}, "settings": "alike"}
    report = Report(
        "score", [Row("b", "q", "MB", 4.0, 2.0, 2.0, None, "same")], ["said"], {}, {"of": "full"}, 1.0, machine
    )
    page = "a\n<!-- table: score -->\nold\n<!-- end -->\nb\n<!-- table: gpu -->\nkept\n<!-- end -->\n"
    filled = fill(page, {"score": report})
    assert filled.startswith("a\n<!-- table: score -->\n2026-01-02, sizes: full; P, 2 cores; torch 2.\n")
    assert "| score " in filled and "- score: said" in filled and "old" not in filled and "kept" in filled
    assert fill(filled, {"score": report}) == filled


def test_the_paper_s_formula_equals_the_one_with_gram_matrices() -> None:
    from benchmarks.paper_cka import feature_cka

    rng = np.random.default_rng(0)
    x_SD, y_SE = rng.standard_normal((20, 5)), rng.standard_normal((20, 7))
    centre_SS = np.eye(20) - 1 / 20
    k_SS, l_SS = centre_SS @ x_SD @ x_SD.T @ centre_SS, centre_SS @ y_SE @ y_SE.T @ centre_SS
    wanted = np.trace(k_SS @ l_SS) / np.sqrt(np.trace(k_SS @ k_SS) * np.trace(l_SS @ l_SS))
    assert feature_cka(x_SD, y_SE) == pytest.approx(wanted, abs=1e-12)


def test_without_a_gpu_the_gpu_benchmark_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from benchmarks import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    report = gpu.run(gpu.SIZES["default"], tmp_path)
    assert report.rows == [] and report.notes == ["no CUDA device here: not run"]


def test_training_and_scoring_agree_with_the_peers_where_the_gpu_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    from benchmarks import gpu

    report = gpu.run(replace(gpu.SIZES["tiny"], device="cpu", dtype="fp32", steps=4), tmp_path)
    assert [row.peer for row in report.rows] == ["PEFT + Trainer", "plain PEFT loop", "HFLM + PeftModel"]
    assert all(max(figures(row.equality)) < 1e-4 for row in report.rows)


@pytest.mark.verify
def test_layers_agree_with_the_paper_s_way(tmp_path: Path) -> None:
    from benchmarks import layers

    report = layers.run(layers.SIZES["tiny"], tmp_path)
    assert len(report.rows) == 3
    with_generation, without = report.rows[:2]
    # Eight two-token sentiments at most under three models: the steps are counted, not the limit of 512.
    assert 0 < with_generation.details["peer_generated_tokens"] <= 8 * 3 * 4
    assert with_generation.ours == without.ours
    assert all(max(figures(row.equality)) < 1e-4 for row in report.rows)


@pytest.mark.verify
@pytest.mark.parametrize("name", ["train", "score", "generate", "grid", "memory", "scale"])
def test_a_benchmark_runs_by_itself_and_both_sides_agree(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = Report.read(tmp_path / f"{name}.json")
    assert report.rows and all(row.ratio > 0 for row in report.rows)
    assert "| ratio" in (tmp_path / "table.md").read_text()
    assert json.loads((tmp_path / f"{name}.json").read_text())["machine"]["versions"]["torch"]
    if name in ("train", "score"):
        assert all(max(figures(row.equality)) < 2e-4 for row in report.rows)
    if name == "generate":
        assert report.rows[-1].equality == "9 of 9 strings identical"
    if name == "grid":
        same = report.details["same_adapters"]
        assert same["score"] == 0 and same["loglikelihood"] < 1e-4 and same["same_texts"] == same["texts"]
    if name == "memory":
        assert report.rows[0].ratio >= 1


@pytest.mark.verify
def test_both_sides_agree_on_a_real_base(shared_data: Path, real_base: Path) -> None:
    from benchmarks import real, real_study

    sizes = replace(real_study.QUICK, rows=2, tasks=3)
    report = real.run(sizes, shared_data, [])
    parts = {row.what.split(",")[0]: row for row in report.rows}
    assert set(parts) == {"training", "0-shot", "5-shot", "generation", "all but the shots"}
    assert max(figures(parts["0-shot"].equality)) < 1e-3 and max(figures(parts["5-shot"].equality)) < 1e-3
    said, of = parts["generation"].equality.split(" of ")
    assert int(said) == int(of.split()[0]) == 4
    assert all(row.shares is not None and 0 < row.shares[1] <= 1 for row in report.rows)
