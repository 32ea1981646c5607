"""What common trainers call the recipe's keys, and what they offer that a recipe does not."""

from __future__ import annotations

from typing import NamedTuple


class Elsewhere(NamedTuple):
    """One option of other trainers.

    Attributes:
        keys: its names in HF Trainer, TRL, PEFT, axolotl and LLaMA-Factory.
        answer: what to write instead, or why there is nothing to write.
        offered: whether a recipe has it, under another name or always.
    """

    keys: tuple[str, ...]
    answer: str
    offered: bool


def _has(keys: str, answer: str) -> Elsewhere:
    return Elsewhere(tuple(keys.split()), answer, True)


def _lacks(keys: str, answer: str) -> Elsewhere:
    return Elsewhere(tuple(keys.split()), answer, False)


OPTIONS = (
    _has("r lora_r lora_rank", "write rank"),
    _has("lora_alpha", "write alpha"),
    _has("lora_dropout", "write dropout"),
    _has("use_rslora peft_use_rslora", "write rslora: true"),
    _has("target_modules lora_target lora_target_modules lora_target_linear", "write targets: all-linear or a list"),
    _has("layers_to_transform peft_layers_to_transform", "write layers: [first, last], both included, from 0"),
    _has("learning_rate", "write lr"),
    _has("lr_scheduler lr_scheduler_type", "write schedule: cosine, linear or constant"),
    _has("warmup_ratio", "write warmup, the share of the steps"),
    _has("warmup_steps", "write warmup: warmup_steps divided by all steps of an adapter"),
    _has("num_train_epochs num_epochs", "write epochs"),
    _has(
        "batch_size micro_batch_size per_device_train_batch_size gradient_accumulation_steps auto_find_batch_size",
        "write batch: rows of one optimiser step (theirs times the accumulation steps); passes are cut to fit memory",
    ),
    _has("max_grad_norm", "write clip"),
    _has("max_length max_seq_length cutoff_len sequence_len model_max_length", "write max_tokens"),
    _has("seed data_seed", "write seeds: [0, 1, ...], one adapter each"),
    _has(
        "bf16 fp16 tf32 torch_dtype load_in_4bit load_in_8bit quantization_bit",
        "write dtype in base: fp32, bf16, fp64 or nf4; adapters are kept in fp32",
    ),
    _has(
        "gradient_checkpointing activation_offloading",
        "remove it: activations are recomputed where memory is short",
    ),
    _has(
        "completion_only_loss assistant_only_loss train_on_inputs train_on_prompt train_on_eos",
        "remove it: the answer and its stop token are trained, the prompt never is",
    ),
    _has("resume_from_checkpoint save_steps save_strategy", "remove it: a run takes itself up again, to the bit"),
    _has("group_by_length", "remove it: rows are packed without padding; their order is the seed's"),
    _lacks(
        "packing sample_packing neat_packing padding_free",
        "remove it: rows are never joined into one sequence, so none is cut or sees another; nothing is padded anyway",
    ),
    _lacks(
        "neftune_noise_alpha neftune",
        "remove it: noise on the embeddings would be in the base's weights, which all adapters share",
    ),
    _lacks(
        "use_dora peft_use_dora dora",
        "remove it: it rescales the frozen weights, whose product all adapters share",
    ),
    _lacks(
        "init_lora_weights peft_init_lora_weights pissa_init loftq_config eva_config corda_config",
        "remove it: A starts uniform and B at zero, as PEFT's default; starts that change the base change every row",
    ),
    _lacks("loraplus_lr_ratio loraplus_lr_embedding", "remove it: A and B have one learning rate"),
    _lacks(
        "modules_to_save lora_modules_to_save additional_target trainable_token_indices",
        "remove it: only LoRA on linear layers is trained, so that all adapters run over one frozen base",
    ),
    _lacks("bias lora_bias", "remove it: no bias is trained"),
    _lacks(
        "rank_pattern alpha_pattern", "remove it: an adapter has one rank and alpha (patterns are read, not trained)"
    ),
    _lacks(
        "optim optimizer adam_beta1 adam_beta2 adam_epsilon optim_args",
        "remove it: AdamW with betas 0.9 and 0.999 and epsilon 1e-8 for every adapter; weight_decay is a key here",
    ),
    _lacks(
        "lr_scheduler_kwargs cosine_min_lr_ratio min_lr",
        "remove it: schedules end at zero or stay constant",
    ),
    _lacks("label_smoothing_factor", "remove it: the loss is the cross-entropy of the answer's tokens"),
    _lacks(
        "load_best_model_at_end early_stopping_patience eval_steps eval_strategy val_set_size",
        "remove it: the last step's adapter is kept, so that no evaluation row chooses what is trained",
    ),
    _lacks(
        "finetuning_type freeze_trainable_layers full_finetuning",
        "remove it: LoRA is trained; name full models in models",
    ),
    _lacks("rl stage pref_beta dpo_beta", "remove it: answers are trained on, not preferences"),
    _lacks("deepspeed fsdp tensor_parallel_size", "remove it: a base lies on one device"),
    _lacks(
        "use_liger_kernel flash_attn flash_attention xformers_attention torch_compile unsloth",
        "remove it: it says how, not what is trained; the engine's own passes are used",
    ),
)

ANSWERS = {key: option.answer for option in OPTIONS for key in option.keys}
