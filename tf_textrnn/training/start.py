"""Makes the model that training starts from."""

import dataclasses
import os

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.terminal import show
from tf_textrnn.config import Config, ModelConfig
from tf_textrnn.data.batches import Split, plan_epoch
from tf_textrnn.data.embeddings import read_vectors
from tf_textrnn.data.own_counts import OwnCounts
from tf_textrnn.data.splits import Data
from tf_textrnn.data.type_counts import count_types
from tf_textrnn.network.model import TextRNN, min_weights
from tf_textrnn.network.ngram_counts import count_ngrams, counted_texts
from tf_textrnn.network.ngrams import COUNTED
from tf_textrnn.training.initial import Initial
from tf_textrnn.training.optimizers import NgramSteps


def new_model(
    config: Config, data: Data, initial: Initial | None = None
) -> tuple[TextRNN, NgramSteps | None]:
    """Makes a model with its first weights; its n-gram branch counts the training texts.

    Args:
      config: settled config.
      data: data of the run.
      initial: the trained model to start from; None = the run starts anew.

    Returns:
      The model, and what takes the steps on its n-grams; None where it has none.

    Raises:
      UserError: the weights do not fit this machine's memory, or there are too many n-grams.
    """
    vocab_size, num_classes = len(data.vocabulary), len(data.labels)
    check_memory(config.model, vocab_size)
    order = config.model.ngrams
    earlier = initial.earlier_texts(data) if initial else None
    ngrams = count_ngrams(data.train, order, vocab_size, num_classes, earlier)
    num_ngrams = len(ngrams.keys)
    model = TextRNN(
        config.model, vocab_size, num_classes, num_ngrams, num_ngrams > 0, name="text_rnn"
    )
    model.build()
    if config.has_label_sets:  # each branch begins at the log-odds of every label
        log_odds = np.log(ngrams.text_shares) - np.log1p(-ngrams.text_shares)
        model.softmax.bias.assign(log_odds)
        if model.ngrams:
            model.ngrams.bias.assign(log_odds)
    if model.ngrams:
        for name in ("keys", *COUNTED):
            getattr(model.ngrams, name).assign(getattr(ngrams, name))
    if initial:
        initial.give_weights(model, data)
    if model.ngrams is None:
        return model, None
    epoch = plan_epoch(len(data.train), config.training)
    return model, NgramSteps(ngrams.held, ngrams.text_shares, epoch.batch_size)


def with_own_counts(config: Config, data: Data) -> Split:
    """The training texts of a run, with what leaving each one out takes from its n-grams' counts.

    Args:
      config: settled config.
      data: data of the run.
    """
    train, order = data.train, config.model.ngrams
    if not order:
        return train
    is_counted = np.zeros(len(train), bool)
    is_counted[counted_texts(train, order)] = True
    hashes = train.corpus.text_hashes[train.rows]
    counts = OwnCounts(train.label_sets(len(data.labels)), hashes, is_counted)
    return dataclasses.replace(train, own_counts=counts)


def check_memory(config: ModelConfig, vocab_size: int) -> None:
    """Checks that the weights of a model fit this machine's memory, if its size is known.

    Args:
      config: config of the model.
      vocab_size: number of token ids.

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
    """Writes the vectors of --pretrained_embeddings into a model, and shows how many there are.

    Args:
      model: a built model.
      config: settled config, with `pretrained_embeddings`.
      data: data of the run.

    Raises:
      UserError: the file has a mistake.
    """
    path, vocabulary = config.model.pretrained_embeddings, data.vocabulary
    found = read_vectors(path, vocabulary, config.model.embedding_dim)
    embeddings = model.embedding.embeddings.numpy()
    embeddings[found.token_ids] = found.values
    model.embedding.embeddings.assign(embeddings)
    train = data.train
    types = count_types(train.corpus, train.rows, train.max_len)
    counts = np.bincount(train.id_of_type, weights=types, minlength=len(vocabulary))
    share = counts[found.token_ids].sum() / max(counts.sum(), 1)
    show(
        f"{path}: vectors of {len(found.token_ids):,} of {len(vocabulary):,} token ids, which "
        f"are {share:.1%} of the training tokens",
    )
