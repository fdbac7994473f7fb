"""The measured gradient flow against back-propagation in NumPy, and the article's claims."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import ModelConfig
from tf_textrnn.data.batches import Batch
from tf_textrnn.network import gradient_flow as gradient_flow_module
from tf_textrnn.network.gradient_flow import measure
from tf_textrnn.network.model import TextRNN
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.study import gradient_flow
from tf_textrnn.study.reference import LSTMWeights, lstm_backward, lstm_forward, softmax
from tf_textrnn.training import runner

HIDDEN, CLASSES = 4, 3
BATCH = Batch(
    np.random.default_rng(1).integers(0, 9, [4, 7]).astype(np.int32),
    np.array([7, 3, 0, 5], np.int32),
    np.array([0, 1, 2, 0], np.int32),
    np.ones(4, np.float32),
)


def make_model(**options) -> TextRNN:
    model = TextRNN(ModelConfig(embedding_dim=3, hidden_size=HIDDEN, **options), 9, CLASSES)
    model.build()
    random = np.random.default_rng(2)
    for weight in model.named_weights().values():
        weight.assign(random.uniform(-0.9, 0.9, weight.shape))
    return model


def layer_weights(weights: dict[str, np.ndarray], layer: int, direction: str) -> LSTMWeights:
    names = ("kernel", "recurrent_kernel", "bias")
    return LSTMWeights(*(weights[f"lstm_{layer}/{direction}/{name}"] for name in names))


def expected_norms(model: TextRNN, bptt_truncate: int) -> dict[str, list[list[float]]]:
    """Returns ‖∂loss/∂h_t‖ of each direction and text, from the last step read to the first."""
    weights = {k: v.numpy().astype(np.float64) for k, v in model.named_weights().items()}
    directions = ("forward", "backward") if model.config.bidirectional else ("forward",)
    found: dict[str, list[list[float]]] = {direction: [] for direction in directions}
    for token_ids, length, label in zip(*BATCH[:3], strict=True):
        if not length:
            continue
        outputs = weights["embedding"][token_ids[:length]][None]
        for layer in range(model.config.num_layers):
            read = {"forward": outputs, "backward": outputs[:, ::-1]}
            runs = {
                d: (*lstm_forward(read[d], layer_weights(weights, layer, d)), d) for d in directions
            }
            outputs = np.concatenate(
                [runs[d][0][:, :: 1 if d == "forward" else -1] for d in directions], axis=-1
            )
        if model.config.pooling == "mean":
            pooled, share = outputs[0].mean(axis=0), 1 / length
        else:
            ends = [runs[d][0][0, -1] for d in directions]
            pooled, share = np.concatenate(ends), 1.0
        d_scores = softmax(pooled @ weights["softmax_w"] + weights["softmax_b"])
        d_scores[label] -= 1
        d_pooled = np.split(weights["softmax_w"] @ d_scores * share, len(directions))
        for direction, d_last in zip(directions, d_pooled, strict=True):
            _, steps, _ = runs[direction]
            d_outputs = np.zeros([1, length, HIDDEN])
            d_outputs[0, -1] = d_last
            top = layer_weights(weights, model.config.num_layers - 1, direction)
            _, _, d_states = lstm_backward(d_outputs, steps, top, bptt_truncate)
            found[direction].append(list(np.linalg.norm(d_states[0, ::-1], axis=-1)))
    return found


@pytest.mark.parametrize(
    ("bidirectional", "pooling", "layers", "bptt_truncate"),
    [(False, "last", 1, 0), (True, "mean", 1, 0), (True, "last", 2, 0), (False, "mean", 2, 2)],
)
def test_flow_is_the_total_derivative(bidirectional, pooling, layers, bptt_truncate) -> None:
    model = make_model(
        bidirectional=bidirectional,
        pooling=pooling,
        num_layers=layers,
        bptt_truncate=bptt_truncate,
    )
    expected = expected_norms(model, bptt_truncate)
    flows = measure(model, BATCH)
    assert [flow.name for flow in flows] == [f"lstm {direction}" for direction in expected]
    for flow, norms in zip(flows, expected.values(), strict=True):
        wanted = [
            np.mean([text[distance] for text in norms if len(text) > distance])
            for distance in range(7)
        ]
        np.testing.assert_allclose(flow.norms, wanted, rtol=1e-4, atol=1e-9)
        assert (min(wanted) == 0) == bool(bptt_truncate)


@pytest.mark.parametrize("bptt_truncate", [0, 2])
def test_what_is_followed_back_is_bounded_and_exact(monkeypatch, bptt_truncate) -> None:
    """Measures texts longer than the bound; steps within it have the gradients of whole texts."""
    model = make_model(bidirectional=True, pooling="mean", bptt_truncate=bptt_truncate)
    whole = measure(model, BATCH)
    monkeypatch.setattr(gradient_flow_module, "MAX_DISTANCE", 3)
    for flow, expected in zip(measure(model, BATCH), whole, strict=True):
        np.testing.assert_allclose(flow.norms, expected.norms[:3], rtol=1e-5)


@pytest.mark.parametrize("cell", [{"cell": "gru"}, {"cell": "rnn", "leak": 0.3}])
def test_gradient_norm_is_that_of_the_layer(cell: dict) -> None:
    """If the loss depends only on the last step, the flow is the plain gradient."""
    model = make_model(**cell, bidirectional=False, pooling="last")
    (flow,) = measure(model, BATCH)
    token_ids, lengths, labels = map(tf.constant, BATCH[:3])
    weights = [weight.value for weight in model.recurrent.trainable_variables]
    with tf.GradientTape() as tape:
        scores = model((token_ids, lengths))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
    expected = float(tf.linalg.global_norm(tape.gradient(loss, weights)))
    assert flow.grad_norm == pytest.approx(expected, rel=1e-5)
    half = flow.clipped(expected / 2)
    np.testing.assert_allclose(half.norms, flow.norms / 2, rtol=1e-5)
    np.testing.assert_array_equal(flow.clipped(expected * 2).norms, flow.norms)


@pytest.mark.slow
def test_the_claims_of_the_article(tmp_path: pathlib.Path, capsys) -> None:
    output = tmp_path / "plot.png"
    gradient_flow.study(gradient_flow.FlowOptions(output=str(output), quick=True))
    assert output.read_bytes().startswith(b"\x89PNG")
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    column = lines[0].index("50 / 0")
    ratio = {line[0]: float(line[column]) for line in lines[2:] if len(line) > column}
    assert ratio["rnn"] < 1e-6, "vanishes"
    assert ratio["rnn, large weights"] > 10, "explodes"
    assert ratio["lstm, forget bias 0"] < ratio["lstm, forget bias 1"] < 1
    assert ratio["lstm, forget bias 5"] > 0.1, "survives"
    remedies = ("relu from identity", "leak 0.1", "two time scales", "regularized")
    assert min(ratio[f"rnn, {remedy}"] for remedy in remedies) > 0.05, "remedies"
    assert ratio["rnn, regularized"] == pytest.approx(1, abs=0.3), "neither fades nor grows"
    assert ratio["rnn, truncated at 16"] == 0, "stops"
    norm = {line[0]: float(line[column + 1]) for line in lines[2:] if len(line) > column}
    assert norm["rnn, large weights"] > 100 * norm["rnn, large weights, clipped"]
    assert norm["rnn, large weights, clipped"] == gradient_flow.MAX_GRAD_NORM


def test_a_run_is_measured_on_its_own_texts(small_options, tmp_path: pathlib.Path, capsys) -> None:
    run_dir = str(tmp_path / "run")
    options = {**small_options, "bidirectional": True, "num_epochs": 1}
    folder = runner.run({**options, "run_dir": run_dir}).folder
    capsys.readouterr()
    gradient_flow.study(gradient_flow.FlowOptions(run_dir=run_dir, output_dir=str(tmp_path / "s")))
    assert "| lstm backward | " in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["run_gradients.png"]

    vocabulary = RunFolder(run_dir).vocabulary
    vocabulary.write_text(vocabulary.read_text().replace("cat\n", "unicorn\n"))
    with pytest.raises(UserError, match="not those of its training texts"):
        gradient_flow.study(
            gradient_flow.FlowOptions(run_dir=run_dir, output=str(tmp_path / "plot.png"))
        )
    folder.config.unlink()
    with pytest.raises(UserError, match="holds no run"):
        gradient_flow.study(
            gradient_flow.FlowOptions(run_dir=run_dir, output=str(tmp_path / "plot.png"))
        )


def test_a_plot_that_cannot_be_written_is_named(tmp_path: pathlib.Path, monkeypatch) -> None:
    flow = gradient_flow.initial_flow
    monkeypatch.setattr(gradient_flow, "experiments", lambda quick: {"rnn": lambda: flow({})})
    with pytest.raises(UserError, match="cannot be written"):
        gradient_flow.study(
            gradient_flow.FlowOptions(output=str(tmp_path / "no folder" / "plot.png"))
        )
