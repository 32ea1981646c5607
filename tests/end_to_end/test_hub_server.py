"""The loopback Hub itself, held against huggingface_hub's own client: what it reads, writes, resumes and is refused."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import Hub, User
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

BODY = bytes(range(256)) * 400


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    (tmp_path / "store").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/model.safetensors").write_bytes(BODY)
    users = {
        "mine": User("me", ("org",)),
        "reads": User("guest", writes=False),
        "let": User("friend", reads=("org/g",)),
    }
    models = {"org/m": tmp_path / "model", "org/g": tmp_path / "model"}
    served = Hub(models, gated=("org/g",), store=tmp_path / "store", users=users)
    yield served
    served.close()


def client(hub: Hub, token: str | bool = "mine") -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def test_a_folder_is_uploaded_and_comes_back(hub: Hub, tmp_path: Path) -> None:
    mine = client(hub)
    mine.create_repo("org/new", private=True)
    info = mine.upload_folder(repo_id="org/new", folder_path=tmp_path / "model")
    assert mine.model_info("org/new").sha == info.oid
    assert mine.model_info("org/new").private is True
    back = Path(mine.snapshot_download("org/new", cache_dir=tmp_path / "cache"))
    assert (back / "model.safetensors").read_bytes() == BODY
    listed = {one.path: one for one in mine.list_repo_tree("org/new", recursive=True)}
    assert listed["model.safetensors"].lfs.sha256 == hashlib.sha256(BODY).hexdigest()
    # As `git hash-object` says of a file that holds {}.
    assert listed["config.json"].blob_id == "9e26dfeeb6e641a33dae4961196235bdb965b21b"
    assert {one.path for one in mine.list_repo_tree("org/new")} == {"config.json", "model.safetensors"}


def test_the_same_folder_again_is_no_commit(hub: Hub, tmp_path: Path) -> None:
    mine = client(hub)
    mine.create_repo("org/new")
    first = mine.upload_folder(repo_id="org/new", folder_path=tmp_path / "model")
    hub.asked.clear()
    assert mine.upload_folder(repo_id="org/new", folder_path=tmp_path / "model").oid == first.oid
    assert not [one for one in hub.asked if "/commit/" in one or one.startswith("PUT")]
    (tmp_path / "model/config.json").write_text('{"a": 1}')
    second = mine.upload_folder(repo_id="org/new", folder_path=tmp_path / "model", delete_patterns="*.safetensors")
    assert second.oid != first.oid
    assert mine.file_exists("org/new", "config.json", revision=first.oid)


def test_a_lost_connection_is_taken_up_where_it_was_lost(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What came of a portion that was not full is asked for again.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 256)
    hub.drop(r"GET /org/m/resolve/.*/model\.safetensors", after=1000)
    back = client(hub).hf_hub_download("org/m", "model.safetensors", cache_dir=tmp_path / "cache")
    assert Path(back).read_bytes() == BODY
    asked = [heard.get("Range") for heard in hub.heard if heard.get("Range")]
    assert asked == ["bytes=768-"]


@pytest.mark.parametrize(
    ("token", "repository", "revision", "error", "status"),
    [
        (False, "org/g", None, GatedRepoError, 401),
        ("mine", "org/g", None, GatedRepoError, 403),
        (False, "org/absent", None, RepositoryNotFoundError, 401),
        ("mine", "org/absent", None, RepositoryNotFoundError, 404),
        ("mine", "org/m", "v9", RevisionNotFoundError, 404),
        ("wrong", "org/m", None, HfHubHTTPError, 401),
    ],
)
def test_what_is_refused(
    hub: Hub, tmp_path: Path, token: str, repository: str, revision: str, error: type[HfHubHTTPError], status: int
) -> None:
    with pytest.raises(error) as told:
        client(hub, token).snapshot_download(repository, revision=revision, cache_dir=tmp_path / "cache")
    assert told.value.response.status_code == status


def test_who_may_reads_a_gated_repository_and_who_may_not_writes_nowhere(hub: Hub, tmp_path: Path) -> None:
    client(hub, "let").hf_hub_download("org/g", "config.json", cache_dir=tmp_path / "cache")
    for token, name in (("reads", "guest/new"), ("mine", "other/new")):
        with pytest.raises(HfHubHTTPError) as told:
            client(hub, token).create_repo(name)
        assert told.value.response.status_code == 403


def test_a_renamed_repository_is_found_under_its_old_name(hub: Hub, tmp_path: Path) -> None:
    hub.moved["old/name"] = "org/m"
    assert client(hub).model_info("old/name").id == "org/m"
    back = client(hub).hf_hub_download("old/name", "config.json", cache_dir=tmp_path / "cache")
    assert Path(back).read_text() == "{}"


def test_a_busy_hub_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.fail("POST .*preupload", 503, times=2)
    mine = client(hub)
    mine.create_repo("org/new")
    mine.upload_folder(repo_id="org/new", folder_path=tmp_path / "model")
    hub.fail("GET /api/models/org/new", 429, retry_after="1")
    with pytest.raises(HfHubHTTPError) as told:
        mine.model_info("org/new")
    assert told.value.response.status_code == 429
