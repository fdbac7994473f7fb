"""Layers of recurrent cells, in one direction or both, over texts padded on the right.

With x_t the input at step t, h_t the output and σ the logistic function, a cell computes

    rnn   h_t = tanh(x_t W + h_{t-1} U + b); or a ReLU (Le 2015), or leaky units (`leaky.py`)

    lstm  i, f, g, o = x_t W + h_{t-1} U + b, in four parts
          c_t = σ(f) c_{t-1} + σ(i) tanh(g)
          h_t = σ(o) tanh(c_t)

    gru   r, z from σ(x_t W + h_{t-1} U + b); n = tanh(x_t W_n + b_n + r (h_{t-1} U_n + b'_n))
          h_t = z h_{t-1} + (1 - z) n

(Elman 1990; Hochreiter & Schmidhuber 1997 with the forget gate of Gers 2000; Cho 2014.) The cells
are Keras's own. Padding stands on the right, so a forward layer needs no mask: what it computes
past a text's end is never read. The backward direction reverses each text by its own length.

Which ops run a layer is decided when it is traced. Training on a GPU takes cuDNN's; everything
else, so also whatever is exported, takes ops that every machine has.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.network.dropout import dropout_mask
from tf_textrnn.network.leaky import LeakyCell
from tf_textrnn.network.lstm import lstm

DIRECTIONS = ("forward", "backward")


@keras.saving.register_keras_serializable("tf_textrnn")
class ForgetBias(keras.initializers.Initializer):
    """Starts an LSTM's bias [i, f, g, o] at zero, but for the forget gate's part.

    Args:
      value: the start of the forget gate's bias.
    """

    def __init__(self, value: float):
        self.value = value

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        gates = tf.reshape(tf.constant([0.0, self.value, 0.0, 0.0], dtype or "float32"), [4, 1])
        return tf.reshape(tf.tile(gates, [1, shape[0] // 4]), shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {"value": self.value}


@keras.saving.register_keras_serializable("tf_textrnn")
class TruncatedCell(keras.layers.Layer):
    """A cell through whose state the gradient stops at every k-th step (truncated BPTT).

    The state itself is carried on, so the outputs are those of the bare cell (Williams & Peng
    1990). States are kept in the dtype of the cell's variables, in which the step's number is
    exact, whatever the cell computes in.

    Args:
      cell: a Keras recurrent cell.
      steps: k, the length of the chunks inside which the gradient flows.
    """

    def __init__(self, cell: keras.layers.Layer, steps: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": cell.variable_dtype})
        self.cell = cell
        self.steps = steps
        self.output_size = cell.output_size
        cell_state = cell.state_size
        cell_state = cell_state if isinstance(cell_state, (list, tuple)) else [cell_state]
        self.state_size = [1, *cell_state]  # the step's number goes first

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the cell's weights.

        Args:
          input_shape: of a step's inputs, (batch, units).
        """
        self.cell.build(input_shape)

    def call(self, inputs: tf.Tensor, states: list[tf.Tensor], training: bool = False) -> Any:
        """Runs one step.

        Args:
          inputs: float[batch, units].
          states: the step's number float[batch, 1], then the cell's states float[batch, hidden].
          training: passed on to the cell.

        Returns:
          float[batch, hidden], and the states of the next step.
        """
        step, *states = states
        at_boundary = tf.equal(tf.math.floormod(step, float(self.steps)), 0.0)  # [batch, 1]
        states = [tf.where(at_boundary, tf.stop_gradient(state), state) for state in states]
        outputs, states = self.cell(inputs, states, training=training)
        states = states if isinstance(states, (list, tuple)) else [states]
        return outputs, [step + 1.0, *(tf.cast(state, step.dtype) for state in states)]

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell, "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TruncatedCell":
        """The cell of a config that `get_config` gave, which stays as it is."""
        return cls(**{**config, "cell": keras.saving.deserialize_keras_object(config["cell"])})


