"""The TF1 model as a live oracle: run in a process of its own, it writes what the graph computes.

    TF_USE_LEGACY_KERAS=1 python tests/tf1_graph.py FOLDER

`TF1Graph` is the class of the article's section 9, written anew on the same ops: the legacy LSTM
cell, its dropout wrapper, an unrolled loop over time-major masks. The folder gets `oracle.npz`,
arrays named `<case>/<quantity>`, and checkpoints written by the TF1 `Saver`.
"""

import pathlib
import sys
import warnings

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

BATCH, STEPS, EMBEDDING, HIDDEN, CLASSES, VOCABULARY = 6, 7, 5, 8, 4, 50
UPDATES = 20
MAX_GRAD_NORM = {"bites": 0.05, "spares": 100.0}
DRAWS = 20_000  # texts over which the spread that dropout makes is measured
LAYERS = (1, 2, 3)


class TF1Graph:
    """Builds the graph of the original class, in the default graph.

    Args:
      layers: LSTM layers.
      batch: texts in a batch; the zero state has this size.
      steps: time steps.
      keep_prob: of the input and of each layer's output.
      max_grad_norm: of all gradients together.
      is_training: whether there are output dropout and an update.
      embedding: whether the input is looked up in a variable `embedding`; else it is fed.
      optimizer: of the update; the original's is `GradientDescentOptimizer`.
    """

    def __init__(
        self,
        layers,
        batch=BATCH,
        steps=STEPS,
        keep_prob=1.0,
        max_grad_norm=5.0,
        is_training=True,
        embedding=False,
        optimizer=v1.train.GradientDescentOptimizer,
    ):
        self.target = v1.placeholder(tf.int64, [None, CLASSES])
        self.mask_x = v1.placeholder(tf.float32, [steps, None])
        if embedding:
            self.inputs = v1.placeholder(tf.int32, [None, steps])
            table = v1.get_variable("embedding", [VOCABULARY, EMBEDDING])
            embedded = tf.nn.embedding_lookup(table, self.inputs)
        else:
            self.inputs = embedded = v1.placeholder(tf.float32, [None, steps, EMBEDDING])

        def layer():
            cell = v1.nn.rnn_cell.BasicLSTMCell(HIDDEN, forget_bias=0.0)
            if is_training and keep_prob < 1:
                cell = v1.nn.rnn_cell.DropoutWrapper(cell, output_keep_prob=keep_prob)
            return cell

        stack = v1.nn.rnn_cell.MultiRNNCell([layer() for _ in range(layers)])
        state = stack.zero_state(batch, tf.float32)
        if keep_prob < 1:  # the original's fault: also where nothing is trained
            embedded = v1.nn.dropout(embedded, rate=1 - keep_prob)
        outputs = []
        with v1.variable_scope("LSTM_layer"):
            for step in range(steps):
                if step:
                    v1.get_variable_scope().reuse_variables()
                output, state = stack(embedded[:, step], state)
                outputs.append(output)
        masked = tf.stack(outputs) * self.mask_x[:, :, None]
        pooled = tf.reduce_sum(masked, 0) / tf.reduce_sum(self.mask_x, 0)[:, None]
        weights = v1.get_variable("softmax_w", [HIDDEN, CLASSES])
        bias = v1.get_variable("softmax_b", [CLASSES])
        self.scores = v1.nn.xw_plus_b(pooled, weights, bias)
        losses = tf.nn.softmax_cross_entropy_with_logits(self.target, self.scores + 1e-10)
        self.loss = tf.reduce_mean(losses)
        right = tf.equal(tf.argmax(self.scores, 1), tf.argmax(self.target, 1))
        self.accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
        self.variables = v1.trainable_variables()
        if is_training:
            self.global_step = v1.Variable(0, name="global_step", trainable=False)
            learning_rate = v1.Variable(0.0, trainable=False)
            gradients = tf.gradients(self.loss, self.variables)
            self.grad_norm = tf.linalg.global_norm(gradients)
            self.gradients, _ = tf.clip_by_global_norm(gradients, max_grad_norm)
            updates = zip(self.gradients, self.variables, strict=True)
            self.update = optimizer(learning_rate).apply_gradients(updates)
            self.new_learning_rate = v1.placeholder(tf.float32, [])
            self.assign_learning_rate = v1.assign(learning_rate, self.new_learning_rate)

    def initialize(self, session, random, scale=0.6):
        """Starts every variable, weights uniform in ± scale: far from the cells' linear part."""
        session.run(v1.global_variables_initializer())
        for variable in self.variables:
            shape = variable.shape.as_list()
            variable.load(random.uniform(-scale, scale, shape).astype(np.float32), session)

    def weights(self, session):
        """Returns the trainable variables by name."""
        values = session.run(self.variables)
        return {v.op.name: value for v, value in zip(self.variables, values, strict=True)}


def make_batch(random, embedding=False):
    """Draws inputs, lengths and classes; all words of a batch are different."""
    lengths = random.integers(1, STEPS + 1, BATCH).astype(np.int32)
    lengths[:2] = 1, STEPS
    if embedding:
        inputs = random.permutation(VOCABULARY)[: BATCH * STEPS].reshape(BATCH, STEPS)
    else:
        inputs = random.normal(size=[BATCH, STEPS, EMBEDDING])
    dtype = np.int32 if embedding else np.float32
    return inputs.astype(dtype), lengths, random.integers(0, CLASSES, BATCH).astype(np.int32)


