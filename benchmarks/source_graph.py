"""Contestant: the graph of the TF1 class after an embedding, fed by placeholders."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # the legacy cells are in tf-keras

import tempfile

import numpy as np
import tensorflow as tf

from benchmarks import contest

tf1 = tf.compat.v1


def main() -> None:
    args = contest.arguments(__doc__)
    data = contest.read(args.input)
    tf1.disable_v2_behavior()
    width, hidden = args.max_len, args.hidden_size
    tokens = tf1.placeholder(tf.int32, [None, width])
    target = tf1.placeholder(tf.int64, [None])
    mask = tf1.placeholder(tf.float32, [width, None])
    with tf1.variable_scope("model", initializer=tf1.random_uniform_initializer(-0.1, 0.1)):
        table = tf1.get_variable("embedding", [data.vocab_size, contest.EMBEDDING_DIM])
        embedded = tf1.nn.dropout(tf1.nn.embedding_lookup(table, tokens), contest.KEEP_PROB)
        cell = tf1.nn.rnn_cell.DropoutWrapper(
            tf1.nn.rnn_cell.BasicLSTMCell(hidden, forget_bias=0.0),
            output_keep_prob=contest.KEEP_PROB,
        )
        state = cell.zero_state(tf.shape(tokens)[0], tf.float32)
        outputs = []
        with tf1.variable_scope("lstm", reuse=tf1.AUTO_REUSE):
            for step in range(width):
                output, state = cell(embedded[:, step], state)
                outputs.append(output)
        summed = tf.reduce_sum(tf.stack(outputs) * mask[:, :, None], axis=0)
        pooled = summed / tf.reduce_sum(mask, axis=0)[:, None]
        weights = tf1.get_variable("softmax_w", [hidden, data.num_classes])
        bias = tf1.get_variable("softmax_b", [data.num_classes])
        scores = tf.matmul(pooled, weights) + bias
    cost = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=scores + 1e-10)
    )
    variables = tf1.trainable_variables()
    gradients, _ = tf.clip_by_global_norm(tf1.gradients(cost, variables), contest.MAX_GRAD_NORM)
    optimizer = tf1.train.GradientDescentOptimizer(0.1)
    fetches = [optimizer.apply_gradients(zip(gradients, variables, strict=True)), cost]
    if args.summaries:
        summaries = []
        for variable, gradient in zip(variables, gradients, strict=True):
            dense = tf.convert_to_tensor(gradient)
            name = variable.op.name
            summaries.append(tf1.summary.histogram(f"{name}/grad/hist", dense))
            summaries.append(
                tf1.summary.scalar(f"{name}/grad/sparsity", tf1.nn.zero_fraction(dense))
            )
        fetches.append(tf1.summary.merge(summaries))

    rows = np.arange(len(data.classes))
    token_ids = data.padded(rows, width)
    masks = (np.arange(width)[:, None] < np.maximum(data.lengths, 1)).astype(np.float32)
    random = np.random.default_rng(0)
    with tf1.Session() as session, tempfile.TemporaryDirectory() as folder:
        session.run(tf1.global_variables_initializer())
        writer = tf1.summary.FileWriter(folder)

        def epoch() -> None:
            order = random.permutation(rows)
            for start in range(0, len(order), args.batch_size):
                batch = order[start : start + args.batch_size]
                feed = {tokens: token_ids[batch], target: data.classes[batch],
                        mask: masks[:, batch]}  # fmt: skip
                results = session.run(fetches, feed)
                if args.summaries:
                    writer.add_summary(results[-1], start)

        contest.compete(epoch, args, len(rows))


if __name__ == "__main__":
    main()
