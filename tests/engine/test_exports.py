"""What is saved names its modules so that PEFT loads the same function; where it cannot, no training begins."""

from __future__ import annotations

import copy
import json
import time
import warnings
from pathlib import Path

import pytest
import torch
from helpers import TinyTokenizer, known_model, random_adapters, tiny_model
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

from traitscope.engine import Adapter, Bank, LoraSpec, TrainJob, load_base, plan_bank, score_options
from traitscope.engine.export_check import check_export, twin
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, TrainRow
from traitscope.store.models import embedded_base_path

ROW = OptionRow((7, 8, 9, 3, 1), ((11, 12, 40), (13,)))
COMMON = {
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
ROUTED = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
GROUPS = {"n_shared_experts": 1, "n_group": 1, "topk_group": 1}
DEEPSEEK = {
    "num_key_value_heads": 4, "n_routed_experts": 4, "first_k_dense_replace": 1, "q_lora_rank": 8, "kv_lora_rank": 8,
    "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, **GROUPS, **ROUTED,
}  # fmt: skip
# Architectures in which PEFT takes the names of dense layers and shared experts for those of routed experts.
MIXED = {
    "deepseek_v2": DEEPSEEK,
    "deepseek_v3": DEEPSEEK,
    "dots1": {"n_routed_experts": 4, "first_k_dense_replace": 1, **GROUPS, **ROUTED},
    "ernie4_5_moe": {
        "moe_num_experts": 4, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 1, **ROUTED
    },
    "afmoe": {"num_experts": 4, "num_dense_layers": 1, "num_shared_experts": 1, "head_dim": 8, **ROUTED},
    "qwen3_moe": {"num_experts": 4, "mlp_only_layers": [0], "head_dim": 8, **ROUTED},
    "glm4_moe": {"n_routed_experts": 4, "first_k_dense_replace": 1, "head_dim": 8, **GROUPS, **ROUTED},
    "qwen2_moe": {"num_experts": 4, "mlp_only_layers": [0], "shared_expert_intermediate_size": 16, **ROUTED},
    "mixtral": {"num_local_experts": 4},
}  # fmt: skip


def moe(architecture: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **{**COMMON, **MIXED[architecture]})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", trust_remote_code=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    return model


def randomised(base, spec: LoraSpec) -> Adapter:
    adapter = Adapter.init(base, spec, 0)
    adapter.flat.copy_(torch.randn(adapter.flat.shape, generator=torch.Generator().manual_seed(1)) * 0.25)
    return adapter


def peft_logprobs(model: torch.nn.Module, folder: Path | None) -> list[float]:
    model = copy.deepcopy(model)
    if folder is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # missing or unexpected weights are warnings
            warnings.filterwarnings("ignore", message="fan_in_fan_out")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            model = PeftModel.from_pretrained(model, folder).eval()
    out = []
    for option in ROW.options:
        ids = torch.tensor([[*ROW.context, *option]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0].log_softmax(-1)
        out += [float(logits[len(ROW.context) - 1 + i, token]) for i, token in enumerate(option)]
    return out


def exported(model: torch.nn.Module, spec: LoraSpec, folder: Path) -> dict:
    """The configuration of an export that PEFT reads as the engine computes it, and reads back the same."""
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="tiny")
    check_export(base, spec)
    adapter = randomised(base, spec)
    adapter.save(folder, base)
    with Bank(base, {"a": adapter}) as bank:
        mine = [float(x) for option in score_options(bank, [ROW])["a"][0] for x in option]
    assert mine == pytest.approx(peft_logprobs(model, folder), abs=1e-4)
    moved = [abs(a - b) for a, b in zip(mine, peft_logprobs(model, None), strict=True)]
    assert max(moved) > 0.1
    assert Adapter.load(folder, base).fingerprint == adapter.fingerprint
    return json.loads((folder / "adapter_config.json").read_text())


@pytest.mark.parametrize("architecture", list(MIXED))
def test_models_with_experts(architecture: str, tmp_path: Path) -> None:
    model = moe(architecture)
    exported(model, LoraSpec(4, 8.0, dropout=0.1), tmp_path / "all")
    exported(model, LoraSpec(3, 8.0, layers=(0, 1), rslora=True), tmp_path / "layers")


def test_dense_layers_beside_experts_are_named_by_their_bare_weights(tmp_path: Path) -> None:
    config = exported(moe("qwen3_moe"), LoraSpec(4, 8.0, ("up_proj", "q_proj"), dropout=0.1), tmp_path)
    assert config["target_modules"] == ["q_proj"]
    assert config["target_parameters"] == ["model.layers.0.mlp.up_proj.weight"]
    assert config["lora_dropout"] == 0.0


def with_tower(architecture: str = "llama") -> torch.nn.Module:
    """A model that has modules of the decoder's names outside it, as one with a vision tower."""
    model = tiny_model(architecture, torch.float32)
    tower = torch.nn.Module()
    tower.layers = torch.nn.ModuleList([torch.nn.Module() for _ in range(2)])
    for layer in tower.layers:
        layer.q_proj, layer.down_proj = torch.nn.Linear(32, 32), torch.nn.Linear(32, 32)
    model.tower = tower
    return model


def test_suffixes_are_kept_where_they_say_exactly_what_is_adapted(tmp_path: Path) -> None:
    model = tiny_model("llama", torch.float32)
    config = exported(model, LoraSpec(4, 8.0, ("q_proj", "v_proj")), tmp_path / "a")
    assert config["target_modules"] == ["q_proj", "v_proj"] and config["layers_to_transform"] is None
    config = exported(model, LoraSpec(4, 8.0, layers=(1, 2)), tmp_path / "b")
    assert "q_proj" in config["target_modules"] and config["layers_to_transform"] == [1, 2]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (LoraSpec(4, 8.0, ("layers.1.self_attn.q_proj",)), ["q_proj"]),
        (LoraSpec(4, 8.0, ("layers.1.self_attn.q_proj", "layers.2.mlp.up_proj")),
         ["model.layers.1.self_attn.q_proj", "model.layers.2.mlp.up_proj"]),
    ],
)  # fmt: skip
def test_targets_by_longer_names_say_no_more_than_was_adapted(spec: LoraSpec, names: list, tmp_path: Path) -> None:
    assert exported(tiny_model("llama", torch.float32), spec, tmp_path)["target_modules"] == names


