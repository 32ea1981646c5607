"""A base in 4 bits: adapters train, score and answer as PEFT's do on the same quantised model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import CONFIGS, TinyTokenizer, random_adapters
from test_inference_exact import option_rows
from test_train_exact import three_jobs

from traitscope.engine import Adapter, Bank, generate_and_score, load_base, plan_bank, score_options, train
from traitscope.engine.base import Base
from traitscope.engine.wrap import wrap_model
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow
from traitscope.store.models import embedded_base_path


def plain_model() -> torch.nn.Module:
    """A random Llama whose layers are wide enough for blocks of 64 weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**CONFIGS["llama"] | {"hidden_size": 64, "intermediate_size": 128})
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager", trust_remote_code=False).eval()


def quantised(folder: Path) -> torch.nn.Module:
    """The saved tiny model in NF4, as a user of transformers loads it."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}, trust_remote_code=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    plain_model().save_pretrained(folder)
    return folder


@pytest.fixture
def base(folder: Path) -> Base:
    return wrap_model(quantised(folder), TinyTokenizer(), name="llama")


def peft_of(folder: Path, adapter: Adapter, saved: Path, base: Base) -> torch.nn.Module:
    from peft import PeftModel

    adapter.save(saved, base)
    # In training mode, which drops nothing out here: in eval mode bitsandbytes rounds to bf16 on a CPU.
    return PeftModel.from_pretrained(quantised(folder), saved).train()


def test_a_folder_of_packed_weights_is_a_base(folder: Path, base: Base, tmp_path: Path) -> None:
    quantised(folder).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded_base_path() / name, tmp_path / name)
    loaded = load_base(tmp_path, device="cpu")
    assert loaded.precision == base.precision == "nf4"
    models = {"base": None}
    with Bank(loaded, models) as ours, Bank(base, models) as theirs:
        rows = option_rows()
        mine, wanted = (score_options(bank, rows)["base"] for bank in (ours, theirs))
    for one, other in zip(mine, wanted, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a == pytest.approx(b, abs=1e-5)


def test_log_likelihoods_equal_peft_on_the_quantised_base(folder: Path, base: Base, tmp_path: Path) -> None:
    models = random_adapters(base)
    rows = option_rows()
    with Bank(base, models) as bank:
        found = score_options(bank, rows)["wide"]
    peer = peft_of(folder, models["wide"], tmp_path / "wide", base)
    for row, options in zip(rows, found, strict=True):
        for option, ours in zip(row.options, options, strict=True):
            with torch.no_grad():
                logits = peer(input_ids=torch.tensor([row.context + option])).logits[0, :-1].double()
            picked = logits.log_softmax(-1)[len(row.context) - 1 :][torch.arange(len(option)), torch.tensor(option)]
            assert ours == pytest.approx(picked.numpy(), abs=1e-4)


def test_training_gives_the_adapters_of_the_same_weights_in_full_precision(folder: Path, base: Base) -> None:
    from bitsandbytes.functional import dequantize_4bit

    plain = plain_model()
    with torch.no_grad():
        for name, module in quantised(folder).named_modules():
            if type(module).__name__ == "Linear4bit":
                weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
                plain.get_submodule(name).weight.copy_(weight)
    jobs = three_jobs("llama")
    results = [train(b, jobs, plan_bank(b, jobs)) for b in (base, wrap_model(plain, None))]
    for name in results[0]:
        ours, theirs = ([record.loss for record in result[name].history] for result in results)
        assert ours == pytest.approx(theirs, abs=1e-4)
        assert np.ptp(ours) > 1e-3


def test_answers_come_from_the_same_pass_as_losses(base: Base) -> None:
    models = random_adapters(base)
    rows = [OptionRow(row.context, row.options[:1]) for row in option_rows(n=4)]
    with Bank(base, models) as bank:
        _, scored = generate_and_score(bank, rows, max_new_tokens=4)
        alone = score_options(bank, rows)
    for name in models:
        for mine, theirs in zip(scored[name], alone[name], strict=True):
            assert mine[0] == pytest.approx(theirs[0], abs=1e-5)


def test_a_model_whose_weights_are_packed_for_inference_is_refused(folder: Path) -> None:
    model = quantised(folder).eval()
    with torch.no_grad():
        model(input_ids=torch.tensor([[7, 8, 9]]))
    states = [m.weight.quant_state for m in model.modules() if type(m).__name__ == "Linear4bit"]
    if not any(getattr(state, "packing_format_for_cpu", False) for state in states):
        # bitsandbytes packs them by itself only on processors with bf16 products.
        states[-1].packing_format_for_cpu = True
    with pytest.raises(TraitscopeError, match="load the model again"):
        wrap_model(model, TinyTokenizer())


def test_a_study_asks_for_it_by_dtype(tmp_path: Path) -> None:
    small = load_base("embedded", dtype="nf4", device="cpu")
    full = load_base("embedded", dtype="fp32", device="cpu")
    assert small.precision == "nf4" and not small.mergeable
    assert small.n_parameters == full.n_parameters
    assert small.model.get_memory_footprint() < 0.35 * full.model.get_memory_footprint()
