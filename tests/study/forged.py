"""Files of a run folder changed on purpose, and sealed as if they had been written so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from traitscope.store.seal import sealed


def forge(path: Path, **changes: Any) -> dict[str, Any]:
    """Changes keys of a sealed file; one that is None goes. Returns what it said before."""
    before = json.loads(path.read_bytes())
    del before["sha256"]
    after = {key: value for key, value in {**before, **changes}.items() if value is not None}
    path.write_bytes(sealed(after, path.name))
    return dict(before)
