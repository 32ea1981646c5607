"""What a cluster is made of, by hand: what --on names, how machines are divided, how files travel; no Ray."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from traitscope.compute import Adapted, Capture, Merge, TrainingJob, cluster, host, shares, shipping
from traitscope.compute.cluster import Worker, fit
from traitscope.compute.host import Assignment, Begin, Host, Lacks, Ready, Supply, refuse_unlike
from traitscope.compute.ray_session import read_place
from traitscope.compute.shares import Node, Share, share_for
from traitscope.compute.shipping import Packer, Shelf, addressed, here_again, moved
from traitscope.compute.software import unlike
from traitscope.compute.worker import Failed, Happened, Inspect, PlanBanks, Start
from traitscope.config import ComputeConfig
from traitscope.errors import TraitscopeError
from traitscope.plugins import plugin_hashes
from traitscope.records import Progress
from traitscope.store.models import ModelSource
from traitscope.study import Study


def test_what_on_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert [read_place(text) for text in ("ray", "ray://head", "ray://10.0.0.1:7", "ray://[::1]:7")] == [
        "auto",
        "ray://head:10001",
        "ray://10.0.0.1:7",
        "ray://[::1]:7",
    ]
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert read_place("ray") == "head:6379"
    for wrong in ("slurm", "ray:", "ray://", "ray://a b", "ray://head:99999", "ray://head/x", "http://head:1"):
        with pytest.raises(TraitscopeError, match=r"--on: cannot read .*\n  fix: write ray, or ray://HOST:PORT"):
            read_place(wrong)


def test_a_study_computes_in_one_place_and_a_wrong_one_is_told_when_it_is_opened(study_file: Path) -> None:
    with pytest.raises(TraitscopeError, match="--on: cannot read 'slurm'"):
        Study.open(study_file, on="slurm")
    with pytest.raises(TraitscopeError, match="two places to compute"):
        Study.open(study_file, on="ray", backend=SimpleNamespace())  # type: ignore[arg-type]


CPUS = [Node("a", 8, 0), Node("b", 4, 0), Node("head", 0, 0)]
GPUS = [Node("a", 64, 8), Node("b", 16, 4), Node("c", 32, 0)]


@pytest.mark.parametrize(
    ("nodes", "config", "small", "share", "workers"),
    [
        (CPUS, {}, True, Share(1, 0), 12),  # a small model: a worker for each CPU
        (CPUS, {}, False, Share(4, 0), 3),  # a large one: as much as every machine bears
        (CPUS, {"threads": 3}, True, Share(3, 0), 3),
        (CPUS, {"workers": 2}, True, Share(4, 0), 3),
        (GPUS, {}, False, Share(4, 1.0), 12),  # 16 CPUs for 4 GPUs
        (GPUS, {"threads": 8}, False, Share(8, 1.0), 10),  # CPUs run out before GPUs
        (GPUS, {"workers": 24}, True, Share(2, 0.5), 24),  # two on each GPU
        (GPUS, {"device": "cpu"}, True, Share(1, 0), 112),
        (GPUS, {"device": "cuda:1"}, True, Share(4, 1.0), 12),
    ],
)
def test_machines_are_divided(
    nodes: list[Node], config: dict[str, Any], small: bool, share: Share, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = SimpleNamespace(parameters=10**7 if small else 10**9)
    monkeypatch.setattr(shares, "model_shape", lambda base: size)
    found = share_for(ComputeConfig(**config), nodes, "model")
    assert found == share
    assert sum(found.on(node) for node in nodes) == workers


def test_a_gpu_that_no_machine_has_is_refused() -> None:
    with pytest.raises(TraitscopeError, match=r"no machine of the cluster has a GPU \(3 machines: a: 8 CPU, 0 GPU, b:"):
        share_for(ComputeConfig(device="cuda"), CPUS, None)


def capture(model: ModelSource, **models: Adapted) -> Capture:
    task: Any = None
    return Capture(key="k", model=model, models=models, task=task, examples=(), position="last")


def test_an_order_goes_to_the_worker_that_has_its_base_and_its_models() -> None:
    one, other = ModelSource("one"), ModelSource("other")
    order = capture(one, a=Adapted(), b=Adapted())
    workers = [Worker(None, None, model=m, models=n) for m, n in [(None, ()), (other, ("a", "b")), (one, ("c",))]]
    assert max(workers, key=lambda w: fit(w, order)) is workers[2]
    workers.append(Worker(None, None, model=one, models=("a", "b")))
    assert max(workers, key=lambda w: fit(w, order)) is workers[3]


def adapter(folder: Path, content: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_bytes(b"{}")
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "train.parquet").write_bytes(b"not needed to load it")
    return folder


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in {"config.json": b"{}", "model.safetensors": bytes(range(100)), "README.md": b"no"}.items():
        (folder / name).write_bytes(content)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool.jinja").write_bytes(b"")
    return folder


def test_a_message_finds_its_files_on_a_machine_that_does_not_see_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is read travels, in pieces; the second worker of a machine is not sent the model again."""
    monkeypatch.setattr(shipping, "PIECE_BYTES", 7)
    here = tmp_path / "here"
    model(here / "base"), adapter(here / "one")
    order = capture(
        ModelSource("base", root=here), a=Adapted(path=here / "one"), base=Adapted(path=None, window=(0, 1))
    )
    made, parcels = addressed(order, Packer())
    assert [(p.kind, sorted(p.files)) for p in parcels] == [
        ("model", ["additional_chat_templates/tool.jinja", "config.json", "model.safetensors"]),
        ("adapter", ["adapter_config.json", "adapter_model.safetensors"]),
    ]
    sent = [list(parcel.pieces()) for parcel in parcels]
    assert max(len(data) for pieces in sent for _, data in pieces) == 7
    here.rename(tmp_path / "gone")
    shelf, second = Shelf(tmp_path / "there"), Shelf(tmp_path / "there")
    assert [shelf.find(parcel) for parcel in parcels] == [None, None]
    places = {p.place: shelf.store(p, pieces) for p, pieces in zip(parcels, sent, strict=True)}
    for parcel in parcels:
        folder = places[parcel.place]
        for name in parcel.files:
            assert (folder / name).read_bytes() == (tmp_path / "gone" / parcel.place.name / name).read_bytes()
    assert second.find(parcels[0]) == places[here / "base"]
    assert second.find(parcels[1]) is None
    there = moved(made, places)
    assert isinstance(there, Capture)
    assert there.model == ModelSource(str(places[here / "base"]))
    assert there.models == {"a": Adapted(path=places[here / "one"]), "base": Adapted(window=(0, 1))}
    assert here_again(f"{places[here / 'one']}/x is bad", places) == f"{here / 'one'}/x is bad"
    shelf.close()
    assert not places[here / "one"].exists() and places[here / "base"].exists()


