"""lm-evaluation-harness over a base and many adapters of it: each request is answered once, for all of them.

In Python ``evaluate`` gives the harness' own results by adapter. On the command line the harness has no way to find
models of other packages, so it is started from here, with its own arguments::

    python -m traitscope.lm_eval --model traitscope --model_args "base=B,adapters=one;two" --tasks arc_easy
"""

try:
    import lm_eval as _harness  # noqa: F401
except ImportError as error:
    raise ImportError("traitscope.lm_eval needs lm-eval: pip install 'traitscope[lm-eval]'") from error

from traitscope.lm_eval.model import TraitscopeLM, adapter_folders
from traitscope.lm_eval.results import evaluate

__all__ = ["TraitscopeLM", "adapter_folders", "evaluate"]
