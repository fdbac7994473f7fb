"""Contestant: the usual Keras recipe: masked embedding, (bidirectional) LSTM, mean pooling."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks import contest


def main() -> None:
    args = contest.arguments(__doc__)
    data = contest.read(args.input)
    rows = np.arange(len(data.classes))
    width = min(int(data.lengths.max()), args.max_len)
    token_ids = data.padded(rows, width)
    lengths = np.clip(data.lengths, 1, width)

    def texts() -> tf.data.Dataset:
        ragged = tf.RaggedTensor.from_tensor(token_ids, lengths=lengths)
        examples = tf.data.Dataset.from_tensor_slices((ragged, data.classes))
        batches = examples.shuffle(len(rows), seed=0).ragged_batch(args.batch_size)
        return batches.map(lambda ids, label: (ids.to_tensor(), label)).prefetch(tf.data.AUTOTUNE)

    inputs = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(data.vocab_size, contest.EMBEDDING_DIM, mask_zero=True)
    hidden = keras.layers.Dropout(1 - contest.KEEP_PROB)(embedding(inputs))
    lstm = keras.layers.LSTM(args.hidden_size, return_sequences=True)
    hidden = (lstm if args.unidirectional else keras.layers.Bidirectional(lstm))(hidden)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    pooled = keras.layers.Dropout(1 - contest.KEEP_PROB)(pooled)
    model = keras.Model(inputs, keras.layers.Dense(data.num_classes)(pooled))
    optimizer = keras.optimizers.SGD if args.sgd else keras.optimizers.Adam
    model.compile(
        optimizer(0.1 if args.sgd else 1e-3, global_clipnorm=contest.MAX_GRAD_NORM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = texts()
    contest.compete(lambda: model.fit(batches, verbose=0), args, len(rows))


if __name__ == "__main__":
    main()
