"""The seam: what a backend that is none of ours may do to a study, and what it is given."""

from __future__ import annotations

import inspect
import pickle
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import pytest
from backends import Changed
from processes import log_of, snapshot

from traitscope.compute import Backend, Evaluate, Event, Lost, Order, Records, Train, backend, orders
from traitscope.compute.backend import Receive, ShouldStop
from traitscope.compute.local import Local, files_mark
from traitscope.errors import TraitscopeError
from traitscope.records import Progress, StepRecord
from traitscope.study import Stopped, Study
from traitscope.study.evaluating import _by_source


class Forgetful(Changed):
    """Loses the first ``times`` tries of every order."""

    def __init__(self, times: int) -> None:
        self.tries: Counter[str] = Counter()

        def instead(order: Order) -> list[Event] | None:
            self.tries[order.key] += 1
            return [Lost("the node is gone")] if self.tries[order.key] <= times else None

        super().__init__(instead)


class Pickled(Local):
    """Sees orders, and gives events, only as they come out of a pickle: what a cluster does to them."""

    def work(self, orders: Iterator[Order], receive: Receive, should_stop: ShouldStop) -> None:
        def copied() -> Iterator[Order]:
            for order in orders:
                yield pickle.loads(pickle.dumps(order))

        super().work(copied(), lambda order, event: receive(order, pickle.loads(pickle.dumps(event))), should_stop)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    import tiny

    folder = tmp_path_factory.mktemp("undisturbed")
    Study.open(tiny.make_study(folder / "study", base), folder / "run").run()
    return folder / "run"


def test_orders_and_events_survive_a_pickle(study_file: Path, undisturbed: Path, tmp_path: Path) -> None:
    Study.open(study_file, tmp_path / "out", backend=Pickled()).run()
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)


def test_a_task_is_sent_without_the_rows_it_has_read(study_file: Path) -> None:
    task = Study.open(study_file).data.tasks["tone"]
    before = pickle.dumps(task)
    task.load()
    assert pickle.dumps(task) == before


def test_lost_orders_are_given_again_and_change_nothing(
    study_file: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traitscope.study.filling.POLL_S", 0.01)
    Study.open(study_file, tmp_path / "out", backend=Forgetful(2)).run()
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)