def test_modules_of_the_same_name_outside_the_decoder_are_left_alone(tmp_path: Path) -> None:
    config = exported(with_tower(), LoraSpec(4, 8.0, ("q_proj", "v_proj")), tmp_path)
    assert config["target_modules"] == [f"model.layers.{i}.self_attn.{n}_proj" for i in range(3) for n in "qv"]


def test_more_than_twenty_full_names(tmp_path: Path) -> None:
    """PEFT shortens such lists by itself."""
    config = exported(with_tower(), LoraSpec(4, 8.0), tmp_path)
    assert len(config["target_modules"]) == 21


def test_dropout_and_rank_stabilised_scaling_are_written(tmp_path: Path) -> None:
    config = exported(tiny_model("llama", torch.float32), LoraSpec(4, 8.0, rslora=True, dropout=0.2), tmp_path)
    assert config["use_rslora"] is True and config["lora_dropout"] == 0.2


def test_the_base_is_named_so_that_the_folder_loads_from_anywhere(tmp_path: Path, monkeypatch) -> None:
    base = load_base("embedded")
    adapter = random_adapters(base)["wide"]
    assert adapter.peft_config(base)["base_model_name_or_path"] == str(embedded_base_path().resolve())
    monkeypatch.chdir(embedded_base_path().parent)
    relative = load_base(f"./{embedded_base_path().name}")
    adapter.save(tmp_path / "a", relative)
    monkeypatch.chdir(tmp_path)
    from peft import AutoPeftModelForCausalLM

    named = json.loads(Path("a/adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(named).is_absolute()
    assert AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "a")).peft_config["default"].r == 4
    hub = known_model(tiny_model("llama", torch.float32), None, name="someone/model", revision="c" * 40)
    written = random_adapters(hub)["wide"].peft_config(hub)
    assert (written["base_model_name_or_path"], written["revision"]) == ("someone/model", "c" * 40)


