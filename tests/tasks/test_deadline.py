"""A chat template that does not end is one error; what ends in time is not touched."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from chats import byte_tokenizer
from task_helpers import task_of

from traitscope.errors import TraitscopeError
from traitscope.tasks import chat
from traitscope.tasks.deadline import TookTooLong, within


def test_what_does_not_end_is_ended_and_nothing_is_left_of_it() -> None:
    started = time.monotonic()
    with pytest.raises(TookTooLong), within(0.3):
        while True:
            with suppress(Exception):
                sum(range(100))
    assert time.monotonic() - started < 5.0
    for _ in range(200_000):
        pass


def test_what_ends_in_time_is_left_alone_in_every_thread() -> None:
    done = []

    def work() -> None:
        for _ in range(50):
            with within(30.0):
                time.sleep(0.001)
        done.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    with pytest.raises(TookTooLong), within(0.3):
        while True:
            time.sleep(0.01)
    [thread.join() for thread in threads]
    assert len(done) == 4


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}"
        "{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
)
def test_an_endless_chat_template_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setattr(chat, "within", lambda: within(0.5))
    task = task_of(
        tmp_path,
        [{"text": "a", "label": "no"}, {"text": "b", "label": "yes"}],
        prompt="{{ text }}",
        chat=True,
        answer={"choice": ["no", "yes"], "gold": "{{ label }}"},
    )
    with pytest.raises(TraitscopeError, match="takes more than"):
        chat.Chat(task, byte_tokenizer(template))