def test_a_shared_disk_is_read_where_it_is_and_not_if_it_holds_something_else(tmp_path: Path) -> None:
    parcel = Packer().parcel("adapter", adapter(tmp_path / "one"))
    shelf = Shelf(tmp_path / "there")
    assert shelf.find(parcel) == tmp_path / "one"
    (tmp_path / "one" / "adapter_model.safetensors").write_bytes(b"other weights")
    assert shelf.find(parcel) is None


def zeroed(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(bytes(path.stat().st_size))


def without_weights(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        path.unlink()


def without_content(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path)


@pytest.mark.parametrize("damage", [zeroed, without_weights, without_content])
@pytest.mark.parametrize("kind", ["model", "adapter"])
@pytest.mark.parametrize("known", [True, False])
def test_what_was_sent_and_damaged_since_is_sent_again(
    tmp_path: Path, kind: Any, damage: Callable[[Path], None], known: bool
) -> None:
    """Whoever wrote it, and a worker that begins later and finds it."""
    place = (model if kind == "model" else adapter)(tmp_path / "here" / "one")
    parcel = Packer().parcel(kind, place)
    sent = list(parcel.pieces())
    (tmp_path / "here").rename(tmp_path / "gone")
    shelf = Shelf(tmp_path / "there")
    stored = shelf.store(parcel, sent)
    assert shelf.find(parcel) == stored
    damage(stored.parent)
    if not known:
        shelf._packer = Packer()
    assert shelf.find(parcel) is None
    assert shelf.store(parcel, sent) == stored == shelf.find(parcel)
    for name in parcel.files:
        assert (stored / name).read_bytes() == (tmp_path / "gone" / "one" / name).read_bytes()
    assert [path.name for path in stored.parents[1].glob(".tmp-*") if path != shelf.own] == []


def test_files_that_change_on_their_way_are_refused(tmp_path: Path) -> None:
    parcel = Packer().parcel("adapter", adapter(tmp_path / "one"))
    pieces = [(name, data + b"x") for name, data in parcel.pieces()]
    (tmp_path / "one").rename(tmp_path / "gone")
    shelf = Shelf(tmp_path / "there")
    with pytest.raises(TraitscopeError, match=r"one/adapter_config.json: was changed while it was sent"):
        shelf.store(parcel, pieces)
    assert shelf.find(parcel) is None and list(shelf.own.iterdir()) == []


def test_a_packer_reads_a_folder_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packer, read = Packer(), list[Path]()
    real = shipping.hash_file
    monkeypatch.setattr(shipping, "hash_file", lambda path: read.append(path) or real(path))
    folder = adapter(tmp_path / "one")
    first = packer.parcel("adapter", folder)
    assert packer.parcel("adapter", folder) is first and len(read) == 2
    (folder / "adapter_model.safetensors").write_bytes(b"others")
    assert packer.parcel("adapter", folder).mark != first.mark


def test_a_plugin_is_read_again_for_what_lies_in_its_folders(tmp_path: Path) -> None:
    packer, folder = Packer(), tmp_path / "mine"
    (folder / "parts").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "parts" / "one.py").write_text("x = 1\n")
    first = packer.parcel("plugin", folder)
    (folder / "parts" / "one.py").write_text("x = 2\n")
    assert packer.parcel("plugin", folder).mark != first.mark


def test_adapters_of_the_order_in_hand_are_kept_whatever_room_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "KEPT_BYTES", 20)
    packer = Packer()
    parcels = [packer.parcel("adapter", adapter(tmp_path / "here" / name, name.encode() * 8)) for name in "abc"]
    sent = [list(parcel.pieces()) for parcel in parcels]
    (tmp_path / "here").rename(tmp_path / "gone")
    shelf = Shelf(tmp_path / "there")
    together = [parcels[0].mark, parcels[1].mark]
    for parcel, pieces in zip(parcels[:2], sent, strict=False):
        shelf.store(parcel, pieces, together)
    assert all(shelf.find(parcel) for parcel in parcels[:2])  # 10 bytes each
    shelf.find(parcels[0])
    shelf.store(parcels[2], sent[2], [parcels[2].mark])
    # The one that was not asked for longest has gone.
    assert [shelf.find(parcel) is not None for parcel in parcels] == [True, False, True]


