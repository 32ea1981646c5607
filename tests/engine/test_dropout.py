"""LoRA dropout: PEFT's function given the mask, PEFT's in distribution, and a mask that nothing but the job decides."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, random_adapters, tiny_model
from peft import LoraConfig, get_peft_model
from reference import batches_of, peft_alone
from scipy import stats
from test_train_exact import random_rows, three_jobs
from test_train_memory import refusing

from traitscope.engine import Bank, LoraSpec, TrainJob, plan_bank, score_options, train
from traitscope.engine.dropout import Drop
from traitscope.engine.train import Interrupted
from traitscope.engine.trainer import BankTrainer, cut_passes
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, TrainRow


def dropping_jobs(architecture: str = "llama", shares: tuple[float, ...] = (0.3, 0.0, 0.6)) -> list[TrainJob]:
    """Jobs of different length and data, one of them without dropout."""
    return [
        replace(job, spec=replace(job.spec, dropout=share), max_steps=6)
        for job, share in zip(three_jobs(architecture), shares, strict=True)
    ]


class GivenDropout(torch.nn.Module):
    """In the place of PEFT's dropout: inputs of the rows of a padded batch are dropped as the mask of each row says.

    Masks are those of ``device``, which draws its own random numbers.
    """

    def __init__(self, share: float, module: str, device: str = "cpu") -> None:
        super().__init__()
        self.share, self.module, self.device = share, module, device
        self.keys: list[tuple[int, int, int]] = []
        self.lengths: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = torch.ones_like(x)
        for row, (key, n) in enumerate(zip(self.keys, self.lengths, strict=True)):
            dropped = Drop(self.share, self.module, ((0, n, key),)).mask(x[row, :n].to(self.device))
            kept[row, :n] = (~dropped).to(x)
        return x * kept / (1 - self.share)


def give_masks(job: TrainJob, device: str = "cpu"):
    def before_step(peer, step: int, rows: list[TrainRow]) -> None:
        for name, module in peer.named_modules():
            if name.endswith(".lora_dropout"):
                layer = name.removeprefix("base_model.model.").removesuffix(".lora_dropout")
                if not isinstance(module["default"], GivenDropout):
                    module["default"] = GivenDropout(job.spec.dropout, layer, device)
                module["default"].keys = [(job.seed, step, number) for number in range(len(rows))]
                module["default"].lengths = [len(row.ids) for row in rows]

    return before_step


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_given_the_masks_training_gives_the_weights_of_peft(architecture: str, lifted_casts: None) -> None:
    """bloom runs padded; two slots for three jobs and small passes: slots are refilled, batches cut over passes."""
    model = tiny_model(architecture)
    base = known_model(copy.deepcopy(model), None, name=architecture)
    assert base.packed == (architecture != "bloom")
    jobs = dropping_jobs(architecture)
    results = train(base, jobs, plan_bank(base, jobs, slots=2, tokens_per_pass=90))
    for job in jobs:
        theirs, losses = peft_alone(model, job, give_masks(job) if job.spec.dropout else None)
        ours = results[job.name].adapter.tensors()
        worst = max(float((ours[key] - theirs[key]).abs().max()) for key in theirs)
        assert worst < 1e-8, f"{architecture} {job.name}: {worst:.1e}"
        assert [record.loss for record in results[job.name].history] == pytest.approx(losses, abs=1e-7)
    without = [replace(job, spec=replace(job.spec, dropout=0.0)) for job in jobs]
    plain = train(base, without, plan_bank(base, without))
    moved = {name: float((plain[name].adapter.flat - r.adapter.flat).abs().max()) for name, r in results.items()}
    assert moved["wide"] > 1e-3 and moved["upper"] > 1e-3
    assert moved["narrow"] < 1e-8


def weights(jobs: list[TrainJob], **plan: object) -> dict[str, torch.Tensor]:
    base = known_model(tiny_model("llama"), None)
    results = train(base, jobs, replace(plan_bank(base, jobs), **plan))  # type: ignore[arg-type]
    return {name: result.adapter.flat for name, result in results.items()}


def test_masks_know_nothing_of_neighbours_nor_of_passes() -> None:
    jobs = dropping_jobs()
    together = weights(jobs)
    for plan in ({"tokens_per_pass": 30}, {"slots": 1}, {"checkpoint_layers": True}):
        for name, flat in weights(jobs, **plan).items():
            torch.testing.assert_close(flat, together[name], rtol=0, atol=1e-9)
    for job in jobs:
        torch.testing.assert_close(weights([job])[job.name], together[job.name], rtol=0, atol=1e-9)


def test_layers_that_are_computed_again_drop_the_same() -> None:
    base = known_model(tiny_model("llama"), None)
    jobs = dropping_jobs()
    gradients = []
    for again in (False, True):
        plan = replace(plan_bank(base, jobs), checkpoint_layers=again)
        gradients.append({name: r.history[0].grad_norm for name, r in train(base, jobs, plan).items()})
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-9)


def test_a_step_that_runs_out_of_memory_starts_again_with_the_same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    base = known_model(tiny_model("llama"), None)
    jobs = dropping_jobs()
    plan = plan_bank(base, jobs, tokens_per_pass=90)
    undisturbed = train(base, jobs, plan)
    monkeypatch.setattr(base.backbone, "forward", refusing(base.backbone.forward, {2}))
    for name, result in train(base, jobs, plan).items():
        torch.testing.assert_close(result.adapter.flat, undisturbed[name].adapter.flat, rtol=0, atol=1e-9)
    assert base.runtime.drops is None


@pytest.mark.parametrize("stop_after", [1, 4])
def test_stopped_and_resumed_equals_undisturbed_to_the_bit(stop_after: int) -> None:
    base = known_model(tiny_model("llama", torch.float32), None)
    jobs = dropping_jobs()
    plan = plan_bank(base, jobs, slots=2, tokens_per_pass=90)
    undisturbed = train(base, jobs, plan)
    kept: list[bytes] = []
    steps = iter(range(1000))
    with pytest.raises(Interrupted):
        train(base, jobs, plan, on_checkpoint=kept.append, should_stop=lambda: next(steps) >= stop_after)
    for name, result in train(base, jobs, plan, checkpoint=kept[-1]).items():
        assert torch.equal(result.adapter.flat, undisturbed[name].adapter.flat)
        assert result.history == undisturbed[name].history


def test_without_dropout_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a mask was drawn")

    monkeypatch.setattr(Drop, "mask", never)
    assert weights(dropping_jobs(shares=(0.0, 0.0, 0.0)))
    with pytest.raises(AssertionError, match="a mask was drawn"):
        weights(dropping_jobs())


def test_evaluation_drops_nothing() -> None:
    base = known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")
    plain = random_adapters(base)["wide"]
    dropping = replace(plain, spec=replace(plain.spec, dropout=0.9))
    row = OptionRow((7, 8, 9), ((11, 12), (13,)))
    with Bank(base, {"a": plain, "b": dropping}) as bank:
        scores = score_options(bank, [row])
    for mine, other in zip(scores["a"][0], scores["b"][0], strict=True):
        assert np.array_equal(mine, other)


def test_a_pass_that_was_not_laid_out_has_no_dropout() -> None:
    base = known_model(tiny_model("llama"), None)
    (job,) = dropping_jobs()[:1]
    trainer = BankTrainer(base, [job], plan_bank(base, [job]))
    try:
        trainer.fill_slots()
        (pieces,) = cut_passes({0: job.batch_rows(0)}, 10_000)
        with trainer._dropping(pieces), pytest.raises(RuntimeError, match="was not laid out"):
            base.runtime.slot_ranges = [(0, 3, 0)]
            base.model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=False)
    finally:
        trainer.close()


def one_mask(key: tuple[int, int, int], module: str = "a", share: float = 0.3, shape=(200, 300)) -> torch.Tensor:
    return Drop(share, module, ((0, shape[0], key),)).mask(torch.zeros(shape))


def test_masks_have_the_share_and_are_independent() -> None:
    first = one_mask((0, 0, 0))
    n = first.numel()
    for share in (0.05, 0.3, 0.8):
        dropped = int(one_mask((0, 0, 0), share=share).sum())
        assert stats.binomtest(dropped, n, share).pvalue > 1e-4
    assert torch.equal(first, one_mask((0, 0, 0)))
    for other in (one_mask((1, 0, 0)), one_mask((0, 1, 0)), one_mask((0, 0, 1)), one_mask((0, 0, 0), "b")):
        assert stats.binomtest(int((first & other).sum()), n, 0.09).pvalue > 1e-4
    neighbours = int((first[:-1] & first[1:]).sum()), int((first[:, :-1] & first[:, 1:]).sum())
    assert all(abs(count / n - 0.09) < 0.005 for count in neighbours)


def test_padding_is_not_dropped_and_each_row_has_its_own_place() -> None:
    drop = Drop(0.5, "a", ((0, 3, (0, 0, 0)), (5, 9, (0, 0, 1))))
    mask_TD = drop.mask(torch.zeros(10, 64))
    assert not mask_TD[3:5].any() and not mask_TD[9:].any()
    assert torch.equal(mask_TD[5:9], one_mask((0, 0, 1), share=0.5, shape=(4, 64)))


def test_gradients_have_the_law_of_peft(lifted_casts: None) -> None:
    """The loss and the gradient of A and B over many masks: mean and spread as over PEFT's own."""
    model = tiny_model("llama")
    rows = random_rows(2, 5, longest=8)
    n = 200
    spec = LoraSpec(2, 8.0, ("q_proj", "down_proj"), dropout=0.4)
    ours = []
    base = known_model(copy.deepcopy(model), None)
    start = random_adapters(base)["wide"]
    for seed in range(n):
        job = TrainJob("a", rows, spec, lr=1e-3, batch=2, seed=seed)
        trainer = BankTrainer(base, [job], plan_bank(base, [job]))
        try:
            adapter = type(start).init(base, spec, 0)
            adapter.flat.copy_(torch.randn(adapter.flat.shape, generator=torch.Generator().manual_seed(3)) * 0.2)
            trainer.put(0, job, adapter)
            losses = trainer.gradients({0: rows})
            grad = trainer.bank.grads[0]
            assert grad is not None
            ours.append([losses[0], *grad[::41].tolist()])
        finally:
            trainer.close()
    config = LoraConfig(r=2, lora_alpha=8.0, target_modules=["q_proj", "down_proj"], lora_dropout=0.4)
    peer = get_peft_model(copy.deepcopy(model), config, autocast_adapter_dtype=False)
    peer.train()
    named = {key.replace(".default", ""): p for key, p in peer.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for key, value in adapter.tensors().items():
            named[key].copy_(value)
    order = [named[key] for key in adapter.tensors()]
    supervised = sum(len(row.ids) - row.n_prompt for row in rows)
    torch.manual_seed(0)
    theirs = []
    for _ in range(n):
        peer.zero_grad()
        total = 0.0
        for row in rows:
            ids = torch.tensor([row.ids])
            logits = peer(input_ids=ids, use_cache=False).logits[0, row.n_prompt - 1 : -1]
            loss = torch.nn.functional.cross_entropy(logits, ids[0, row.n_prompt :], reduction="sum") / supervised
            loss.backward()
            total += loss.item()
        theirs.append([total, *torch.cat([p.grad.flatten() for p in order])[::41].tolist()])
    mine, other = np.array(ours), np.array(theirs)
    assert mine.shape == other.shape and mine.shape[1] > 10
    assert mine[:, 0].std() > 0
    pvalues = [stats.ks_2samp(mine[:, i], other[:, i]).pvalue for i in range(mine.shape[1])]
    # The lowest of so many p-values of a true hypothesis.
    assert min(pvalues) > 1e-3 / len(pvalues)
    spread = other.std(0) / np.sqrt(n)
    assert (np.abs(mine.mean(0) - other.mean(0)) < 6 * spread + 1e-12).all()


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(TraitscopeError, match="dropout is 1"):
        LoraSpec(4, 8.0, dropout=1.0)


def test_the_batches_of_the_reference_are_those_of_the_job() -> None:
    """The place of a row in its batch is part of its mask's key."""
    job = dropping_jobs()[0]
    assert [job.batch_rows(step) for step in range(6)] == list(batches_of(job))[:6]
