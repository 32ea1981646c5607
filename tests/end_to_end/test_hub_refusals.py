"""What the Hub does not give: one error each, with the fix; the user's token opens what it may and stands nowhere."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import datasets
import pytest
import tiny
from hub import Hub
from hub_study import FILES, HUB_DATA, SECRET, Verbs, assert_refused, write_study

from traitscope.config.data import DataConfig
from traitscope.errors import TraitscopeError
from traitscope.store.hub_errors import hub_error
from traitscope.store.models import ModelSource, locate
from traitscope.study import Study
from traitscope.study.checking import check_models
from traitscope.tasks.hub_rows import _told


@pytest.mark.parametrize(
    ("named", "other", "data", "says"),
    [
        ("org/absent", "org/tiny-adapter", FILES, ["model org/absent: the Hub has no model org/absent", "log in"]),
        ("org/gated", "org/tiny-adapter", FILES, ["model org/gated", "gated, and there is no token", "log in"]),
        ("org/tiny-base@v9", "org/tiny-adapter", FILES, ["org/tiny-base has no revision v9", "commits/main"]),
        ("org/tiny-adapter", "org/tiny-base", FILES, ["has no config.json: it holds an adapter", "models:"]),
        ("org/no-weights", "org/tiny-adapter", FILES, ["model org/no-weights", "has no model.safetensors"]),
        ("org/a/b", "org/tiny-adapter", FILES, ["model org/a/b", "name a model folder"]),
        ("org/tiny-base", "org/absent", FILES, ["model org/absent", "check the id"]),
        ("org/tiny-base", "org/pickled", FILES, ["model org/pickled", "pickled weights are not read"]),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace("tiny-data", "absent"), ["no dataset org/absent"]),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace("tiny-data", "gated"), ["org/gated is gated", "log in"]),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace(": main", ": v9"), ["tiny-data has no revision v9"]),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA.replace(": test", ": tests"), ["'tests'", "mean 'test'"]),
        ("org/tiny-base", "org/tiny-adapter", HUB_DATA + ", subset: de", ["no subset 'de'"]),
    ],
)
def test_what_the_hub_does_not_give_is_named_with_a_fix(
    tmp_path: Path, hub: Hub, verbs: Verbs, named: str, other: str, data: str, says: list[str]
) -> None:
    lacking = {"org/no-weights": ("tiny-base", "model"), "org/pickled": ("tiny-adapter", "adapter_model")}
    for name, (whole, weights) in lacking.items():
        folder = tmp_path / name
        shutil.copytree(hub.repositories["models"][f"org/{whole}"], folder)
        (folder / f"{weights}.safetensors").rename(folder / f"{weights}.bin")
        hub.repositories["models"][name] = folder
    revision = "" if "@" in named else ", revision: main"
    assert_refused(verbs, write_study(tmp_path / "study", named, other, data, revision), *says)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (SECRET, "the account of your token has no access"),
        ("hf_wrongwrongwrong", "the Hub does not take your token"),
    ],
)
def test_a_token_that_does_not_help_is_not_shown(tmp_path: Path, hub: Hub, verbs: Verbs, token: str, says: str) -> None:
    file = write_study(tmp_path / "study", "org/gated", "org/tiny-adapter", FILES)
    said = assert_refused(verbs, file, says, environ={"HF_TOKEN": token})
    assert token not in said


@pytest.mark.parametrize("way", ["variable", "file"])
def test_the_users_token_opens_what_it_may_and_is_written_nowhere(
    tmp_path: Path, hub: Hub, verbs: Verbs, way: str
) -> None:
    data = HUB_DATA.replace("tiny-data", "gated")
    file = write_study(tmp_path / "study", "org/gated", "org/tiny-adapter", data)
    login = verbs.home / "token"
    if way == "file":
        login.parent.mkdir(exist_ok=True)
        login.write_text("friend")
    try:
        status, out, said = verbs("run", file, environ={"HF_TOKEN": "friend"} if way == "variable" else {})
        assert status == 0, said
        assert verbs("report", file)[0] == 0
    finally:
        login.unlink(missing_ok=True)
    assert any(heard.get("Authorization") == "Bearer friend" for heard in [_lower(one) for one in hub.heard])
    assert "friend" not in out + said
    written = [path for path in (tmp_path / "study").rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if b"friend" in path.read_bytes()]


def _lower(headers: dict) -> dict:
    return {name.title(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (
            429,
            {"retry_after": "7"},
            ["takes no more requests for now (429)", "wait 7 s and run the same command again"],
        ),
        (503, {}, ["does not work at the moment (503)", "run the same command again"]),
    ],
)
def test_a_hub_that_is_busy_or_broken(
    tmp_path: Path, hub: Hub, verbs: Verbs, status: int, headers: dict[str, str], says: list[str]
) -> None:
    verbs.impatient = True
    hub.repositories["models"]["org/fresh"] = hub.repositories["models"]["org/tiny-base"]
    hub.fail("/org/fresh", status, **headers)
    file = write_study(tmp_path / "study", "org/fresh", "org/tiny-adapter")
    assert_refused(verbs, file, "model org/fresh", *says)


def weights_asked(hub: Hub) -> list[str | None]:
    """The ranges in which the fresh model's weights were asked for."""
    asked = zip(hub.asked, hub.heard, strict=True)
    return [
        _lower(heard).get("Range") for one, heard in asked if one.startswith("GET /org/fresh") and "safetensors" in one
    ]


