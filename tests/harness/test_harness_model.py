"""Our bank as a model of lm-evaluation-harness: what the harness says with it is what it says with HFLM and PEFT."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import harness_results

from traitscope.errors import TraitscopeError

TASKS = ["pick", "last", "corpus", "sums"]


def _numbers(table: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in table.items() if "," in key and "_stderr," not in key}


@pytest.fixture(scope="module")
def manager(yamls: Path) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(yamls), include_defaults=False)


def test_one_pass_gives_the_harness_results_of_every_adapter(
    base: Path, yamls: Path, adapters: dict[str, Path], manager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traitscope import lm_eval
    from traitscope.lm_eval import model as module

    passes = []
    asked = module.answer_requests
    monkeypatch.setattr(module, "answer_requests", lambda *a, **k: passes.append(len(a[1])) or asked(*a, **k))
    found = lm_eval.evaluate(
        str(base),
        adapters,
        TASKS,
        output_path=tmp_path,
        model={"dtype": "fp32", "device": "cpu"},
        task_manager=manager,
        bootstrap_iters=0,
    )
    assert list(found) == ["base", *adapters]
    # Log-likelihoods, rolling ones, generation: once each, whatever the number of adapters.
    assert len(passes) == 3
    for name, adapter in {"base": None, "two": adapters["two"]}.items():
        expected = harness_results(base, adapter, TASKS, yamls, bootstrap_iters=0)
        for task in TASKS:
            ours, theirs = (_numbers(one["results"][task]) for one in (found[name], expected[task]))
            assert theirs and ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    assert found["one"]["results"]["last"]["perplexity,none"] != found["two"]["results"]["last"]["perplexity,none"]
    files = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("results_*.json")}
    assert set(files) == {"base", "one", "two"}
    assert files["two"]["results"]["pick"]["acc,none"] == found["two"]["results"]["pick"]["acc,none"]


@pytest.mark.verify
def test_the_harness_command_line_gives_one_result_for_each(
    base: Path, yamls: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    arguments = f"base={base},adapters={adapters['one']};{adapters['two']},dtype=float32,device=cpu"
    command = [sys.executable, "-m", "traitscope.lm_eval", "--model", "traitscope", "--model_args", arguments]
    command += ["--tasks", str(yamls / "pick.yaml"), "--output_path", str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    found = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("results_*.json")}
    assert set(found) == {"base", "one", "two"}
    expected = harness_results(base, adapters["one"], ["pick"], yamls, bootstrap_iters=0)["pick"]["results"]["pick"]
    assert found["one"]["results"]["pick"]["acc_norm,none"] == expected["acc_norm,none"]
    assert found["one"]["config"]["model_args"]["peft"] == "one"


def test_several_adapters_need_a_name_and_a_name_must_be_one_of_them(base: Path, adapters: dict[str, Path]) -> None:
    from traitscope.lm_eval import TraitscopeLM, adapter_folders

    with pytest.raises(TraitscopeError, match="2 adapters, and the harness has one result"):
        TraitscopeLM(str(base), adapters, device="cpu")
    with pytest.raises(TraitscopeError, match="did you mean 'one'"):
        TraitscopeLM(str(base), adapters, "onne", device="cpu")
    with pytest.raises(TraitscopeError, match="two models are called 'a'"):
        adapter_folders("x/a;y/a")
    assert adapter_folders("p=x/a;y/b") == {"p": Path("x/a"), "b": Path("y/b")}


def test_every_model_has_a_cache_of_its_own(
    base: Path, adapters: dict[str, Path], manager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traitscope import lm_eval
    from traitscope.lm_eval import model as module

    def results(folder: Path, cache: Path | None) -> dict[str, Any]:
        options: dict[str, Any] = {"model": {"dtype": "fp32", "device": "cpu"}, "task_manager": manager, "limit": 3}
        found = lm_eval.evaluate(
            str(base), {"one": folder}, ["last"], bootstrap_iters=0, use_cache=cache and str(cache), **options
        )
        return {name: one["results"]["last"]["perplexity,none"] for name, one in found.items()}

    plain = results(adapters["one"], None)
    assert plain["base"] != plain["one"]
    assert results(adapters["one"], tmp_path / "kept") == plain
    monkeypatch.setattr(module, "answer_requests", None)
    assert results(adapters["one"], tmp_path / "kept") == plain
    with pytest.raises(TraitscopeError, match=r"kept-one.*holds answers of another model than 'one'"):
        results(adapters["two"], tmp_path / "kept")


def test_the_command_line_gives_every_model_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval._cli import HarnessCLI

    from traitscope.lm_eval import __main__ as program

    seen = []
    monkeypatch.setattr(HarnessCLI, "execute", lambda _, args: seen.append((args.model_args["peft"], args.use_cache)))
    arguments = ["--model", "traitscope", "--model_args", "base=b,adapters=x/one;y/two", "--tasks", "t"]
    monkeypatch.setattr(sys, "argv", ["lm_eval", "run", *arguments, "--use_cache", "kept"])
    program.main()
    assert seen == [("base", "kept-base"), ("one", "kept-one"), ("two", "kept-two")]


def test_the_harness_gets_the_model_that_its_arguments_describe(
    base: Path, adapters: dict[str, Path], manager: Any, tmp_path: Path
) -> None:
    import lm_eval

    import traitscope.lm_eval  # noqa: F401

    def results(**arguments: Any) -> float:
        given = {"base": str(base), "dtype": "fp32", **arguments}
        options: dict[str, Any] = {"tasks": ["last"], "task_manager": manager, "limit": 3, "bootstrap_iters": 0}
        found = lm_eval.simple_evaluate("traitscope", model_args=given, **options)
        assert found is not None
        value: float = found["results"]["last"]["perplexity,none"]
        return value

    folder, both = tmp_path / "mine", ";".join(map(str, adapters.values()))
    shutil.copytree(adapters["one"], folder)
    alone, one, two = results(), results(adapters=both, peft="one"), results(adapters=both, peft="two")
    assert len({alone, one, two}) == 3
    # Whatever was asked before with the same adapters.
    with pytest.raises(TraitscopeError, match="2 adapters, and the harness has one result"):
        results(adapters=both)
    assert results(adapters=str(folder), peft="base") == alone
    assert results(adapters=str(folder)) == one
    shutil.rmtree(folder)
    shutil.copytree(adapters["two"], folder)
    assert results(adapters=str(folder)) == two


def test_the_command_line_loads_its_model_once(
    base: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval._cli import HarnessCLI

    from traitscope.lm_eval import TraitscopeLM
    from traitscope.lm_eval import __main__ as program

    seen: list[TraitscopeLM] = []
    monkeypatch.setattr(
        HarnessCLI, "execute", lambda _, args: seen.append(TraitscopeLM.create_from_arg_obj(args.model_args))
    )
    monkeypatch.setattr(TraitscopeLM, "choose", lambda self, name: chosen.append(name))
    chosen: list[str] = []
    given = f"base={base},adapters={adapters['one']};{adapters['two']}"
    monkeypatch.setattr(sys, "argv", ["lm_eval", "run", "--model", "traitscope", "--model_args", given, "--tasks", "t"])
    program.main()
    assert chosen == ["base", "one", "two"] and len({id(lm) for lm in seen}) == 1
    assert TraitscopeLM.create_from_arg_obj({"base": str(base)}) is not seen[0]


@pytest.mark.parametrize(("name", "told"), [("kept", r"kept-base_rank0\.db cannot be read"), ("", "has no name")])
def test_a_cache_that_is_none_is_told(base: Path, manager: Any, tmp_path: Path, name: str, told: str) -> None:
    from traitscope import lm_eval

    (tmp_path / "kept-base_rank0.db").write_text("no database" * 100)
    cache = str(tmp_path / name) if name else name
    with pytest.raises(TraitscopeError, match=told):
        lm_eval.evaluate(str(base), [], ["last"], model={"device": "cpu"}, task_manager=manager, use_cache=cache)