def time_major_mask(lengths, steps=STEPS):
    """float32[steps, batch]."""
    return (np.arange(steps)[:, None] < lengths).astype(np.float32)


def trained(layers, max_grad_norm, embedding):
    """Returns what 20 updates compute, each at its own learning rate."""
    graph = TF1Graph(layers, max_grad_norm=max_grad_norm, embedding=embedding)
    random = np.random.default_rng(layers)
    found = {
        key: []
        for key in (
            "inputs",
            "lengths",
            "labels",
            "scores",
            "loss",
            "accuracy",
            "grad_norm",
            "rate",
        )
    }
    gradients = {variable.op.name: [] for variable in graph.variables}
    with v1.Session() as session:
        graph.initialize(session, random)
        start = graph.weights(session)
        for update in range(UPDATES):
            inputs, lengths, labels = make_batch(random, embedding)
            rate = 2 * 0.95**update
            session.run(graph.assign_learning_rate, {graph.new_learning_rate: rate})
            feed = {
                graph.inputs: inputs,
                graph.mask_x: time_major_mask(lengths),
                graph.target: np.eye(CLASSES)[labels],
            }
            scores, loss, accuracy, norm, clipped = session.run(
                [graph.scores, graph.loss, graph.accuracy, graph.grad_norm, graph.gradients], feed
            )
            session.run(graph.update, feed)
            step = (inputs, lengths, labels, scores, loss, accuracy, norm, rate)
            for values, value in zip(found.values(), step, strict=True):
                values.append(value)
            for values, gradient in zip(gradients.values(), clipped, strict=True):
                if hasattr(gradient, "indices"):
                    rows = np.zeros([VOCABULARY, EMBEDDING], np.float32)
                    np.add.at(rows, gradient.indices, gradient.values)
                    gradient = rows
                values.append(gradient)
        end = graph.weights(session)
    return {
        **{key: np.array(values) for key, values in found.items()},
        **{f"start/{name}": value for name, value in start.items()},
        **{f"gradient/{name}": np.array(values) for name, values in gradients.items()},
        **{f"end/{name}": value for name, value in end.items()},
    }


def dropped(layers):
    """Scores one text many times, in training and in evaluation with keep_prob 0.5."""
    random = np.random.default_rng(layers)
    steps = 4
    text = random.normal(size=[1, steps, EMBEDDING]).astype(np.float32)
    found = {"inputs": text}
    for is_training in (True, False):
        with tf.Graph().as_default(), v1.Session() as session:
            v1.set_random_seed(1)
            graph = TF1Graph(layers, DRAWS, steps, keep_prob=0.5, is_training=is_training)
            graph.initialize(session, np.random.default_rng(10 + layers), scale=1.5)
            feed = {
                graph.inputs: np.repeat(text, DRAWS, 0),
                graph.mask_x: np.ones([steps, DRAWS], np.float32),
            }
            found["training" if is_training else "evaluation"] = session.run(graph.scores, feed)
            found |= {f"start/{name}": value for name, value in graph.weights(session).items()}
    return found


def saved(folder, layers, embedding, scope):
    """Writes a checkpoint; returns a batch and its scores."""
    optimizer = v1.train.AdamOptimizer if scope else v1.train.GradientDescentOptimizer
    random = np.random.default_rng(100 + layers)
    with v1.variable_scope(scope or v1.get_variable_scope()):
        graph = TF1Graph(layers, embedding=embedding, optimizer=optimizer)
    with v1.Session() as session:
        graph.initialize(session, random)
        inputs, lengths, _ = make_batch(random, embedding)
        feed = {graph.inputs: inputs, graph.mask_x: time_major_mask(lengths)}
        scores = session.run(graph.scores, feed)
        v1.train.Saver().save(session, str(folder / "model.ckpt"), global_step=graph.global_step)
    return {"inputs": inputs, "lengths": lengths, "scores": scores}


def checkpoint_cases():
    """Returns folder name → arguments of `saved`."""
    return {
        f"saved_{layers}{'_embedding' if embedding else ''}{'_scope' if scope else ''}": (
            layers,
            embedding,
            scope,
        )
        for layers in (1, 2)
        for embedding in (False, True)
        for scope in ("", "model")
    }


def main(folder):
    """Runs every case."""
    cases = {}
    for layers in LAYERS:
        for clip, max_grad_norm in MAX_GRAD_NORM.items():
            with tf.Graph().as_default():
                cases[f"trained_{layers}_{clip}"] = trained(layers, max_grad_norm, embedding=False)
    with tf.Graph().as_default():
        cases["trained_embedding"] = trained(2, MAX_GRAD_NORM["bites"], embedding=True)
    for layers in (1, 2):
        cases[f"dropped_{layers}"] = dropped(layers)
    for name, arguments in checkpoint_cases().items():
        (folder / name).mkdir()
        with tf.Graph().as_default():
            cases[name] = saved(folder / name, *arguments)
    arrays = {f"{case}/{key}": v for case, found in cases.items() for key, v in found.items()}
    np.savez(folder / "oracle.npz", **arrays)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the legacy cells announce their age
    v1.logging.set_verbosity(v1.logging.ERROR)
    v1.disable_v2_behavior()
    main(pathlib.Path(sys.argv[1]))
