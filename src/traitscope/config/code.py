"""What a study file may say about answers that are programs: their tests and their limits."""

from __future__ import annotations

from pydantic import Field, field_validator

from traitscope.config.settings import Settings
from traitscope.config.template import check_template


class CodeConfig(Settings):
    """Answers are Python programs, right where they pass their tests. They run only under ``--allow-code``."""

    tests: str = Field(description="Template of the tests: Python that runs behind the answer and sees its names")
    before: str = Field(
        "", description="Template of what stands right before the answer in its program: the prompt, or imports"
    )
    timeout_s: float = Field(
        5.0, ge=0.1, le=3600, description="Seconds of processor time of one program (of wall clock four times as many)"
    )
    memory_mb: int = Field(
        512, ge=64, le=1 << 20, description="Megabytes of address space of every process of a program"
    )

    @field_validator("tests", "before")
    @classmethod
    def _template(cls, template: str) -> str:
        check_template(template)
        return template
