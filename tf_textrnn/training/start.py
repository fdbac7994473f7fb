"""Where training starts: the model's first weights."""

import os

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.terminal import show
from tf_textrnn.config import Config, ModelConfig
from tf_textrnn.data import splits
from tf_textrnn.data.embeddings import read_vectors
from tf_textrnn.data.splits import Data
from tf_textrnn.network.model import TextRNN, min_weights
from tf_textrnn.network.ngrams import SCALE, choose_ngrams


def new_model(config: Config, data: Data) -> TextRNN:
    """Makes a model at its start; the linear part knows the training texts' n-grams.

    Raises:
      UserError: the weights are more than this machine's memory holds, or the n-grams too many.
    """
    vocab_size, num_classes = len(data.vocabulary), len(data.labels)
    check_memory(config.model, vocab_size)
    ngrams = choose_ngrams(data.train, config.model.ngrams, vocab_size, num_classes)
    model = TextRNN(config.model, vocab_size, num_classes, len(ngrams.keys), name="text_rnn")
    model.build()
    if model.ngrams:
        model.ngrams.keys.assign(ngrams.keys)
        model.ngrams.kernel.assign(ngrams.log_count_ratios / SCALE)
    return model


def check_memory(config: ModelConfig, vocab_size: int) -> None:
    """Checks that the weights of a model fit this machine's memory, where that is known.

    Raises:
      UserError: they do not.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not a POSIX machine
        return
    needed = 4 * min_weights(config, vocab_size)
    if needed > memory:
        raise UserError(
            f"a model of --num_layers={config.num_layers} --hidden_size={config.hidden_size} "
            f"--embedding_dim={config.embedding_dim} and {vocab_size:,} token ids: takes over "
            f"{needed >> 30:,} GiB, found {memory >> 30:,} GiB of memory"
        )


def start_from_pretrained(model: TextRNN, config: Config, data: Data) -> None:
    """Puts the vectors of --pretrained_embeddings in their places, and tells how many.

    Raises:
      UserError: a mistake in the file.
    """
    path, vocabulary = config.model.pretrained_embeddings, data.vocabulary
    found = read_vectors(path, vocabulary, config.model.embedding_dim)
    embeddings = model.embedding.embeddings.numpy()
    embeddings[found.token_ids] = found.values
    model.embedding.embeddings.assign(embeddings)
    train = data.train
    types = splits.count_types(train.corpus, train.rows, train.max_len)
    counts = np.bincount(train.id_of_type, weights=types, minlength=len(vocabulary))
    share = counts[found.token_ids].sum() / max(counts.sum(), 1)
    show(
        f"{path}: vectors of {len(found.token_ids):,} of {len(vocabulary):,} token ids, which "
        f"are {share:.1%} of the training tokens",
    )
