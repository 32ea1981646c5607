"""Holds the engine to plain transformers and PEFT on one model: scores, generation, states, gradients, export."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traitscope.engine import Adapter, Bank, LoraSpec, TrainJob, capture, generate, score_options, wrap_model
from traitscope.engine.export_check import check_export
from traitscope.engine.plan import plan_bank
from traitscope.engine.trainer import BankTrainer
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, PromptRow, TrainRow

# Nats between the engine and the model itself above which a result counts as silently wrong (fp32, tiny models).
WRONG = 1e-3
# The same for gradients, as a share of them: PEFT's own differ by 1.1e-3 between a row alone and one that is padded
# (qwen3_5_moe_text, whose linear attention sums over the whole row).
WRONG_GRADIENT = 5e-3


class Letters:
    """As much of a tokenizer as generation asks for."""

    eos_token_id = None

    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        return " ".join(str(int(i)) for i in ids)


@dataclass
class Verdict:
    """What came out: ``path`` packed, batched, single or refused; ``errors`` by check; ``why`` for slower paths."""

    path: str = ""
    why: str = ""
    errors: dict[str, float | str] = field(default_factory=dict)
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        if self.path in ("refused", "not built"):
            return self.path
        if any(isinstance(error, str) for error in self.errors.values()):
            return "traceback"
        limits = {"gradients": WRONG_GRADIENT}
        wrong = any(not error <= limits.get(name, WRONG) for name, error in self.errors.items())  # type: ignore[operator]
        return "silent" if wrong else self.path


def draw_rows(vocabulary: int, lengths: list[int], seed: int) -> list[OptionRow]:
    """Rows that begin alike, with three answers of which two begin alike."""
    draw = np.random.default_rng(seed)
    shared = draw.integers(0, vocabulary, max(lengths)).tolist()
    rows = []
    for length in lengths:
        own = draw.integers(0, vocabulary, 5).tolist()
        context = (*shared[: max(1, length - 5)], *own)[:length]
        a, b, c, d, e = draw.integers(0, vocabulary, 5).tolist()
        rows.append(OptionRow(context, ((a, b, c), (a, d), (e,))))
    return rows


def judge(
    model: Any, lengths: list[int], *, targets: Any = "all-linear", new: int = 6, seed: int = 7, device: str = "cpu"
) -> Verdict:
    """Wrap ``model`` on ``device`` and compare everything that the engine does with it with a copy on the CPU."""
    plain = copy.deepcopy(model)
    model.to(device)
    verdict = Verdict()
    began = time.monotonic()
    try:
        base = wrap_model(model, Letters(), name="zoo")
    except TraitscopeError as error:
        return Verdict("refused", str(error).splitlines()[0], seconds=time.monotonic() - began)
    verdict.seconds = time.monotonic() - began
    paths = base.paths
    verdict.path = "packed" if paths.packed else "batched" if paths.batched else "single"
    verdict.why = paths.why
    verdict.details = {"hidden": paths.hidden, "routed": len(paths.routed), "sides": base.sides is not None}
    vocabulary = min(base.vocab_size, model.get_input_embeddings().weight.shape[0])
    lengths = [n for n in lengths if n + 4 + new <= base.max_positions]
    rows = draw_rows(vocabulary, lengths, seed)
    adapter = large_adapter(base, targets)
    peft = with_peft(plain, adapter, base)

    def check(name: str, run: Any) -> None:
        try:
            verdict.errors[name] = run()
        except Exception as error:
            verdict.errors[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"

    models = {"a": adapter, "base": None, "b": large_adapter(base, targets, seed=5)}

    def scores(merge: bool | None) -> float:
        with Bank(base, models) as bank:
            found = score_options(bank, rows, merge=merge)
        worst = 0.0
        with torch.no_grad():
            for name, reference in (("a", peft), ("base", plain)):
                with without(peft, reference is plain):
                    for row, scored in zip(rows, found[name], strict=True):
                        for option, ours in zip(row.options, scored, strict=True):
                            theirs = logprobs(peft, row.context, option)
                            worst = max(worst, float(np.abs(ours - theirs).max()))
        return worst

    def answers(merge: bool | None) -> float:
        prompts = [PromptRow(row.context) for row in rows]
        with Bank(base, models) as bank:
            found = generate(bank, prompts, max_new_tokens=new, merge=merge)["a"]
        worst = 0.0
        for row, answer in zip(prompts, found, strict=True):
            worst = max(worst, lead_lost(peft, row.context, list(answer.ids), new))
        return worst

    def states() -> float:
        if paths.hidden:
            return 0.0
        with Bank(base, models) as bank:
            acts_LSD = capture(bank, [PromptRow(row.context) for row in rows])["a"]
        worst = 0.0
        with torch.no_grad():
            for number, row in enumerate(rows):
                ids = torch.tensor([row.context])
                listed = peft(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
                # Some list the embeddings first, some begin behind the first layer; the last is behind the final norm.
                first = 0 if float((listed[0][0, -1] - torch.tensor(acts_LSD[0, number])).abs().max()) < 1e-4 else 1
                for layer in range(first, acts_LSD.shape[0] - 1):
                    theirs = listed[layer - first][0, -1].numpy()
                    worst = max(worst, float(np.abs(acts_LSD[layer, number] - theirs).max() / np.abs(theirs).max()))
        return worst

    def gradients() -> float:
        try:
            check_export(base, adapter.spec)
        except TraitscopeError as error:
            verdict.details["training"] = str(error).splitlines()[0]
            return 0.0
        jobs, wanted = [], []
        for slot, chosen in enumerate((rows[:2], rows[2:4])):
            data = [TrainRow(row.context + row.options[0], len(row.context)) for row in chosen]
            jobs.append(TrainJob(f"job{slot}", data, adapter.spec, lr=1e-3))
            wanted.append(peft_gradient(peft, adapter, data))
        trainer = BankTrainer(base, jobs, plan_bank(base, jobs))
        try:
            for slot, job in enumerate(jobs):
                trainer.put(slot, job, adapter)
            trainer.gradients({slot: list(job.rows) for slot, job in enumerate(jobs)})
            return max(
                float((trainer.bank.grads[slot].cpu() - theirs).norm() / theirs.norm())  # type: ignore[operator]
                for slot, theirs in enumerate(wanted)
            )
        finally:
            trainer.close()

    check("scores", lambda: scores(None))
    check("scores, slots", lambda: scores(False))
    check("answers", lambda: answers(None))
    check("answers, slots", lambda: answers(False))
    check("states", states)
    check("gradients", gradients)
    check("export", lambda: 0.0 if "training" in verdict.details else export_error(base, plain, adapter))
    return verdict


def judge_half(model: Any, lengths: list[int], device: str = "cpu") -> Verdict:
    """Log-probabilities of a bf16 model against the same weights in fp32: no further off than twice the model's own."""
    own, exact = copy.deepcopy(model), copy.deepcopy(model).float()
    model.to(device)
    try:
        base = wrap_model(model, Letters(), name="zoo")
    except TraitscopeError as error:
        return Verdict("refused", str(error).splitlines()[0])
    paths = base.paths
    verdict = Verdict("packed" if paths.packed else "batched" if paths.batched else "single", paths.why)
    rows = draw_rows(base.vocab_size, lengths, 7)
    with Bank(base, {"base": None, "other": large_adapter(base, "all-linear", size=0.01)}) as bank:
        found = score_options(bank, rows)["base"]
    theirs = ours = 0.0
    with torch.no_grad():
        for row, scored in zip(rows, found, strict=True):
            for option, values in zip(row.options, scored, strict=True):
                wanted = logprobs(exact, row.context, option)
                theirs = max(theirs, float(np.abs(logprobs(own, row.context, option) - wanted).max()))
                ours = max(ours, float(np.abs(values - wanted).max()))
    verdict.details = {"own error": theirs, "our error": ours}
    verdict.errors["scores beyond twice the own error"] = max(0.0, ours - 2 * theirs)
    return verdict


