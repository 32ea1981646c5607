"""The lines of ``run.jsonl``, each with a checksum of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

from traitscope.store.files import disk_errors

_CRC = b', "crc": "'


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Appends a line in one write."""
    body = json.dumps(line, ensure_ascii=False).removesuffix("}").encode()
    with disk_errors(path), path.open("ab") as file:
        # A line that a kill cut short must not spoil the next one.
        cut = file.tell() > 0 and _last_byte(path) != b"\n"
        file.write(b"\n" * cut + body + _CRC + f'{crc32(body):08x}"}}\n'.encode())


def log_line(line: bytes) -> dict[str, Any] | None:
    """What a line of the log says; None where it was cut short or spoilt."""
    body, mark, crc = line.rpartition(_CRC)
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not {"time", "event"} <= told.keys():
        return None
    return told if not mark or crc == f'{crc32(body):08x}"}}'.encode() else None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
