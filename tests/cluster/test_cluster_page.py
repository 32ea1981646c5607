"""docs/cluster.md is true: its scripts run, with a stand-in for SLURM's srun; its plan is the script's, by hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tiny
from rays import _free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cluster.md"
sys.path.insert(0, str(ROOT))

from benchmarks.cluster_plan import Sizes, plan, table  # noqa: E402

from traitscope.study import Study  # noqa: E402


def script(name: str) -> str:
    match = re.search(rf"<!-- file: {re.escape(name)} -->\n```bash\n(.*?)```", PAGE.read_text(), re.S)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("name", ["ray.sbatch", "array.sbatch", "gather.sh"])
def test_the_scripts_are_ones_that_bash_reads(name: str) -> None:
    assert subprocess.run(["bash", "-n", "-c", script(name)], capture_output=True, text=True).stderr == ""


def test_the_plan_of_the_page_is_the_scripts() -> None:
    made = table({f"{model}, 64 GPUs": Sizes(model=model) for model in ("1B", "8B")})
    assert f"<!-- table: plan -->\n{made}\n<!-- end -->" in PAGE.read_text()


def test_the_plan_by_hand() -> None:
    """Ten adapters of 60 rows of 100 tokens in two epochs, three tasks of 50 rows, on two GPUs of one machine."""
    found = plan(Sizes(adapters=10, tasks=3, gpus=2, train_rows=60, train_tokens=100, epochs=2, eval_rows=50))
    assert found.train_s == pytest.approx(120_000 / 59_450 / 2)
    assert found.score_s == pytest.approx(33 * 50 / (1000 / 3.947) / 2)
    assert (found.cells, found.files) == (33, 10 * 5 + 33 * 2)
    assert found.cell_bytes == pytest.approx(33 * (2_100 + 50 * 65))
    # The base once, every adapter there and back.
    assert found.shipped_bytes == pytest.approx(2.5e9 + 2 * 10 * 45e6)
    assert found.commit_s["local disk"] == pytest.approx(0.4455)
    assert found.gpu_hours == pytest.approx((found.train_s + found.score_s) * 2 / 3600)
    assert plan(Sizes(gpus=9)).shipped_bytes - plan(Sizes(gpus=8)).shipped_bytes == pytest.approx(2.5e9)


# Runs what it is given, as SLURM would on a machine of the allocation.
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do shift; done
exec "$@"
"""


def allocation(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a batch script whose traitscope and ray are those of the tests."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "srun").write_text(SRUN)
    (tools / "traitscope").write_text(f'#!/bin/bash\nexec {sys.executable} -m traitscope "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), **more}


def make_study(folder: Path) -> None:
    base = tiny.make_base(folder / "base")
    text = tiny.make_study(folder / "made", base).read_text().replace("study: tiny", "study: study")
    (folder / "study.yaml").write_text(text.replace("threads: 1", "threads: 1, workers: 2"))
    for rows in (folder / "made").glob("*.jsonl"):
        rows.rename(folder / rows.name)
    shutil.rmtree(folder / "made")


@pytest.mark.verify
def test_the_script_for_an_allocation_starts_ray_and_leaves_nothing_behind(tmp_path: Path) -> None:
    import psutil

    make_study(tmp_path)
    scratch = tempfile.mkdtemp(prefix="ts-ray-", dir="/tmp")
    job = {
        "SLURM_JOB_ID": str(_free_port() - 20000),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_TMPDIR": scratch,
        "RAY_memory_monitor_refresh_ms": "0",
    }
    done = subprocess.run(
        ["bash", "-c", script("ray.sbatch")],
        env=allocation(tmp_path, **job),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert Study.open(tmp_path / "study.yaml").plan().complete

    def left() -> list[int]:
        processes = psutil.process_iter(["pid", "cmdline"])
        return [p.info["pid"] for p in processes if any(scratch in word for word in p.info["cmdline"] or ())]

    wait_for("end of Ray's processes", lambda: not left(), 30.0)
    shutil.rmtree(scratch)


@pytest.mark.parametrize("inner", ["", "bases/alpha/", "bases/beta/"])
def test_gathering_takes_every_unit_of_every_share_once(tmp_path: Path, inner: str) -> None:
    """A file of the first share stays as it is; what only sums others up is left behind."""
    for share, units in {"1": "ab", "2": "bc", "10": "d"}.items():
        for kind in ("adapters", "cells", "hidden"):
            for unit in units:
                place = tmp_path / "shards" / share / inner / kind / unit
                place.mkdir(parents=True)
                (place / "unit.json").write_text(share)
        (tmp_path / "shards" / share / inner / "cells" / "index.json").write_text(share)
        (tmp_path / "shards" / share / inner / "lock.json").write_text(share)
    environment = allocation(tmp_path)
    (tmp_path / "bin" / "traitscope").write_text("#!/bin/bash\necho $@\n")
    done = subprocess.run(
        ["bash", "-c", script("gather.sh")], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run study.yaml --out runs/study\n"
    made = tmp_path / "runs" / "study" / inner
    for kind in ("adapters", "cells", "hidden"):
        found = {path.parent.name: path.read_text() for path in (made / kind).glob("*/unit.json")}
        assert found == {"a": "1", "b": "1", "c": "2", "d": "10"}
    assert (made / "cells" / "index.json").read_text() == (made / "lock.json").read_text() == "1"
    assert not list((tmp_path / "runs/study").rglob("*[*]*"))


def test_gathering_that_fails_runs_nothing(tmp_path: Path) -> None:
    environment = allocation(tmp_path)
    (tmp_path / "bin" / "traitscope").write_text("#!/bin/bash\ntouch ran\n")
    done = subprocess.run(["bash", "-c", script("gather.sh")], env=environment, cwd=tmp_path, capture_output=True)
    assert done.returncode != 0 and not (tmp_path / "ran").exists()


@pytest.mark.verify
@pytest.mark.parametrize("several", [False, True])
def test_the_scripts_for_an_array_and_for_gathering_make_the_whole_study(tmp_path: Path, several: bool) -> None:
    make_study(tmp_path)
    if several:
        tiny.make_base(tmp_path / "other", 1)
        base = f"base: {{model: {tmp_path / 'base'}, dtype: fp32}}"
        bases = f"bases: [{base.removeprefix('base: ')}, {{model: {tmp_path / 'other'}, dtype: fp32}}]"
        tiny.change(tmp_path / "study.yaml", base, bases)
    environment = allocation(tmp_path, SLURM_ARRAY_TASK_COUNT="2")
    alone = script("array.sbatch").replace("study.yaml --shard", "study.yaml --out shards/$SLURM_ARRAY_TASK_ID --shard")
    for k in ("1", "2"):
        job = {**environment, "SLURM_ARRAY_TASK_ID": k}
        done = subprocess.run(["bash", "-c", alone], env=job, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    gather = script("gather.sh")
    done = subprocess.run(["bash", "-c", gather], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nothing" in done.stderr.lower() or "complete" in (done.stderr + done.stdout).lower(), done.stderr