def rows() -> list[TrainRow]:
    return [TrainRow((5, 6, 7, 8), 2)]


def test_targets_that_peft_would_read_otherwise_are_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way in which names were written before: suffixes, whatever they match."""
    import traitscope.engine.peft_config as writing

    monkeypatch.setattr(
        writing, "_targets", lambda base, names: {"target_modules": sorted({n.rsplit(".")[-1] for n in names})}
    )
    tower = known_model(with_tower(), TinyTokenizer(), name="tower")
    with pytest.raises(TraitscopeError, match=r"(?s)tower\.layers\.0\.q_proj: would be adapted, and is not.*q_proj"):
        plan_bank(tower, [TrainJob("a", rows(), LoraSpec(4, 8.0), lr=1e-3)])
    # What was found for some targets says nothing of others.
    check_export(tower, LoraSpec(4, 8.0, ("gate_proj",)))
    with pytest.raises(TraitscopeError, match="PEFT would read"):
        check_export(tower, LoraSpec(4, 8.0))
    base = known_model(moe("qwen3_moe"), TinyTokenizer(), name="moe")
    with pytest.raises(TraitscopeError, match="PEFT would read an adapter of these targets as another function"):
        plan_bank(base, [TrainJob("a", rows(), LoraSpec(4, 8.0), lr=1e-3)])


@pytest.mark.parametrize("spoil", ["alpha", "rslora", "swapped", "missing"])
def test_an_export_that_differs_in_anything_is_noticed(spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")
    config, tensors = Adapter.peft_config, Adapter.tensors

    def other_config(self: Adapter, base) -> dict:
        changes = {"alpha": {"lora_alpha": 9.0}, "rslora": {"use_rslora": True}}.get(spoil, {})
        return {**config(self, base), **changes}

    def other_tensors(self: Adapter) -> dict:
        found = tensors(self)
        first, second = [key for key in found if key.endswith("q_proj.lora_A.weight")][:2]
        if spoil == "swapped":
            found[first], found[second] = found[second], found[first]
        if spoil == "missing":
            del found[first]
        return found

    monkeypatch.setattr(Adapter, "peft_config", other_config)
    monkeypatch.setattr(Adapter, "tensors", other_tensors)
    with pytest.raises(TraitscopeError, match="would have other weights or another scale"):
        check_export(base, LoraSpec(4, 8.0))


def test_the_check_leaves_the_base_as_it_was_and_is_remembered() -> None:
    model = load_base("embedded").model
    base = load_base("embedded")
    before = [name for name, _ in base.model.named_modules()]
    start = time.perf_counter()
    check_export(base, LoraSpec(16, 32.0))
    assert time.perf_counter() - start < 3
    assert [name for name, _ in base.model.named_modules()] == before
    assert all(torch.equal(a, b) for a, b in zip(base.model.parameters(), model.parameters(), strict=True))
    assert not any(p.requires_grad for p in base.model.parameters())
    start = time.perf_counter()
    check_export(base, LoraSpec(4, 32.0))
    assert time.perf_counter() - start < 0.01


def test_the_twin_shares_all_weights_and_no_module() -> None:
    base = known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")
    with Bank(base, {"a": random_adapters(base)["wide"]}):
        other = twin(base)
    mine = {name: parameter.data_ptr() for name, parameter in base.model.named_parameters()}
    assert {name: parameter.data_ptr() for name, parameter in other.named_parameters()} == mine
    assert not set(map(id, other.modules())) & set(map(id, base.model.modules()))
