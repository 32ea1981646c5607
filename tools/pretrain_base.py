"""Pre-train the embedded base: a small Llama on running text of the embedded world.

    python tools/pretrain_base.py --minutes 45 --out build/base

The text of step i is a function of the seed and i, so a stopped run continues from its checkpoint (same
``--out``) with the text that it would have seen. The learning rate is driven by the time spent: it falls to
zero when the minutes are used up. Writes model, tokenizer, ``pretraining.csv`` (held-out loss over time) and the
facts of the run to ``--out``; works on a CPU or a GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from random import Random

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from traitscope.tasks.embedded.prose import document

SPECIAL = ("<|pad|>", "<|bos|>", "<|eos|>")
# Words with their leading space, digits one by one, signs, white space.
SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
STEADY_SHARE, WARMUP_STEPS = 0.4, 60


def train_tokenizer(folder: Path, seed: int, vocabulary: int, n_documents: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on generated text and save it in Hugging Face's format."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rng = Random(f"{seed}:tokenizer")
    tokenizer.train_from_iterator((document(rng) for _ in range(n_documents)), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def packed(tokenizer: PreTrainedTokenizerFast, label: str, rows: int, length: int) -> torch.Tensor:
    """Documents drawn by the label, each ended by the end token, cut into rows of ``length + 1`` tokens."""
    rng = Random(label)
    wanted = rows * (length + 1)
    ids: list[int] = []
    while len(ids) < wanted:
        texts = [document(rng) for _ in range(64)]
        for row in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            ids += [*row, tokenizer.eos_token_id]
    return torch.tensor(ids[:wanted]).view(rows, length + 1)


def loss_of(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood per token, in nats."""
    logits = model(input_ids=batch[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, batch: torch.Tensor) -> float:
    """Loss on text that no step draws."""
    model.eval()
    parts = [loss_of(model, part).item() for part in batch.split(16)]
    model.train()
    return sum(parts) / len(parts)


def lr_share(progress: float, step: int) -> float:
    """Warm-up, a steady part, then a straight line to zero."""
    fall = min(1.0, (1.0 - progress) / (1.0 - STEADY_SHARE))
    return max(0.0, fall) * min(1.0, (step + 1) / WARMUP_STEPS)


def optimizers_of(model: LlamaForCausalLM, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim == 1 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0),
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to fill, and to continue from")
    parser.add_argument("--init", type=Path, help="folder of an earlier run whose weights and tokenizer to start from")
    parser.add_argument("--tokens-before", type=int, default=0, help="tokens that --init had seen, for the card")
    parser.add_argument("--minutes", type=float, default=45.0, help="time for the whole training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocabulary", type=int, default=3072)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--intermediate", type=int, default=512)
    parser.add_argument("--rows", type=int, default=16, help="rows of a step")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    known = next((f for f in (args.out, args.init) if f and (f / "tokenizer.json").exists()), None)
    if known:
        tokenizer = AutoTokenizer.from_pretrained(known, trust_remote_code=False)
        tokenizer.save_pretrained(args.out)
    else:
        tokenizer = train_tokenizer(args.out, args.seed, args.vocabulary, 20_000)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=args.intermediate,
        num_hidden_layers=12,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    model = LlamaForCausalLM(config).to(device)
    optimizers = optimizers_of(model, args.lr)
    step, spent, log = 0, 0.0, []
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, spent, log = state["step"], state["spent"], state["log"]
    elif args.init:
        model.load_state_dict(torch.load(args.init / "checkpoint.pt", map_location=device)["model"])
    held_out = packed(tokenizer, f"{args.seed}:held-out", 64, args.length).to(device)
    started = time.monotonic() - spent
    budget = args.minutes * 60
    next_report = spent + 60
    losses: list[float] = []
    while spent < budget:
        batch = packed(tokenizer, f"{args.seed}:{step}", args.rows, args.length).to(device)
        lr = args.lr * lr_share(spent / budget, step)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad()
        losses.append(loss.item())
        step += 1
        spent = time.monotonic() - started
        if spent >= next_report or spent >= budget:
            tokens = step * args.rows * args.length
            row = {
                "step": step,
                "tokens": tokens,
                "seconds": round(spent, 1),
                "lr": f"{lr:.3g}",
                "train_loss": round(sum(losses) / len(losses), 4),
                "held_out_loss": round(held_out_loss(model, held_out), 4),
            }
            log.append(row)
            losses = []
            next_report = time.monotonic() - started + 60
            print(json.dumps(row), flush=True)
            state = {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "step": step,
                "spent": spent,
                "log": log,
            }
            torch.save(state, args.out / "checkpoint.tmp")
            (args.out / "checkpoint.tmp").replace(checkpoint)
    save(model, tokenizer, held_out, log, args)


CARD = """---
license: apache-2.0
library_name: transformers
---
# The embedded base

A Llama-architecture causal language model of {parameters:,} parameters (12 layers, hidden size 128, vocabulary
{vocabulary:,}), trained from nothing on generated English about a small world (`traitscope.tasks.embedded.prose`).
It has seen that world's words, sums, stories and listings, and none of the prompts of the ten embedded tasks. It
is of no use outside of them: it exists so that a whole transfer study runs without a network in minutes.

| | |
| --- | --- |
| held-out loss | {held_out_loss} nats per token, over {held_out_tokens:,} tokens of the same generator (seed {seed}) |
| tokens seen | {tokens:,} in {steps:,} steps of {rows} x {length}, {minutes} minutes{before} |
| optimiser | Muon (layers) and AdamW (embedding, norms), peak rate {lr}, warm-up, steady, line to zero |
| weights | bf16 |

Made by `{command}`; `pretraining.csv` holds the loss over time.
"""


def save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    held_out: torch.Tensor,
    log: list[dict],
    args: argparse.Namespace,
) -> None:
    """Write the weights in bf16, their held-out loss, the tokenizer, the log and the card."""
    final = args.out / "final"
    model.to(torch.bfloat16).save_pretrained(final)
    (final / "model.safetensors").chmod(0o644)
    (final / "tokenizer.json").write_text((args.out / "tokenizer.json").read_text())
    special = {"pad_token": SPECIAL[0], "bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}
    settings = {
        **special,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    for name, content in (("special_tokens_map", special), ("tokenizer_config", settings)):
        (final / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    written = LlamaForCausalLM.from_pretrained(final, dtype=torch.float32).to(held_out.device)
    with (final / "pretraining.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(log[0]))
        writer.writeheader()
        writer.writerows(log)
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "tokens": log[-1]["tokens"],
        "tokens_before": args.tokens_before,
        "steps": log[-1]["step"],
        "minutes": round(log[-1]["seconds"] / 60, 1),
        "held_out_loss": round(held_out_loss(written, held_out), 4),
        "held_out_tokens": held_out[:, 1:].numel(),
        "held_out_rows": len(held_out),
        "seed": args.seed,
        "rows": args.rows,
        "length": args.length,
        "lr": args.lr,
    }
    (final / "pretraining.json").write_text(json.dumps(facts, indent=2) + "\n")
    command = f"python tools/pretrain_base.py --minutes {args.minutes:g} --rows {args.rows} --seed {args.seed}"
    before = ""
    if args.init:
        command += " --init EARLIER --out FOLDER"
        before = f", after {args.tokens_before:,} tokens of an earlier run of the same script"
    else:
        command += " --out FOLDER"
    (final / "README.md").write_text(CARD.format(**facts, command=command, before=before))
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