def test_a_connection_that_is_lost_once_is_taken_up_by_itself(tmp_path: Path, hub: Hub, verbs: Verbs) -> None:
    verbs.impatient = True
    hub.repositories["models"]["org/fresh"] = hub.repositories["models"]["org/tiny-base"]
    hub.drop(r"GET /org/fresh/resolve/.*safetensors", after=5000)
    file = write_study(tmp_path / "study", "org/fresh", "org/tiny-adapter")
    status, _, said = verbs("run", file)
    assert status == 0, said
    assert weights_asked(hub) == [None, "bytes=4864-"]


def test_a_run_that_lost_the_hub_fetches_what_had_not_come_whole(tmp_path: Path, hub: Hub, verbs: Verbs) -> None:
    verbs.impatient = True
    hub.repositories["models"]["org/fresh"] = fresh(tmp_path, 7)
    hub.drop(r"GET /org/fresh/resolve/.*safetensors", after=5000, times=1)
    hub.drop(r"GET /org/fresh/resolve/.*safetensors", times=100)
    file = write_study(tmp_path / "study", "org/fresh", "org/tiny-adapter")
    assert_refused(verbs, file, "model org/fresh", "the connection to the Hub", "run the same command again")
    hub.mend()
    hub.asked.clear()
    hub.heard.clear()
    status, _, said = verbs("run", file)
    assert status == 0, said
    # The client keeps no half of a file beyond its process, and every whole one.
    assert weights_asked(hub) == [None]
    assert not [one for one in hub.asked if one.startswith("GET /org/fresh") and "config.json" in one]


def test_a_run_that_was_killed_in_the_middle_of_a_file_goes_on(tmp_path: Path, hub: Hub, verbs: Verbs) -> None:
    verbs.impatient = True
    hub.repositories["models"]["org/fresh"] = fresh(tmp_path, 8)
    hub.stall(r"GET /org/fresh/resolve/.*safetensors", after=5000)
    file = write_study(tmp_path / "study", "org/fresh", "org/tiny-adapter")
    ended: list[int] = []
    running = threading.Thread(target=lambda: ended.append(verbs("run", file)[0]))
    running.start()
    limit = time.monotonic() + 30
    while not weights_asked(hub) and time.monotonic() < limit:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(verbs.running(), signal.SIGKILL)
    running.join(20)
    assert ended == [-signal.SIGKILL]
    hub.mend()
    hub.asked.clear()
    hub.heard.clear()
    status, _, said = verbs("run", file)
    assert status == 0, said
    # The client keeps no half of a file beyond its process, and every whole one.
    assert weights_asked(hub) == [None]
    assert not [one for one in hub.asked if one.startswith("GET /org/fresh") and "config.json" in one]


def fresh(to: Path, seed: int) -> Path:
    """The base with other weights, which the cache does not hold."""
    return tiny.make_base(to / "fresh", seed=seed, layers=4)


NO_IDS = (
    *("org/my lora", "org/x@", "@main", "org/", "org/x@v@w", "org/x:main", "org/x#main", "org/x.git", "org/.."),
    *("org/--x", "a--b/c", "örg/x", r"C:\loras\x", "$HOME/x", f"{'a' * 100}/b"),
    *("x" * 300, "x" * 5000),
)


