"""A generated score matrix in the layout of the published one: row numbers, settings as columns, several bases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

BASES = ("LLM-jp-3-7B", "Meta-Llama-3-8B", "Qwen2.5-7B")
DATA = ("pretrain", "all", "alpaca", "code", "dolly", "flan", "lima", "magpie", "maths", "openmath", "tulu")
TASKS = (
    "mbpp-0shot", "humaneval-0shot", "gsm8k-0shot", "math-0shot", "nq-0shot", "BoolQ-0shot", "hellaswag-0shot",
    "mmlu-0shot", "jmmlu-0shot", "cmmlu-0shot", "LongBench-v2-0shot", "gsm8k-4shot", "nq-1shot",
)  # fmt: skip


def write_matrix(path: Path) -> Path:
    """Two traits over scores in percent; every tuning set at two sizes and ways; two rows copied by mistake."""
    rng = np.random.default_rng(0)
    loadings_KN = rng.normal(size=(2, len(TASKS))) * 6
    level_N = rng.uniform(25, 60, size=len(TASKS))
    rows = []
    for base in BASES:
        shift_N = rng.normal(size=len(TASKS)) * 3
        for name in DATA:
            traits_K = np.zeros(2) if name == "pretrain" else rng.normal(size=2)
            settings = (
                [("NA", "NA", "NA")]
                if name == "pretrain"
                else [("1000", "cosine", "False"), ("10000", "constant", "True")]
            )
            for size, strategy, lora in settings:
                values = level_N + shift_N + traits_K @ loadings_KN + rng.normal(size=len(TASKS))
                entry = {"model_name": base, "data_name": name, "lora": lora, "lr_strategy": strategy}
                entry["data_size"] = "0" if name == "pretrain" else size
                rows.append({**entry, **dict(zip(TASKS, values.round(2), strict=True))})
    frame = pd.DataFrame(rows)
    copied = frame.index[(frame["model_name"] == BASES[0]) & frame["data_name"].isin(["dolly", "flan"])]
    frame.loc[copied[2:], list(TASKS)] = frame.loc[copied[:2], list(TASKS)].to_numpy()
    frame.loc[frame["data_name"] == "lima", "LongBench-v2-0shot"] = np.nan
    frame.to_csv(path)
    return path
