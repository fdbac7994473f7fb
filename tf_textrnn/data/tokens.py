"""Tokenizes labeled texts on all cores, by the ops that the served model runs."""

import collections
import concurrent.futures
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from tf_textrnn.base.startup import usable_cores
from tf_textrnn.config import MAX_TEXT_TOKENS
from tf_textrnn.data.sources import Example, chunks_of_texts
from tf_textrnn.text import tokenize

_CHUNK_TEXTS, _CHUNK_CHARACTERS = 4_096, 1 << 22


def tokenized(
    examples: Iterable[Example], tokenizer: str
) -> Iterator[tuple[np.ndarray, np.ndarray, list[Example]]]:
    """Tokenizes texts on all cores, in chunks of n texts.

    Yields:
      bytes[tokens], the tokens end to end; int64[n], the number of tokens of each text; the texts.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def split(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        tokens = tokenize(texts, tokenizer, MAX_TEXT_TOKENS)
        return tokens.flat_values, tokens.row_lengths()

    traced = split.get_concrete_function()  # traces once, before the threads start

    def job(chunk: list[Example]) -> tuple[np.ndarray, np.ndarray, list[Example]]:
        tokens, token_counts = traced(tf.constant([example.text for example in chunk]))
        return tokens.numpy(), token_counts.numpy(), chunk

    workers = usable_cores()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        pending: collections.deque[concurrent.futures.Future] = collections.deque()
        for chunk in chunks_of_texts(examples, _CHUNK_TEXTS, _CHUNK_CHARACTERS):
            pending.append(pool.submit(job, chunk))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def single_tokens(words: Iterable[str], tokenizer: str) -> Iterator[bytes]:
    """Yields those of many words that are one token as they stand; arguments as `tokenize`'s."""
    unread = (word.encode("utf-8", "replace") for word in words)
    while chunk := list(itertools.islice(unread, _CHUNK_TEXTS)):
        tokens = tokenize(tf.constant(chunk), tokenizer, 2).to_list()
        yield from (word for word, found in zip(chunk, tokens, strict=True) if found == [word])
