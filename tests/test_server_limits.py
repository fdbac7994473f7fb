"""The server's application called in this process: who may ask, how much, and what is counted."""

import asyncio
import itertools
import json
import pathlib
import threading
from typing import NamedTuple

import numpy as np
import pytest
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from tests.onnx_exports import UntrainedRun
from tests.serving_cases import CASES, TEXTS, check
from tf_textrnn.predictor.predictor import Predictor, open_runtime
from tf_textrnn.predictor.runtime import Predictions
from tf_textrnn.predictor.server.app import App
from tf_textrnn.predictor.server.asking import Service
from tf_textrnn.predictor.server.batcher import Batcher
from tf_textrnn.predictor.server.metrics import Metrics
from tf_textrnn.predictor.server.options import ServeOptions
from tf_textrnn.predictor.server.versions import Version, Versions


class LengthRuntime:
    """Says of each text how long it is; runs when it may."""

    labels = ("short", "long")
    values = ()
    has_sets = False

    def __init__(self):
        self.runs, self.may_run = threading.Event(), threading.Event()
        self.batches = []

    def run(self, texts):
        self.runs.set()
        self.may_run.wait()
        self.batches.append([len(text) for text in texts])
        if b"fail" in texts:
            raise RuntimeError("no\nsuch op")
        found = Predictions.empty(len(texts), 2)
        for array in found:
            array[:] = 0
        found.num_tokens[:] = [len(text) for text in texts]
        return found


class OneVersion:
    """In the place of `Versions`."""

    def __init__(self, runtime):
        self.current = Version(1, pathlib.Path(), runtime)

    def find(self, *_):
        return self.current


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: str


async def call(app, method, path, body=b"", **headers):
    """What the application answers to a request."""
    sent, given = [], {"host": "localhost", **headers}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(k.encode(), v.encode()) for k, v in given.items()],
    }  # fmt: skip
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive():
        return next(received)

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    headers = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, sent[1]["body"].decode())


def make_app(versions, token=b"", hosts=(), **options):
    metrics = Metrics()
    service = Service(
        ServeOptions(model="m", **options), versions, Batcher(2, metrics.batch), metrics
    )
    return App(service, token, hosts)


def free_runtime():
    runtime = LengthRuntime()
    runtime.may_run.set()
    return runtime


def test_a_token_is_asked_for_where_there_is_one():
    app = make_app(OneVersion(free_runtime()), token=b"secret")
    for given, status in (
        ({}, 401), ({"authorization": "Bearer secre"}, 401), ({"authorization": "secret"}, 401),
        ({"authorization": "Basic secret"}, 401), ({"authorization": "Bearer sécret"}, 401),
        ({"authorization": "Bearer secret"}, 200), ({"authorization": "bearer  secret"}, 200),
    ):  # fmt: skip
        for method, path in (("POST", "/predict"), ("GET", "/metrics"),
                             ("GET", "/v1/models/textrnn/metadata")):  # fmt: skip
            answer = asyncio.run(call(app, method, path, b"a", **given))
            assert answer.status == status, (given, path)
            assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    assert asyncio.run(call(app, "GET", "/healthz")).status == 200
    assert asyncio.run(call(app, "GET", "/nothing")).status == 401
    named = make_app(OneVersion(free_runtime()), hosts={"films.example"})
    assert asyncio.run(call(named, "GET", "/healthz", host="Films.example.:80")).status == 200


def test_too_many_requests_are_told_to_come_again_and_late_ones_that_they_are():
    runtime = LengthRuntime()
    app = make_app(OneVersion(runtime), max_waiting=3, timeout=0.3)

    async def crowd():
        asked = [asyncio.create_task(call(app, "POST", "/predict", b"abc")) for _ in range(3)]
        await asyncio.sleep(0.05)
        refused = await call(app, "POST", "/predict", b"abc")
        well = [await call(app, "GET", path) for path in ("/healthz", "/metrics")]
        late = await asyncio.gather(*asked)
        runtime.may_run.set()
        return refused, well, late, await call(app, "POST", "/predict", b"abc")

    refused, well, late, after = asyncio.run(crowd())
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert "3 requests are under way" in refused.content
    assert [answer.status for answer in well] == [200, 200]
    assert "textrnn_requests_waiting 3" in well[1].content
    assert {(a.status, a.content) for a in late} == {(504, '{"error": "no answer within 0.3 s"}')}
    assert after.status == 200


def test_a_model_that_fails_is_a_sentence_and_the_next_request_is_answered(capsys):
    app = make_app(OneVersion(free_runtime()))
    failed = asyncio.run(call(app, "POST", "/predict", b"fail"))
    assert (failed.status, failed.content) == (500, '{"error": "the model or the server failed"}')
    assert capsys.readouterr().err == "warning: POST /predict: RuntimeError: no such op\n"
    assert asyncio.run(call(app, "POST", "/predict", b"abc")).status == 200


def test_an_answer_holds_no_more_numbers_than_a_million():
    runtime = free_runtime()
    runtime.labels = [f"label {index}" for index in range(100_000)]
    body = json.dumps({"text": ["a"] * 11}).encode()
    answer = asyncio.run(call(make_app(OneVersion(runtime)), "POST", "/predict", body))
    assert answer.status == 413
    assert "11 texts in a request; expected at most 10" in answer.content


