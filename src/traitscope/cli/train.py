"""``traitscope train``: the missing adapters."""

from __future__ import annotations

from traitscope.cli.common import DEFAULT_STUDY, OutOption, QuietOption, ReplaceOption, StudyArgument, friendly
from traitscope.cli.run import fill


@friendly
def train(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    replace: ReplaceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the missing adapters, all together in one bank; evaluate nothing."""
    fill(study, out, quiet, lambda opened, stop: opened.train(replace=replace, stop=stop), show=False)