@pytest.mark.parametrize("name", NO_IDS)
def test_a_name_that_is_no_id_is_one_error_for_base_and_rows(base: Path, name: str, tmp_path: Path) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from traitscope.config.hub_name import split_revision

    if name.isascii():
        with pytest.raises(HFValidationError):
            validate_repo_id(split_revision(name)[0])
    for place, (model, other) in enumerate(((name, base), (base, name))):
        file = write_study(tmp_path / str(place), "BASE", "OTHER", revision="")
        file.write_text(file.read_text().replace("BASE", f"'{model}'").replace("OTHER", f"'{other}'"))
        with pytest.raises(TraitscopeError, match="is no id of the Hub, and no folder here") as told:
            check_models(Study.open(file))
        assert "org/name" in str(told.value.fix)
        line = 1 + file.read_text().splitlines().index(next(x for x in file.read_text().splitlines() if name in x))
        key = "models.other" if place else "base"
        assert told.value.where is not None
        assert told.value.where.startswith(f"{file}:{line}, key {key}, model ") and len(told.value.where) < 400


@pytest.mark.parametrize("name", ["gpt2", "org/x", "Org-1/a_b.c", "_a/b_"])
def test_ids_of_the_hub_are_taken_as_such(name: str) -> None:
    assert locate(name) == name


def test_a_revision_of_what_lies_here_and_a_file_in_a_folder_are_refused(base: Path) -> None:
    for asked in (ModelSource(str(base), "v9"), ModelSource("embedded", "v9")):
        with pytest.raises(TraitscopeError, match="has no revision 'v9'"):
            asked.located()
    for name in (f"{base}@v9", f"../{base.name}@v9", f"./{base.name}@v9", f"{base.name}@v9", f"{base.name}/@v9"):
        root = base if name.startswith("..") else base.parent
        with pytest.raises(TraitscopeError, match="it lies on this disk and has no revision 'v9'") as told:
            locate(name, root)
        assert "leave the revision out" in str(told.value.fix)
    with pytest.raises(TraitscopeError, match="is a file") as told:
        locate(base / "config.json")
    assert told.value.fix == f"name its folder: {base}"


def test_a_file_that_lies_beside_no_model_is_not_sent_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").touch()
    with pytest.raises(TraitscopeError, match="is a file") as told:
        locate("study.yaml", tmp_path)
    assert told.value.fix == "name the folder of a model, or a Hub id"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/org/x", "org/x"),
        ("https://huggingface.co/org/x/tree/v2/", "org/x@v2"),
        ("http://hf.co/org/x?download=1", "org/x"),
        ("hf://org/x", "org/x"),
    ],
)
def test_of_an_address_the_id_is_told(address: str, name: str) -> None:
    with pytest.raises(TraitscopeError, match="is the address of a page") as told:
        locate(address)
    assert told.value.fix == f"write {name}"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionError("gone"), "the Hub"),
        (RuntimeError("odd"), "the Hub does not take it: odd"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "your token has a sign"),
    ],
)
def test_what_is_sent_is_not_told_as_what_is_fetched(error: Exception, says: str) -> None:
    told = hub_error(error, "push", "org/x", sending=True)
    assert says in told.what and "disk" not in told.what and "cannot be had" not in told.what
    assert "has come" not in str(told.fix)


@pytest.mark.verify
def test_what_lies_deeper_in_a_repository_is_named(tmp_path: Path, hub: Hub, verbs: Verbs) -> None:
    file = write_study(tmp_path / "study", "org/tiny-base", "org/several")
    assert_refused(verbs, file, "has adapters in folders: adapters/tone", "subfolder: adapters/tone")
    # A clone without Git LFS was uploaded.
    pointer = tmp_path / "pointer"
    shutil.copytree(hub.repositories["models"]["org/tiny-base"], pointer)
    (pointer / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    hub.repositories["models"]["org/pointer"] = pointer
    file = write_study(tmp_path / "other", "org/pointer", "org/tiny-adapter", revision="")
    said = assert_refused(verbs, file, "is a pointer of Git LFS", "name another revision or copy")
    assert "git lfs pull" not in said


def test_of_several_subsets_their_names_alone_are_offered(tmp_path: Path) -> None:
    configs = "".join(f"- {{config_name: {name}, data_files: {name}.csv}}\n" for name in ("de", "en"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for name in ("de", "en"):
        (tmp_path / f"{name}.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="Config name is missing") as raised:
        datasets.load_dataset(str(tmp_path))
    data = DataConfig(hub="org/x", splits="train")
    assert _told(raised.value, data, "train", None, "here").fix == "add subset: de or en"
