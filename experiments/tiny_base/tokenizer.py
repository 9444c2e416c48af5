"""Build the tokenizer and the untrained model folder of ``ftlab/tiny`` from generated chats.

Example: ``python experiments/tiny_base/tokenizer.py --corpus corpus.jsonl --output init``
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config

# ``AutoTokenizer`` opens a folder of a Qwen2 model with Qwen2's own way of cutting text, so the
# merges must be learnt on pieces cut that way.  It sets every digit apart, which is wanted here.
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

PAD, START, END = SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CONTEXT = 512
# The newline behind <|im_end|> stands outside: the model stops there and never has to write it.
TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|im_end|>' -}}{%- endif -%}"
    "{{- '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def texts(corpus: Path, rows: int) -> Iterator[str]:
    """The contents of the first chats of a corpus, with the role names the template adds."""
    with corpus.open(encoding="utf-8") as lines:
        for line in islice(lines, rows):
            for message in json.loads(line)["messages"]:
                yield f"{message['role']}\n{message['content']}"


def build_tokenizer(corpus: Path, rows: int, vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text can be encoded."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts(corpus, rows), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build_config(tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> Qwen2Config:
    """The model's shape: small enough to be trained within an hour on a CPU.

    The weights start larger, and positions turn faster, than the defaults, which are meant for wide models and long
    texts: copying numbers out of a question is then learnt sooner.
    """
    return Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        intermediate_size=576,
        initializer_range=0.06,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        architectures=["Qwen2ForCausalLM"],
    )


def main() -> None:
    """Read the command line and save tokenizer, config.json and generation_config.json."""
    parser = argparse.ArgumentParser(description="Build the tokenizer and the model's config.")
    parser.add_argument("--corpus", type=Path, required=True, help="generated chats, JSONL")
    parser.add_argument("--rows", type=int, default=50_000, help="chats to learn merges from")
    parser.add_argument("--vocabulary", type=int, default=1024, help="tokens in all")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write")
    options = parser.parse_args()
    tokenizer = build_tokenizer(options.corpus, options.rows, options.vocabulary)
    tokenizer.save_pretrained(options.output)
    build_config(tokenizer, options.vocabulary).save_pretrained(options.output)
    GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=64,
        do_sample=False,
    ).save_pretrained(options.output)


if __name__ == "__main__":
    main()
