"""gRPC servers that answer anything: one line each, in bounded time and memory."""

import sys
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
)

from tests.hostile_servers import (
    ESCAPES,
    ask,
    forever,
    http_answer,
    measure,
    raw_grpc,
    status_answer,
    tcp_server,
)
from tf_textrnn.predictor.clients.common import MAX_ANSWER_BYTES


def predict_answer(labels=(b"x",), rows=((0.25, 0.75),), accepted=None, **changes):
    """A PredictResponse; `changes` are done to its tensors, by name."""
    response = predict_pb2.PredictResponse()
    response.outputs["label"].CopyFrom(tf.make_tensor_proto(list(labels), tf.string))
    response.outputs["probability"].CopyFrom(tf.make_tensor_proto(rows, tf.float32))
    if accepted is not None:
        response.outputs["accepted"].CopyFrom(tf.make_tensor_proto(accepted, tf.bool))
    for name, change in changes.items():
        change(response.outputs[name])
    return response.SerializeToString()


def resized(*sizes):
    def change(tensor):
        del tensor.tensor_shape.dim[:]
        for size in sizes:
            tensor.tensor_shape.dim.add(size=size)

    return change


def of_unknown_kind(tensor):
    tensor.dtype = 99


def fail(code, details):
    return lambda context: context.abort(code, details)


def classify_answer(*pairs):
    response = classification_pb2.ClassificationResponse()
    classes = response.result.classifications.add().classes
    for label, score in pairs:
        classes.add(label=label, score=score)
    return response.SerializeToString()


def metadata_answer():
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].value = b"\xff\xff"
    return response.SerializeToString()


NAN, INFINITY = float("nan"), float("inf")
GRPC_ANSWERS = {
    "no message": ("predict", b"\xff\xff\xff", "expected a PredictResponse, found other bytes"),
    "an empty message": ("predict", b"", "expected a tensor of rank 1, found DT_INVALID[]"),
    "a page": ("predict", b"<html>Welcome!</html>", "found other bytes"),
    "two answers to one text": (
        "predict", predict_answer([b"x", b"x"], [[0.2, 0.8]] * 2), "2 answers to 1 texts",
    ),
    "labels of fewer texts": (
        "predict", predict_answer([], [[0.2, 0.8]]), "0 labels, and probabilities of 1",
    ),
    "accepted labels of fewer texts": (
        "predict", predict_answer(accepted=np.zeros((0, 2))), "1 labels, and accepted ones of 0",
    ),
    "accepted labels of more": (
        "predict", predict_answer(accepted=[[True] * 3]), "true or false for each of 2 labels",
    ),
    "not a number": ("predict", predict_answer(rows=[[NAN, 1]]), "found nan"),
    "infinity": ("predict", predict_answer(rows=[[INFINITY, 1]]), "found inf"),
    "above one": ("predict", predict_answer(rows=[[2, 1]]), "found 2.0"),
    "one row": ("predict", predict_answer(rows=[0.5, 0.5]), "expected a tensor of rank 2"),
    "no probabilities": ("predict", predict_answer(rows=[[]]), "no probabilities"),
    "numbers as labels": (
        "predict", predict_answer(label=lambda t: t.CopyFrom(tf.make_tensor_proto([1]))),
        "expected a tensor of rank 1, found DT_INT32[1]",
    ),
    "a tensor of no kind": ("predict", predict_answer(label=of_unknown_kind), "found 99[1]"),
    "4 TB, said in four bytes": (
        "predict", predict_answer(probability=resized(1, 1 << 40)), "expected a smaller tensor",
    ),
    "a size below zero": (
        "predict", predict_answer(label=resized(-1)), "expected a smaller tensor",
    ),
    "values that do not fit": (
        "predict", predict_answer(label=lambda t: t.ClearField("string_val")), "without values",
    ),
    "a label that drives a terminal": (
        "predict", predict_answer([ESCAPES.encode()]), "printable characters",
    ),
    "a label that is no UTF-8, and long": (
        "predict", predict_answer([b"\xff" * 1_001]), "1 to 1,000 printable characters",
    ),
    "an error that forges lines": (
        "predict", fail(grpc.StatusCode.INTERNAL, ESCAPES + "x" * 5_000),
        r"INTERNAL: \x1b[2J\x9b status: all is well",
    ),
    "unavailable": ("predict", fail(grpc.StatusCode.UNAVAILABLE, "no"), "gave up after 2 tries"),
    "slow": ("predict", lambda _: time.sleep(2), "no answer within 1 s"),
    "32 MB": ("predict", b"0" * 2 * MAX_ANSWER_BYTES, "RESOURCE_EXHAUSTED"),
    "labels twice": ("classify", classify_answer(("a", 0.5), ("a", 0.5)), "come twice"),
    "no number": ("classify", classify_answer(("a", NAN)), "found nan"),
    "a state of no name": ("status", status_answer(version=1, state=77), "in the state '77'"),
    "a version below zero": ("status", status_answer(version=-1, state=30), "version -1"),
    "no signatures": ("metadata", metadata_answer(), "expected a SignatureDefMap"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "answer", "message"), GRPC_ANSWERS.values(), ids=GRPC_ANSWERS)
def test_grpc_answers(call, answer, message, capsys):
    server, port = raw_grpc(answer)
    texts = ["a text"] if call in ("predict", "classify") else []
    timeout = 1 if "no answer" in message else 30
    assert message in ask(capsys, port, call, *texts, protocol="grpc", timeout=timeout)
    server.stop(None).wait()


def test_servers_that_speak_no_grpc(capsys):
    for answer in (
        lambda connection: connection.sendall(http_answer({})),
        lambda _: time.sleep(2),
        forever(b"\0", pause=0.05),
    ):
        with tcp_server(answer, waits=False) as port:
            ask(capsys, port, "predict", "text", protocol="grpc", timeout=1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_memory_of_a_grpc_client_is_bounded():
    bomb = b"\0" * (256 << 20)  # some 256 kB on the way
    servers = [raw_grpc(bomb, grpc.Compression.Gzip), raw_grpc(bomb),
               raw_grpc(predict_answer(probability=resized(1, 1 << 40)))]  # fmt: skip
    lines, growth = measure("grpc", *(port for _, port in servers))
    assert all(line.startswith("error: 127.0.0.1:") for line in lines)
    assert growth < 64
    for server, _ in servers:
        server.stop(None).wait()