@keras.saving.register_keras_serializable("tf_textrnn")
class RecurrentStack(keras.layers.Layer):
    """Recurrent layers one above the other, with dropout on the output of each.

    Args:
      cell: "lstm", "gru" or "rnn".
      hidden_size: units of each layer and direction.
      num_layers: layers.
      bidirectional: whether each layer reads the text from both ends and concatenates.
      keep_prob: share of each layer's outputs kept in training. The state that recurs is never
        dropped, and each step has a mask of its own, as in the source's DropoutWrapper
        (Zaremba 2014).
      init_scale: weights start uniform in ± this; 0 leaves Keras's initializers.
      forget_bias: where the LSTM's forget-gate bias starts.
      activation: of "rnn": "tanh" or "relu"; with a ReLU the recurrent kernel starts at the
        identity, unless `init_scale` says otherwise (Le 2015).
      leak: of "rnn": how far the state moves at each step (`LeakyCell`); 1 = all the way.
      bptt_truncate: steps after which the gradient through time stops; 0 = never.
      drops_last: whether the last layer's outputs are dropped too.
    """

    def __init__(
        self,
        cell: str = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        keep_prob: float = 1.0,
        init_scale: float = 0.0,
        forget_bias: float = 1.0,
        activation: str = "tanh",
        leak: float = 1.0,
        bptt_truncate: int = 0,
        drops_last: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.keep_prob = keep_prob
        self.init_scale = init_scale
        self.forget_bias = forget_bias
        self.activation = activation
        self.leak = leak
        self.bptt_truncate = bptt_truncate
        self.drops_last = drops_last
        self.seed_generator = keras.random.SeedGenerator()
        self.supports_jit = False  # XLA has no kernel for the ops of `lstm`
        # BlockLSTM has no float64.
        self._has_own_lstm = (
            cell == "lstm" and not bptt_truncate and self.compute_dtype != "float64"
        )
        directions = DIRECTIONS if bidirectional else DIRECTIONS[:1]
        self.recurrent_layers = [
            [self._recurrent_layer(f"{cell}_{index}_{direction}") for direction in directions]
            for index in range(num_layers)
        ]

    def _recurrent_layer(self, name: str) -> keras.layers.Layer:
        options: dict[str, Any] = {"dtype": self.dtype_policy}
        if self.init_scale:
            for kernel in ("kernel_initializer", "recurrent_initializer"):
                options[kernel] = keras.initializers.RandomUniform(
                    -self.init_scale, self.init_scale
                )
        if self.cell == "lstm":
            options.update(unit_forget_bias=False, bias_initializer=ForgetBias(self.forget_bias))
        if self.cell == "rnn":
            options["activation"] = self.activation
            if self.activation == "relu" and not self.init_scale:
                options["recurrent_initializer"] = keras.initializers.Identity()
        layer_class, cell_class = {
            "lstm": (keras.layers.LSTM, keras.layers.LSTMCell),
            "gru": (keras.layers.GRU, keras.layers.GRUCell),
            "rnn": (keras.layers.SimpleRNN, keras.layers.SimpleRNNCell),
        }[self.cell]
        if self.leak == 1 and not self.bptt_truncate:
            return layer_class(self.hidden_size, return_sequences=True, name=name, **options)
        if self.leak < 1:
            cell_class = functools.partial(LeakyCell, leak=self.leak)
        cell = cell_class(self.hidden_size, **options)
        if self.bptt_truncate:
            cell = TruncatedCell(cell, self.bptt_truncate)
        return keras.layers.RNN(cell, return_sequences=True, name=name, dtype=self.dtype_policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the layers' weights.

        Args:
          input_shape: of the inputs, (batch, time, units).
        """
        for layers in self.recurrent_layers:
            for layer in layers:
                layer.build(input_shape)
            input_shape = self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, time, units of all directions) for inputs (batch, time, units)."""
        return (*input_shape[:-1], self.hidden_size * (2 if self.bidirectional else 1))

    def named_weights(self) -> dict[str, keras.Variable]:
        """The weights by readable names, such as `lstm_0/forward/kernel`; frozen ones too."""
        return {
            f"{self.cell}_{index}/{direction}/{weight.name}": weight
            for index, layers in enumerate(self.recurrent_layers)
            for direction, layer in zip(DIRECTIONS, layers, strict=False)
            for weight in layer.weights
        }

    def call(
        self,
        inputs: tf.Tensor,
        lengths: tf.Tensor,
        training: bool = False,
        dropout_seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Runs the layers.

        Args:
          inputs: float[batch, time, units], padded on the right, at least one step.
          lengths: int32[batch], steps of each text.
          training: whether to drop outputs; on a GPU, whether to run cuDNN's ops.
          dropout_seed: int32[2], decides the masks; None draws one.

        Returns:
          float[batch, time, hidden_size], or twice that where bidirectional (forward first).
          What stands past a text's length has no meaning.
        """
        drops = training and self.keep_prob < 1
        if drops and dropout_seed is None:
            dropout_seed = tf.cast(self.seed_generator.next(), tf.int32)
        outputs = inputs
        for index in range(self.num_layers):
            outputs = self.run_layer(index, outputs, lengths, training)
            if drops and (self.drops_last or index + 1 < self.num_layers):
                # The inputs' shape, so that the mask need not wait for the outputs.
                batch, time, _ = tf.unstack(tf.shape(inputs))
                shape = [batch, time, self.compute_output_shape(inputs.shape)[-1]]
                outputs *= dropout_mask(
                    shape, self.keep_prob, dropout_seed, place=index + 1, dtype=outputs.dtype
                )
        return outputs

    def run_layer(
        self, index: int, inputs: tf.Tensor, lengths: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Runs one of the layers, in its directions; arguments as in `call`."""
        takes_cudnn = training and bool(tf.config.list_physical_devices("GPU"))
        directions = []
        for direction, layer in zip(DIRECTIONS, self.recurrent_layers[index], strict=False):
            backward = direction == "backward"
            if self._has_own_lstm and not takes_cudnn:
                cell = layer.cell
                weights = [w.value for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
                # Half precision is slower on a CPU; in float32 nothing is cast.
                steps, kernel, recurrent_kernel, bias = (
                    tf.cast(value, tf.float32) for value in (inputs, *weights)
                )
                outputs = lstm(steps, lengths, kernel, recurrent_kernel, bias, backward)
                outputs = tf.cast(outputs, inputs.dtype)
            else:
                if hasattr(layer, "use_cudnn"):
                    layer.use_cudnn = "auto" if takes_cudnn else False
                if backward:
                    outputs = layer(tf.reverse_sequence(inputs, lengths, seq_axis=1))
                    outputs = tf.reverse_sequence(outputs, lengths, seq_axis=1)
                else:
                    outputs = layer(inputs)
            directions.append(outputs)
        return tf.concat(directions, axis=-1)  # [batch, time, units of both directions]

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        names = ("cell", "hidden_size", "num_layers", "bidirectional", "keep_prob", "init_scale",
                 "forget_bias", "activation", "leak", "bptt_truncate", "drops_last")  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
