"""A study file says what it means: defaults, names, recipe changes, mixes, and YAML without surprises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import traitscope
from traitscope.config import DataConfig, RecipeConfig, StudyConfig, TaskConfig, load_config
from traitscope.config.yamlfile import parse_yaml, read_yaml
from traitscope.registry import Registry

TASK: dict[str, Any] = {
    "data": {"path": "rows.jsonl", "train": 4, "eval": 4},
    "prompt": "{{ text }}",
    "answer": {"choice": ["a", "b"], "gold": "{{ label }}"},
}


def study(**keys: Any) -> StudyConfig:
    target_only = {**TASK, "data": {"path": {"eval": "rows.jsonl"}}}
    source_only = {**TASK, "data": {"path": {"train": "rows.jsonl"}}}
    tasks = {"one": TASK, "two": {**TASK, "tags": {"cluster": "x"}}, "t": target_only, "s": source_only}
    return StudyConfig(**{"study": "s", "base": "embedded", "tasks": tasks, **keys})


def test_sources_and_targets_default_to_what_has_rows() -> None:
    config = study()
    assert [s.name for s in config.resolved_sources()] == ["one", "two", "s"]
    assert config.target_names() == ("one", "two", "t")


def test_sources_may_carry_recipe_changes_in_a_list_or_a_mapping() -> None:
    listed = study(sources=["one", {"two": {"rank": 4, "seeds": 3}}])
    mapped = study(sources={"one": None, "two": {"rank": 4, "seeds": [3]}})
    assert listed.sources == mapped.sources
    one, two = listed.resolved_sources()
    assert (one.recipe.rank, two.recipe.rank, two.recipe.seeds) == (16, 4, (3,))
    assert two.recipe.lr == one.recipe.lr


def test_one_task_may_train_two_adapters() -> None:
    config = study(sources=["one", {"one_wide": {"task": "one", "rank": 64}}])
    assert [(s.name, s.task, s.recipe.rank) for s in config.resolved_sources()] == [
        ("one", "one", 16),
        ("one_wide", "one", 64),
    ]


def test_controls_follow_their_source_with_its_recipe() -> None:
    config = study(sources=[{"one": {"rank": 2}}, "two"], controls={"one": ["mislabel", "balance"]})
    found = [(s.name, s.task, s.control, s.recipe.rank) for s in config.resolved_sources()]
    assert found == [
        ("one", "one", None, 2),
        ("one.mislabel", "one", "mislabel", 2),
        ("one.balance", "one", "balance", 2),
        ("two", "two", None, 16),
    ]


def test_controls_are_of_a_source_and_not_of_its_task() -> None:
    config = study(sources=["one", {"wide": {"task": "one", "rank": 64}}], controls={"wide": ["mislabel"]})
    found = [(s.name, s.task, s.control, s.recipe.rank) for s in config.resolved_sources()]
    assert found == [("one", "one", None, 16), ("wide", "one", None, 64), ("wide.mislabel", "one", "mislabel", 64)]


def test_class_names_are_the_options_without_the_space_around_them() -> None:
    task = TaskConfig(**{**TASK, "answer": {"choice": [" yes", "no "], "gold": "{{ label }}"}})
    assert task.answer.classes == ("yes", "no")


def test_mixes_leave_out_controls_and_held_out_tasks() -> None:
    config = study(
        controls={"one": ["mislabel"]},
        mixes={"all": {"per_task": 5, "rank": 32}, "less": {"hold_out": ["one"]}, "odd": {"of": ["one.mislabel", "s"]}},
    )
    assert [s.name for s in config.mix_sources("all")] == ["one", "two", "s"]
    assert [s.name for s in config.mix_sources("less")] == ["two", "s"]
    assert [s.name for s in config.mix_sources("odd")] == ["one.mislabel", "s"]
    assert config.recipe.changed(config.mixes["all"].change).rank == 32


def test_a_mix_holds_out_every_source_of_a_task() -> None:
    config = study(sources=["one", {"wide": {"task": "one"}}, "two"], mixes={"less": {"hold_out": ["one"]}})
    assert [s.name for s in config.mix_sources("less")] == ["two"]


def test_clusters_are_asked_only_of_the_tasks_in_the_mix() -> None:
    config = study(mixes={"m": {"of": ["one", "two"], "per_cluster": 2, "hold_out": "one"}})
    assert [s.name for s in config.mix_sources("m")] == ["two"]


def test_a_change_that_says_nothing_changes_nothing() -> None:
    config = study(sources=[{"one": {"rank": None, "layers": [3, 3]}}])
    (one,) = config.resolved_sources()
    assert one.recipe == RecipeConfig(layers=(3, 3))


def test_labels_lead_to_options_without_their_space() -> None:
    answer = {"choice": [" no", " yes"], "gold": "{{ y }}", "labels": {0: "no", 1: " yes"}}
    config = TaskConfig(**{**TASK, "answer": answer})
    assert config.answer.labels == {"0": "no", "1": " yes"}


def test_every_part_of_a_study_built_in_python_knows_its_key() -> None:
    config = study(sources=["one", {"two": {"rank": 4}}], mixes={"all": {}})
    assert config.sources is not None and config.sources[1].where("rank") == "sources[1].rank"
    assert config.mixes["all"].where("of") == "mixes.all.of"


def test_splits_that_are_named_are_not_divided() -> None:
    named = {"path": "folder", "splits": {"train": "a", "eval": "b"}}
    assert [DataConfig(**data).divided for data in (named, {"path": "folder"}, {"embedded": "sums"})] == [
        False,
        True,
        False,
    ]


def test_short_forms_are_the_long_ones() -> None:
    config = study(base="some/model", models={"chat": "a/b", "old": {"model": "c/d", "revision": "v1"}})
    assert config.base.model == "some/model" and config.base.dtype == "auto"
    assert config.models["chat"].model == "a/b" and config.models["old"].revision == "v1"


def test_configurations_are_frozen_keyword_only_and_compare_by_value() -> None:
    config = study()
    with pytest.raises(Exception, match="frozen"):
        config.study = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        RecipeConfig(8)  # type: ignore[call-arg,misc]
    assert study() == config and study(recipe={"rank": 3}) != config


def test_every_key_is_documented() -> None:
    def models(cls: Any, seen: set[Any]) -> set[Any]:
        if cls in seen:
            return seen
        seen.add(cls)
        for info in cls.model_fields.values():
            for part in _inner_models(info.annotation):
                models(part, seen)
        return seen

    found = models(StudyConfig, set())
    assert TaskConfig in found and len(found) > 12
    for cls in found:
        assert cls.__doc__
        for name, info in cls.model_fields.items():
            assert info.description, f"{cls.__name__}.{name}"


def _inner_models(annotation: Any) -> list[Any]:
    from typing import get_args

    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [m for part in get_args(annotation) for m in _inner_models(part)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[yes, no, on, off, true, False]", ["yes", "no", "on", "off", True, False]),
        ("[2e-4, 1E5, 1.5, .5, -3., +1e-2]", [2e-4, 1e5, 1.5, 0.5, -3.0, 0.01]),
        ("[0, -7, +7, 12]", [0, -7, 7, 12]),
        (
            "[007, 08, 12:30, 0x1f, 1_000, 2024-01-01, 1.2.3]",
            ["007", "08", "12:30", "0x1f", "1_000", "2024-01-01", "1.2.3"],
        ),
        ("[~, null, none, ]", [None, None, "none"]),
        ("[.inf, -.inf]", [float("inf"), float("-inf")]),
    ],
)
def test_plain_words_are_read_without_surprises(written: str, read: list[Any]) -> None:
    data, _ = parse_yaml(f"a: {written}\n", "x")
    assert data["a"] == read
    assert [type(v) for v in data["a"]] == [type(v) for v in read]


def test_an_empty_value_is_nothing() -> None:
    assert parse_yaml("a:\nb: \n", "x")[0] == {"a": None, "b": None}


def test_anchors_and_merge_keys_work() -> None:
    data, places = parse_yaml("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n", "x")
    assert data["b"] == {"p": 1, "q": 3}
    assert places.line(("b", "q")) == 4


def test_a_file_knows_its_lines_and_folder(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "study: s\nbase: embedded\ntasks:\n  one:\n    data:\n      path: rows.jsonl\n      train: 3\n"
        "    prompt: x\n    answer: {choice: [a, b], gold: a}\n"
    )
    config = load_config(tmp_path / "study.yaml")
    assert config.root == tmp_path
    task = config.tasks["one"]
    assert task.where("data", "train") == f"{tmp_path / 'study.yaml'}:7, key tasks.one.data.train"
    assert task.data.where("seed").endswith("study.yaml:5, key tasks.one.data.seed")
    assert config.with_root(Path("elsewhere")).root == Path("elsewhere")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"\xef\xbb\xbfstudy: s\n")
    assert read_yaml(tmp_path / "study.yaml")[0] == {"study": "s"}


def test_the_presets_are_sound() -> None:
    presets = sorted((Path(traitscope.__file__).parent / "presets").glob("*.yaml"))
    for path in presets:
        assert load_config(path).target_names()


def test_the_registry_names_what_is_near() -> None:
    registry: Registry[int] = Registry("thing")
    registry.register("alpha", version=2, reference="here")(1)
    assert registry.get("alpha").value == 1 and registry.get("alpha").version == 2
    assert "alpha" in registry and registry.names() == ("alpha",) and len(registry) == 1
    with pytest.raises(KeyError, match="unknown thing 'alhpa': did you mean 'alpha'"):
        registry.get("alhpa")
    with pytest.raises(KeyError, match="did you mean 'alpha'"):
        registry.get("ALPHA")
    with pytest.raises(ValueError, match="registered already"):
        registry.register("alpha", version=1, reference="there")
    with pytest.raises(ValueError, match="at least 1, and a reference"):
        registry.register("beta", version=0, reference="there")
