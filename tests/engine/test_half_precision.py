"""Products in bf16 on a CPU: what a layer adds after its product stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, tiny_model
from test_inference_exact import option_rows, peer_scores

from traitscope.engine import Bank, score_options, wrap_model


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox"])
def test_biases_count_where_products_run_in_bf16(architecture: str) -> None:
    model = tiny_model(architecture, torch.float32)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") and parameter.ndim == 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    rows = option_rows()
    truth = np.concatenate([np.concatenate(peer_scores(model, row)) for row in rows])
    base = wrap_model(model, TinyTokenizer(), name=architecture)
    base.product_dtype = torch.bfloat16
    with Bank(base, {"base": None}) as bank:
        ours = np.concatenate([np.concatenate(row) for row in score_options(bank, rows)["base"]])
    assert 0 < np.abs(ours - truth).mean() < 0.03