def test_every_kind_of_message_is_moved(tmp_path: Path) -> None:
    base, folder = ModelSource("base", root=tmp_path), adapter(tmp_path / "one")
    model(tmp_path / "base")
    merge = Merge(key="m", model=base, name="n", parts=(folder, folder), weights=(1.0, 1.0), how="linear")
    banks = PlanBanks(base, tuple[TrainingJob, ...](), 2)
    places = {tmp_path / "base": Path("/x/base"), folder: Path("/x/one")}
    for message in (merge, banks, Inspect(base)):
        made, parcels = addressed(message, Packer())
        assert {p.place for p in parcels} <= set(places)
        there: Any = moved(made, places)
        assert there.model.model == "/x/base"
        if isinstance(there, Merge):
            assert there.parts == (Path("/x/one"), Path("/x/one"))
    hub = Inspect(ModelSource("org/name", "main"))
    assert addressed(hub, Packer()) == (hub, [])
    assert addressed(Inspect(ModelSource("embedded")), Packer())[1] == []


def told(worker: Host, message: Any, references: Any = (), wait_s: float = 30.0) -> list[Any]:
    return pickle.loads(worker.exchange(None if message is None else pickle.dumps(message), references, wait_s))


def test_a_worker_asks_for_what_it_lacks_and_names_the_runs_own_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole of a worker but Ray: a plugin is sent, then a model that turns out to be none."""
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "there"))
    here = tmp_path / "here"
    (model(here / "base") / "mine.py").write_text("x = 1\n")
    plugin = Packer().parcel("plugin", here / "base" / "mine.py")
    made, (base,) = addressed(Inspect(ModelSource("base", root=here)), Packer())
    sent = {parcel.mark: list(parcel.pieces()) for parcel in (plugin, base)}
    hashes = (hashlib.sha256(b"x = 1\n").hexdigest(),)
    here.rename(tmp_path / "gone")
    worker = Host(lambda reference: reference)
    start = Start(ComputeConfig(device="cpu"), (str(plugin.place),), hashes, here)
    for message, parcel in ((Begin(start, (plugin,)), plugin), (Assignment(made, (base,)), base)):
        assert told(worker, message) == [Lacks(parcel.mark)]
        names, data = zip(*sent[parcel.mark], strict=True)
        said = told(worker, Supply(parcel.mark, names), data)
        if parcel is plugin:
            assert said == [Ready()]
            assert set(hashes) <= set(plugin_hashes())
    (failed,) = said
    assert isinstance(failed, Failed) and failed.fix is not None
    assert str(here / "base") in str(failed) and str(tmp_path / "there") not in str(failed)


def test_of_adapters_in_the_cluster_s_memory_some_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "KEPT_BYTES", 20)
    backend = cluster.Cluster("ray://nowhere:1")
    backend._session = SimpleNamespace(ray=SimpleNamespace(put=lambda data: data))  # type: ignore[assignment]
    packer = Packer()
    base = packer.parcel("model", model(tmp_path / "base"))
    adapters = [packer.parcel("adapter", adapter(tmp_path / name, name.encode() * 7)) for name in "abc"]
    for parcel in (base, *adapters):
        names, pieces = backend._supply(parcel)
        assert dict(zip(names, pieces, strict=True)) == dict(parcel.pieces())
    # Nine bytes each; a model is kept whatever its size.
    assert list(backend._put) == [base.mark, adapters[1].mark, adapters[2].mark]


def test_workers_that_end_before_they_are_ready_end_the_run(tmp_path: Path) -> None:
    backend = cluster.Cluster("ray://nowhere:1")
    lost = [Worker(None, None) for _ in range(cluster.MOST_FAILED)]
    backend._workers = [*lost, Worker(None, None, ready=True)]
    for worker in lost[:-1]:
        backend._gone(worker, "it was killed", lambda order, event: None)
    backend._gone(backend._workers[-1], "its machine left", lambda order, event: None)
    with pytest.raises(cluster.BackendLost, match=f"{cluster.MOST_FAILED} workers in a row .* it was killed"):
        backend._gone(lost[-1], "it was killed", lambda order, event: None)


def test_progress_that_was_not_fetched_is_told_by_its_last() -> None:
    worker = Host(lambda reference: reference)
    for k in range(5):
        worker._say(Happened(Progress(k, 9, 1.0, None, 1.0, "")))
    worker._say(Ready())
    assert told(worker, None) == [Happened(Progress(4, 9, 1.0, None, 1.0, "")), Ready()]
    start = time.monotonic()
    assert told(worker, None, wait_s=0.05) == [] and time.monotonic() - start < 2


def test_software_that_differs_is_named_and_a_build_for_other_processors_is_the_same() -> None:
    ours = {"torch": "2.13.0+cpu", "peft": "0.21.2", "datasets": None}
    assert unlike(ours, {"torch": "2.13.0+cu126", "peft": "0.21.2"}) == []
    assert unlike(ours, {"torch": "2.12.0", "peft": "0.20.0"}) == [
        "torch 2.13.0+cpu here, 2.12.0 there",
        "peft 0.21.2 here, 0.20.0 there",
    ]
    mine = host.about()
    refuse_unlike({**mine, "host": "far", "pid": "1"})
    with pytest.raises(TraitscopeError, match=r"machine far: other versions than the run's: peft .* here, 0.1 there"):
        refuse_unlike({**mine, "host": "far", "peft": "0.1"})
    with pytest.raises(TraitscopeError, match="machine far: a worker cannot import traitscope: No module"):
        refuse_unlike({"host": "far", "pid": "1", "traitscope": None, "error": "No module named 'traitscope'"})
