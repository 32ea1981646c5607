"""What the site needs beside the pages as they stand: a hook of mkdocs (mkdocs.yml names it)."""

from __future__ import annotations

import re
from typing import Any

# "```python metric" and "```jsonl data/reviews.jsonl": the second word is for the tests.
NAMED = re.compile(r"^(```\w+) \S+$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text with fences that every renderer knows."""
    return NAMED.sub(r"\1", markdown)