def test_a_draining_server_is_not_well_and_closes_connections():
    app = make_app(OneVersion(free_runtime()))
    app.is_draining = True
    assert asyncio.run(call(app, "GET", "/healthz")).status == 503
    answer = asyncio.run(call(app, "POST", "/predict", b"a"))
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_texts_that_wait_are_batched_by_length():
    runtime, sizes = LengthRuntime(), []
    batcher = Batcher(1, sizes.append)
    first = batcher.submit(runtime, [b"a"])
    assert runtime.runs.wait(30)
    lengths = np.random.default_rng(5).integers(0, 200, 300)
    texts = [b"a " * length for length in lengths]
    parts = [texts[start : start + 30] for start in range(0, 300, 30)]
    futures = [batcher.submit(runtime, part) for part in parts]
    gone = batcher.submit(runtime, [b"b " * 5_000])
    assert gone.cancel()
    runtime.may_run.set()
    found = [future.result(timeout=30).num_tokens.tolist() for future in futures]
    assert found == [[len(text) for text in part] for part in parts]
    assert first.result().num_tokens.tolist() == [1]
    assert batcher.submit(runtime, []).result().probability.shape == (0, 2)
    batcher.close()
    assert sizes == [1, 128, 128, 44]
    assert [*itertools.chain(*runtime.batches[1:])] == sorted(map(len, texts), reverse=True)


@pytest.fixture(scope="module")
def versions(exported):
    """Those of the SavedModel."""
    return Versions(str(exported.export), "textrnn")


def test_a_saved_model_is_served_as_an_onnx_export_is(exported, versions):
    app = make_app(versions)
    expected = Predictor(exported.export)(TEXTS)
    labels = [versions.current.runtime.labels[label] for label in expected.classes]

    async def every_case():
        return [await call(app, "GET" if case.body is None else "POST", case.path,
                           case.content or b"") for case in CASES]  # fmt: skip

    for case, answer in zip(CASES, asyncio.run(every_case()), strict=True):
        check(case, answer.status, json.loads(answer.content), labels, has_words=True)
    answer = asyncio.run(
        call(app, "POST", "/v1/models/textrnn:predict", json.dumps({"inputs": TEXTS}).encode())
    )
    outputs = json.loads(answer.content)["outputs"]
    for name in ("scores", "probability", "accepted", "num_tokens", "num_known", "is_cut"):
        np.testing.assert_allclose(outputs[name], getattr(expected, name), atol=1e-5)
    assert outputs["prediction"] == expected.classes.tolist()
    assert expected.num_known.tolist() == [3, 4]  # the vocabulary has these words
    inputs = versions.find("textrnn")
    assert inputs.number == 1 and inputs.path == exported.export / "1"


def test_metadata_is_that_of_the_saved_model(exported, versions):
    """Names of tensors apart, which are the graph's own."""
    answer = asyncio.run(call(make_app(versions), "GET", "/v1/models/textrnn/metadata"))
    found = json.loads(answer.content)["metadata"]["signature_def"]["signature_def"]
    content = (exported.export / "1/saved_model.pb").read_bytes()
    model = saved_model_pb2.SavedModel.FromString(content)
    for name, signature in found.items():
        expected = json_format.MessageToDict(
            model.meta_graphs[0].signature_def[name], preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )  # fmt: skip
        for part in ("inputs", "outputs"):
            for tensor in [*signature[part].values(), *expected[part].values()]:
                del tensor["name"]
        assert signature == expected


def test_sets_of_labels_are_lists_and_labels_are_escaped_in_metrics(tmp_path):
    run = UntrainedRun(tmp_path, multi_label=True, thresholds=[0.1, 0.1, 0.1])
    run.folder.labels.write_text('<script>\na"\\b\n10\n')
    runtime = open_runtime(run.export())
    app = make_app(OneVersion(runtime))
    answer = asyncio.run(call(app, "POST", "/predict", b'{"text": ["wolf a", "zzz", ""]}'))
    expected = runtime.run([b"wolf a", b"zzz", b""])
    answers = json.loads(answer.content)
    assert [len(a["label"]) for a in answers] == expected.accepted.sum(axis=1).tolist()
    assert answers[0]["label"] and answers[1]["label"] == []
    text = asyncio.run(call(app, "GET", "/metrics")).content
    labels = [runtime.labels[label] for label in np.flatnonzero(expected.accepted[0])]
    for label in labels:
        shown = label.replace("\\", "\\\\").replace('"', '\\"')
        assert f'textrnn_labels_total{{label="{shown}"}} 1' in text.splitlines()
    for line in (
        "textrnn_texts_total 3", "textrnn_unsure_texts_total 2", "textrnn_model_version 1",
        f"textrnn_tokens_total {expected.num_tokens.sum()}",
        f"textrnn_unknown_tokens_total {(expected.num_tokens - expected.num_known).sum()}",
        'textrnn_requests_total{page="predict",status="200"} 1',
        'textrnn_request_seconds_count{page="predict"} 1',
        'textrnn_batch_texts_bucket{le="4"} 1', "textrnn_batch_texts_sum 3",
    ):  # fmt: skip
        assert line in text.splitlines(), text
    assert expected.num_known.sum() < expected.num_tokens.sum()