def large_adapter(base: Any, targets: Any, seed: int = 3, size: float = 0.3) -> Adapter:
    adapter = Adapter.init(base, LoraSpec(2, 4.0, targets), seed)
    generator = torch.Generator().manual_seed(seed)
    modules = dict(base.model.named_modules())
    for piece in adapter.pieces:
        a_RD, b_OR = piece.views(adapter.flat)
        b_OR.copy_(torch.randn(b_OR.shape, generator=generator))
        b_OR.mul_(size * float(modules[piece.name].weight.norm()) / (piece.scale * float((b_OR @ a_RD).norm())))
    return adapter


def with_peft(model: Any, adapter: Adapter, base: Any) -> Any:
    """PEFT's model with the adapter's weights put in by their names; hooks stand in where PEFT takes no such module."""
    from peft import LoraConfig, get_peft_model

    names = [piece.name for piece in adapter.pieces]
    config = LoraConfig(r=2, lora_alpha=4.0, target_modules=names, lora_dropout=0.0, task_type=None)
    try:
        peft = get_peft_model(copy.deepcopy(model), config).eval()
        state = dict(peft.named_parameters())
        with torch.no_grad():
            for piece in adapter.pieces:
                a_RD, b_OR = piece.views(adapter.flat)
                state[f"base_model.model.{piece.name}.lora_A.default.weight"].copy_(a_RD)
                state[f"base_model.model.{piece.name}.lora_B.default.weight"].copy_(b_OR)
        return peft
    except (KeyError, ValueError):
        return Hooked(copy.deepcopy(model), adapter)


