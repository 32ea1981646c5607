"""A tiny random Llama with a byte tokenizer and tiny tasks as JSON lines: a study in about a second."""

from __future__ import annotations

import json
import random
from pathlib import Path

STUDY = """\
study: tiny
base: {{model: {base}, dtype: fp32}}
recipe: {{rank: 2, alpha: 4, lr: 0.01, epochs: 2, batch: 4, max_tokens: 64, seeds: [0]}}
tasks:
  tone:
    data: {{path: {{train: tone-train.jsonl, eval: tone-eval.jsonl}}, train: 12, eval: 8}}
    prompt: "{{{{ text }}}} is"
    answer: {{choice: [" bad", " good"], gold: "{{{{ label }}}}"}}
    metrics: [accuracy, macro_f1]
    tags: {{kind: sentiment}}
  sums:
    data: {{path: {{train: sums-train.jsonl, eval: sums-eval.jsonl}}, train: 12, eval: 6}}
    prompt: "{{{{ question }}}}="
    answer: {{generate: {{gold: "{{{{ answer }}}}", parse: final_number, max_tokens: 4, stop: ["\\n"]}}}}
    metrics: [exact_match]
  story:
    data: {{path: {{eval: story-eval.jsonl}}, eval: 5}}
    answer: {{loss: "{{{{ text }}}}"}}
controls: {{tone: [mislabel]}}
mixes: {{all: {{of: sources, per_task: 6}}}}
compute: {{device: cpu, threads: 1}}
"""


def change(study: Path, old: str, new: str) -> None:
    """Writes ``new`` for the first ``old`` of a study file."""
    text = study.read_text()
    assert old in text
    study.write_text(text.replace(old, new, 1))


def make_base(folder: Path, seed: int = 0, layers: int = 2) -> Path:
    """Writes the model; the same seed gives the same bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_tasks(folder: Path) -> None:
    """Writes the rows of the three tasks, more than the study asks for."""
    rng = random.Random(0)
    words = {"good": ["fine", "warm", "bright", "kind"], "bad": ["dull", "cold", "broken", "rude"]}
    for split, n in (("train", 24), ("eval", 16)):
        tone, sums = [], []
        for i in range(n):
            label = "good" if i % 2 else "bad"
            text = f"{split} {i} {rng.choice(words[label])} {rng.choice(words[label])}"
            tone.append({"text": text, "label": label})
            a, b = rng.randrange(40), rng.randrange(40)
            sums.append({"question": f"{split[0]}{i}: {a}+{b}", "answer": str(a + b)})
        for name, rows in (("tone", tone), ("sums", sums)):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}-{split}.jsonl").write_text(text)
    story = [{"text": f"story {i}: the {rng.choice(words['good'])} day went on"} for i in range(10)]
    (folder / "story-eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in story))


def make_study(folder: Path, base: Path | str, text: str = STUDY) -> Path:
    """Writes tasks and study file; returns the study file."""
    folder.mkdir(parents=True, exist_ok=True)
    make_tasks(folder)
    path = folder / "study.yaml"
    path.write_text(text.format(base=base))
    return path
