"""Tasks of lm-evaluation-harness as its users write them, over generated rows; a tiny base and adapters of it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

WORDS = ("river", "stone", "lamp", "garden", "winter", "letter", "bread", "window", "music", "road")

HEAD = """\
dataset_path: json
dataset_kwargs: {{data_files: {{train: {rows}/{name}-train.jsonl, test: {rows}/{name}-test.jsonl}}}}
test_split: test
"""

YAMLS = {
    "pick": """\
task: pick
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: "{{gold}}"
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
- {metric: acc_norm, aggregation: mean, higher_is_better: true}
- {metric: acc_bytes, aggregation: mean, higher_is_better: true}
- {metric: acc_mutual_info, aggregation: mean, higher_is_better: true}
- {metric: brier_score, aggregation: brier_score, higher_is_better: false}
metadata: {version: 1.0}
""",
    "shots": """\
task: shots
output_type: multiple_choice
training_split: train
fewshot_split: train
num_fewshot: 2
description: "Say what is asked.\\n\\n"
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: [" no", " yes"]
target_delimiter: ""
doc_to_target: "{{gold % 2}}"
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
- {metric: f1, higher_is_better: true}
- {metric: mcc, higher_is_better: true}
""",
    "last": """\
task: last
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' ' + text.split(' ')[-1]}}"
metric_list:
- {metric: perplexity, aggregation: perplexity, higher_is_better: false}
- {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "corpus": """\
task: corpus
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
- {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
- {metric: byte_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
- {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
    "sums": """\
task: sums
output_type: generate_until
training_split: train
fewshot_split: train
fewshot_config: {sampler: first_n}
num_fewshot: 2
doc_to_text: "{{question}} ="
doc_to_target: "{{'aeiou'[gold]}}"
generation_kwargs: {until: ["?", "s", "0"], max_gen_toks: 12, do_sample: false, temperature: 0.0}
repeats: 2
filter_list:
- name: strict-match
  filter:
  - {function: regex, regex_pattern: "^ (-?[0-9]+)"}
  - {function: take_first}
- name: most-often
  filter:
  - {function: regex, regex_pattern: "([aeiou])"}
  - {function: take_first_k, k: 2}
  - {function: majority_vote}
  - {function: take_first}
metric_list:
- metric: exact_match
  aggregation: mean
  higher_is_better: true
  ignore_case: true
- {metric: chrf}
""",
    "blank": """\
task: blank
output_type: multiple_choice
doc_to_text: "{{gold % 2}}"
doc_to_choice: "{{['The ' + options[0] + ' was', 'The ' + options[1] + ' was']}}"
doc_to_target: !function drawn.text
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "both": """\
group: both
task: [pick, shots]
aggregate_metric_list:
- {metric: acc, aggregation: mean, weight_by_size: true}
""",
    "even": """\
group: even
task: [pick, blank]
aggregate_metric_list:
- {metric: acc, aggregation: mean, weight_by_size: false}
""",
}


# What is drawn while a task is loaded depends on how the generators stand then.
DRAWN = """\
import random

import numpy

TURN = [random.randrange(1000), numpy.random.randint(1000)]


def text(doc):
    return f"{doc['text']} {TURN}"
"""


def rows(name: str, split: str, n: int) -> list[dict[str, Any]]:
    """Rows that all templates can be asked about."""
    rng = random.Random(f"{name} {split}")
    found = []
    for _ in range(n):
        a, b = rng.randrange(10), rng.randrange(10)
        options = rng.sample(WORDS, 4)
        found.append(
            {
                "question": f"{a} and {b}, {rng.choice(WORDS)}",
                "options": [f"{word} {rng.choice(WORDS)}" if rng.random() < 0.5 else word for word in options],
                "gold": rng.randrange(4),
                "text": " ".join(rng.choice(WORDS) for _ in range(rng.randrange(4, 60 if name == "corpus" else 9))),
            }
        )
    return found


def write_tasks(folder: Path, n: int = 9) -> Path:
    """The YAML files with their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drawn.py").write_text(DRAWN, encoding="utf-8")
    for name, body in YAMLS.items():
        head = "" if body.startswith("group") else HEAD.format(rows=folder.as_posix(), name=name)
        (folder / f"{name}.yaml").write_text(head + body, encoding="utf-8")
        for split, count in (("train", 8), ("test", n + len(name) % 3)):
            lines = "".join(json.dumps(row) + "\n" for row in rows(name, split, count))
            (folder / f"{name}-{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def make_base(folder: Path, *, positions: int = 48, bos: bool = False) -> Path:
    """A random Llama whose tokens are bytes and some words; with ``bos`` its tokenizer adds a first token."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from tokenizers.processors import TemplateProcessing
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS) + " Question: Answer: 12 = 7\n"] * 3, trainer)
    if bos:
        tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        chat_template="{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% if not loop.last or add_generation_prompt %}</s>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}",
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A PEFT adapter with random weights, large enough to change answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    return folder


def harness_results(
    base: Path, adapter: Path | None, tasks: list[str], folder: Path, **options: Any
) -> dict[str, dict[str, Any]]:
    """What lm-eval's own simple_evaluate says with HFLM and PEFT in fp32, one request at a time."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    peft = None if adapter is None else str(adapter)
    model = HFLM(pretrained=str(base), peft=peft, dtype="float32", device="cpu", batch_size=1)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = {}
    for task in tasks:
        made = lm_eval.simple_evaluate(model, tasks=[task], task_manager=manager, **options)
        assert made is not None
        found[task] = made
    return found