class Hooked:
    """A model with LoRA beside its linear layers: y + scale * B A x."""

    def __init__(self, model: Any, adapter: Adapter) -> None:
        self.model = model
        self.on = True
        self.weights: dict[str, torch.nn.Parameter] = {}
        for piece in adapter.pieces:
            pair = [torch.nn.Parameter(part.clone()) for part in piece.views(adapter.flat)]
            for letter, part in zip("AB", pair, strict=True):
                self.weights[f"base_model.model.{piece.name}.lora_{letter}.default.weight"] = part
            model.get_submodule(piece.name).register_forward_hook(self._beside(*pair, piece.scale))
        self.generate = model.generate

    def _beside(self, a_RD: Any, b_OR: Any, scale: float) -> Any:
        def hook(_module: Any, args: Any, output: Any) -> Any:
            return output + scale * (args[0] @ a_RD.t()) @ b_OR.t() if self.on else output

        return hook

    def __call__(self, **inputs: Any) -> Any:
        return self.model(**inputs)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        self.on = False
        yield
        self.on = True

    def named_parameters(self) -> Any:
        return self.weights.items()

    def zero_grad(self) -> None:
        for weight in self.weights.values():
            weight.grad = None


def without(peft: Any, off: bool) -> Any:
    return peft.disable_adapter() if off else nullcontext()


def logprobs(model: Any, context: tuple[int, ...], option: tuple[int, ...]) -> np.ndarray:
    # As lm-evaluation-harness: the last token of an answer is looked up and never run.
    ids = torch.tensor([(context + option)[:-1]])
    logits_TV = model(input_ids=ids, use_cache=False).logits[0].double()
    picked = logits_TV.log_softmax(-1)[len(context) - 1 :]
    return picked[torch.arange(len(option)), torch.tensor(option)].numpy()


def lead_lost(model: Any, context: tuple[int, ...], said: list[int], new: int) -> float:
    """By how many nats a token that was said falls behind the best one: under its cache, else under whole rows.

    ``generate`` is the yardstick; where it says something else, what was said must be what whole rows say.
    """
    with torch.no_grad():
        try:
            theirs = model.generate(
                input_ids=torch.tensor([context]), attention_mask=torch.ones(1, len(context), dtype=torch.long),
                max_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0, num_beams=1,
            )[0, len(context) :].tolist()  # fmt: skip
        except Exception:
            theirs = None  # its own cache fails: whole rows are what is left to compare with
        if theirs == said:
            return 0.0
        row, worst = list(context), 0.0
        for token in said:
            logits_V = model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1].double()
            worst = max(worst, float(logits_V.max() - logits_V[token]))
            row.append(token)
        return max(worst, 0.0 if len(said) == new else 99.0)


def peft_gradient(peft: Any, adapter: Adapter, rows: list[TrainRow]) -> torch.Tensor:
    """Gradient of the mean token loss in the order of the adapter's flat weights."""
    names = dict(peft.named_parameters())
    peft.zero_grad()
    count = sum(len(row.ids) - row.n_prompt for row in rows)
    for row in rows:
        logits_TV = peft(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0]
        targets = torch.tensor(row.ids[row.n_prompt :])
        sources = logits_TV[row.n_prompt - 1 : -1].float()
        (torch.nn.functional.cross_entropy(sources, targets, reduction="sum") / count).backward()
    parts = []
    for piece in adapter.pieces:
        for letter in ("A", "B"):
            weight = names[f"base_model.model.{piece.name}.lora_{letter}.default.weight"]
            parts.append(torch.zeros_like(weight) if weight.grad is None else weight.grad.clone())
    peft.zero_grad()
    return torch.cat([part.reshape(-1) for part in parts])


def export_error(base: Any, plain: Any, adapter: Adapter) -> float:
    """By how much logits differ between PEFT with the saved folder and PEFT with the weights put in."""
    from peft import PeftModel

    with tempfile.TemporaryDirectory() as folder:
        adapter.save(Path(folder), base)
        loaded = PeftModel.from_pretrained(copy.deepcopy(plain), folder).eval()
    ids = torch.arange(3, 15)[None]
    with torch.no_grad():
        a = loaded(input_ids=ids, use_cache=False).logits
        b = with_peft(plain, adapter, base)(input_ids=ids, use_cache=False).logits
    return float((a - b).abs().max())