def test_what_is_lost_again_and_again_is_an_error_that_names_it(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traitscope.study.filling.POLL_S", 0.01)
    forgetful = Forgetful(9)
    with pytest.raises(TraitscopeError, match=r"bank-\w+: was lost 3 times: the node is gone"):
        Study.open(study_file, tmp_path / "out", backend=forgetful).run()
    assert max(forgetful.tries.values()) == 3
    assert not list((tmp_path / "out" / "leases").glob("**/*.json"))


class Deaf(Local):
    """Takes orders and says nothing, the first ``times`` calls."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def work(self, orders: Iterator[Order], receive: Receive, should_stop: ShouldStop) -> None:
        self.left -= 1
        if self.left >= 0:
            list(orders)
        else:
            super().work(orders, receive, should_stop)


def test_orders_that_are_never_answered_are_given_again_or_an_error(
    study_file: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traitscope.study.filling.POLL_S", 0.01)
    Study.open(study_file, tmp_path / "out", backend=Deaf(2)).run()
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)
    with pytest.raises(TraitscopeError, match="the backend ended without an answer"):
        Study.open(study_file, tmp_path / "none", backend=Deaf(99)).run()


@pytest.mark.parametrize("wrong", [lambda records: {}, lambda records: {n: r[:-1] for n, r in records.items()}])
def test_records_of_other_examples_are_not_committed(
    study_file: Path, tmp_path: Path, wrong: Callable[[dict[str, list]], dict[str, list]]
) -> None:
    class Short(Local):
        def work(self, orders: Iterator[Order], receive: Receive, should_stop: ShouldStop) -> None:
            def shortened(order: Order, event: Event) -> None:
                receive(order, Records(wrong(event.records)) if isinstance(event, Records) else event)

            super().work(orders, shortened, should_stop)

    study = Study.open(study_file, tmp_path / "out", backend=Short())
    with pytest.raises(TraitscopeError, match="other examples than"):
        study.run()
    assert len(study.cells()) == 0


def test_a_stop_keeps_the_last_checkpoint(study_file: Path, undisturbed: Path, tmp_path: Path) -> None:
    seen: list[Event] = []

    class Watched(Local):
        def work(self, orders: Iterator[Order], receive: Receive, should_stop: ShouldStop) -> None:
            def watching(order: Order, event: Event) -> None:
                seen.append(event)
                receive(order, event)

            super().work(orders, watching, should_stop)

    def started() -> bool:
        return any(isinstance(event, Progress) for event in seen)

    with pytest.raises(Stopped):
        Study.open(study_file, tmp_path / "out", backend=Watched()).run(stop=started)
    assert list((tmp_path / "out" / "checkpoints").glob("*/*.safetensors"))
    Study.open(study_file, tmp_path / "out").run()
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)


def test_a_backend_is_given_and_gives_nothing_untyped() -> None:
    told = [orders.__dict__[name] for name in orders.__dict__ if isinstance(orders.__dict__[name], type)]
    told = [kind for kind in told if kind.__module__ == orders.__name__] + [Progress, StepRecord, backend.ModelFacts]
    hints = {f"{kind.__name__}.{name}": hint for kind in told for name, hint in get_type_hints(kind).items()}
    for name, method in inspect.getmembers(Backend, inspect.isfunction):
        if not name.startswith("__"):
            hints |= {f"{name}({each})": hint for each, hint in get_type_hints(method).items()}
    assert len(hints) > 40
    # An array's shape is Any in numpy's own alias.
    assert [name for name, hint in hints.items() if "Any" in str(hint).replace("tuple[typing.Any, ...]", "")] == []


def test_the_study_needs_no_engine_where_the_backend_is_another(study_file: Path, tmp_path: Path) -> None:
    code = """
import sys
from traitscope.compute import Train
from traitscope.study import Study
class Elsewhere:
    def inspect(self, model): raise AssertionError
    def plan_training(self, model, jobs):
        assert all(job.parts[0][1] for job in jobs)
        # Tokenizers come through transformers, which imports torch where it is installed.
        raise SystemExit("engine" if "traitscope.engine" in sys.modules else 0)
    plan_scoring = work = inspect
Study.open(sys.argv[1], sys.argv[2], backend=Elsewhere()).run()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(study_file), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_order_to_train_holds_what_the_last_try_handed_over(study_file: Path, tmp_path: Path) -> None:
    given: list[bytes | None] = []

    def instead(order: Order) -> list[Event] | None:
        if not isinstance(order, Train):
            return None
        given.append(order.checkpoint)
        return (
            [orders.Checkpoint(b"state"), Lost("gone")] if len(given) == 1 else [orders.Refused("enough", None, None)]
        )

    with pytest.raises(TraitscopeError, match="enough"):
        Study.open(study_file, tmp_path / "out", backend=Changed(instead)).run()
    assert given == [None, b"state"]


def test_a_cell_that_another_process_made_in_another_group_is_made_once(study_file: Path, tmp_path: Path) -> None:
    """Models that are continued together are leased together: two processes may have put one into different groups."""
    out, others = tmp_path / "out", list[list[str]]()
    Study.open(study_file, out).train()

    def instead(order: Order) -> list[Event] | None:
        if isinstance(order, Evaluate) and len(order.models) > 1 and not others:
            name = list(order.models)[-1]
            work = Study.open(study_file, out).evaluate(models=[name], tasks=[order.task.name])
            assert work is not None
            others.append(work.evaluated)
        return None

    work = Study.open(study_file, out, backend=Changed(instead)).evaluate()
    assert work is not None and len(others[0]) == 1 and others[0][0] not in work.evaluated
    assert set(Counter(log_of(out, "cell")).values()) == {1}


def test_one_backend_serves_two_studies_whose_tasks_have_the_same_names(study_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "study.yaml"
    shutil.copytree(study_file.parent, other.parent)
    other.write_text(other.read_text().replace('"{{ text }} is"', '"{{ text }}: tone?"'))
    shared = Local()
    found = []
    for file, used in ((study_file, shared), (other, shared), (other, Local())):
        study = Study.open(file, tmp_path / f"run{len(found)}", backend=used)
        study.run()
        found.append([record.loss for record in study.read_records("tone-s0", "tone")])
    assert found[1] == found[2] != found[0]


def test_what_was_loaded_from_a_folder_holds_while_its_files_stay(tmp_path: Path) -> None:
    assert files_mark(None) == files_mark("org/on-the-hub") == ()
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(b"one")
    before = files_mark(tmp_path)
    assert before == files_mark(str(tmp_path)) != ()
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").replace(weights)
    assert files_mark(tmp_path) != before


def test_what_comes_of_an_order_that_has_ended_is_passed_over(study_file: Path, tmp_path: Path) -> None:
    given: list[bytes | None] = []

    def instead(order: Order) -> list[Event] | None:
        if not isinstance(order, Train):
            return None
        given.append(order.checkpoint)
        return [Lost("gone"), orders.Checkpoint(b"late")] if len(given) == 1 else [orders.Refused("enough", None, None)]

    with pytest.raises(TraitscopeError, match="enough"):
        Study.open(study_file, tmp_path / "out", backend=Changed(instead)).run()
    assert given == [None, None]


def test_an_adapter_that_is_handed_over_twice_is_committed_once(study_file: Path, tmp_path: Path) -> None:
    class Twice(Local):
        def carry_out(self, order: Order, emit: Callable[[Event], None], should_stop: Callable[[], bool]) -> None:
            def again(event: Event) -> None:
                for _ in range(2 if isinstance(event, orders.Adapter) else 1):
                    emit(event)

            super().carry_out(order, again, should_stop)

    work = Study.open(study_file, tmp_path / "out", backend=Twice()).train()
    assert work is not None and len(work.trained) == len(set(work.trained)) > 1


def test_the_base_is_loaded_first_though_another_model_is_listed_before_its_adapters() -> None:
    names = {"base": False, "full": False, "foreign": True}
    known = {name: SimpleNamespace(adapter=adapter, source=partial(str, name)) for name, adapter in names.items()}
    work = SimpleNamespace(units=SimpleNamespace(base=known.pop("base"), identities=known))
    assert _by_source(work, ["full", "foreign", "a-s0"]) == [("base", ["foreign", "a-s0"]), ("full", ["full"])]


def test_losses_with_a_sign_of_life_between_them_are_not_counted_together(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traitscope.study.filling.POLL_S", 0.01)
    tries: list[Order] = []

    def instead(order: Order) -> list[Event] | None:
        if not isinstance(order, Train):
            return None
        tries.append(order)
        last = orders.Refused("enough", None, None) if len(tries) == 5 else Lost("gone")
        return [orders.Checkpoint(b"state"), last]

    with pytest.raises(TraitscopeError, match="enough"):
        Study.open(study_file, tmp_path / "out", backend=Changed(instead)).run()


def test_a_given_backend_that_is_gone_is_the_runs_error(study_file: Path, tmp_path: Path) -> None:
    class Gone(Local):
        asked = 0

        def work(self, orders: Iterator[Order], receive: Receive, should_stop: ShouldStop) -> None:
            self.asked += 1
            assert self.asked == 1
            raise backend.BackendLost("all machines are gone")

    with pytest.raises(backend.BackendLost, match="all machines are gone"):
        Study.open(study_file, tmp_path / "out", backend=Gone()).run()


def test_an_evaluation_waits_for_cells_that_others_hold(study_file: Path, tmp_path: Path) -> None:
    study = Study.open(study_file, tmp_path / "out")
    study.train()
    with study.folder.leases() as others:
        assert others.acquire("cells/base/story")
        # It is held when it comes up, and free again before all others are done.
        timer = threading.Timer(0.3, others.release, ["cells/base/story"])
        timer.start()
        study.evaluate()
        timer.join()
    assert study.plan().complete


def test_a_finished_training_leaves_no_checkpoint(study_file: Path, tmp_path: Path) -> None:
    study = Study.open(study_file, tmp_path / "out", every_s=0.0)
    study.train()
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_what_is_said_twice_or_too_late_is_not_heard(study_file: Path, undisturbed: Path, tmp_path: Path) -> None:
    class Talkative(Local):
        def work(self, orders: Iterator[Order], receive: Receive, should_stop: ShouldStop) -> None:
            def twice(order: Order, event: Event) -> None:
                receive(order, event)
                receive(order, event)

            super().work(orders, twice, should_stop)

    work = Study.open(study_file, tmp_path / "out", backend=Talkative()).run()
    assert work is not None and len(work.trained) == 4
    assert snapshot(tmp_path / "out") == snapshot(undisturbed)
