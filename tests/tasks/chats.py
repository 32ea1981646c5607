"""Chat templates in the styles of the common model families, in our own words, over small tokenizers made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Prints the day, and strips what is said.
HEADERS = (
    "{{ bos_token }}<|head|>system<|/head|>\n\nToday is {{ strftime_now('%d %b %Y') }}.<|turn_end|>"
    "{% for m in messages %}<|head|>{{ m.role }}<|/head|>\n\n{{ m.content | trim }}<|turn_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
# A last answer has its (empty) thoughts before it; with enable_thinking=False so has the generation prompt.
OPTIONAL_THOUGHTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}{% set thoughts = m.content.split('</think>') %}"
    "<think>\n{{ thoughts[0].replace('<think>', '').strip() if thoughts | length > 1 }}\n</think>\n\n"
    "{{ thoughts[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
# Generation starts inside the thoughts; a closed turn has none.
OPENED_THOUGHTS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<|Assistant|>{{ m.content.split('</think>')[-1] }}{{ eos_token }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
RENAMED = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# The end of the turn, then the end of the text.
TWO_ENDS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
UNCLOSED = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)

TEMPLATES = {
    "chatml": CHATML,
    "headers": HEADERS,
    "optional thoughts": OPTIONAL_THOUGHTS,
    "opened thoughts": OPENED_THOUGHTS,
    "brackets": BRACKETS,
    "renamed": RENAMED,
    "two ends": TWO_ENDS,
}
ENDS = {
    "chatml": "<|im_end|>",
    "headers": "<|turn_end|>",
    "optional thoughts": "<|im_end|>",
    "opened thoughts": "</s>",
    "brackets": "</s>",
    "renamed": "<end_of_turn>",
    "two ends": "<|end|>",
}
MARKS = [
    *("<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|turn_end|>", "<|User|>", "<|Assistant|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<think>", "</think>"),
]
CORPUS = [
    "Is this good? yes no. user assistant system model: think one two, the film was fine and the day went on",
    "Question: 3 + 4 = 7\nAnswer: yes, it is. INST im_start im_end end_of_turn\n\nToday is 26 Jul 2024.",
]


def byte_tokenizer(template: str, *, marks: Sequence[str] = MARKS, special: bool = True, ends: bool = False) -> Any:
    """Byte-level BPE that adds ``<s>`` in front.

    Args:
        marks: the template's marks that are tokens of their own.
        special: they are special tokens, in tokenizer.json alone.
        ends: ``</s>`` is added behind every text too.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(CORPUS * 3, trainer)
    tokens = [AddedToken(mark, special=special, normalized=False) for mark in marks]
    inner.add_special_tokens(tokens) if special else inner.add_tokens(tokens)
    inner.post_processor = TemplateProcessing(
        single="<s> $A </s>" if ends else "<s> $A", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", chat_template=template)
