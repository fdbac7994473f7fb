"""The clients against a server on loopback that answers from the exported model."""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests import serving_cases
from tests.conftest import topic_lines
from tf_textrnn import cli
from tf_textrnn.predictor.clients import common
from tf_textrnn.predictor.clients.common import ClientError, Patience, Target, UnavailableError
from tf_textrnn.predictor.clients.grpc import GrpcClient
from tf_textrnn.predictor.clients.rest import RestClient
from tf_textrnn.predictor.predictor import Predictor

ROOT = pathlib.Path(__file__).parents[1]
TEXTS = [line.partition("\t")[2] for line in topic_lines(1_000, seed=31)]
CLIENTS = {"grpc": GrpcClient, "rest": RestClient}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A serving process that can be killed and started again on the same ports."""

    def __init__(self, model):
        self.ports = {"grpc": free_port(), "rest": free_port()}
        self._command = [
            sys.executable, "tests/serving_process.py", str(model), *map(str, self.ports.values()),
        ]  # fmt: skip
        self.start()

    def start(self):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE
        )
        assert self._process.stdout.readline() == "serving\n"

    def kill(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def server(exported):
    started = Server(exported.export / "1")
    yield started
    started.kill()


@pytest.fixture(scope="module")
def predictor(exported):
    return Predictor(str(exported.export / "1"))


@pytest.fixture(params=["grpc", "rest"])
def kind(request):
    return request.param


def client(kind, port, patience=None, batch_size=32, **target):
    return CLIENTS[kind](Target(f"127.0.0.1:{port}", **target), patience, batch_size)


def test_predicts_and_classifies_as_the_model_does(server, kind, predictor):
    texts = [*TEXTS[:70], "", "馬 🐴", "lone \ud800 surrogate"]
    expected = predictor(texts)
    with client(kind, server.ports[kind], version_label="stable") as asked:
        predictions = list(asked.predict(texts))
        answers = list(asked.classify(texts))
    np.testing.assert_allclose(
        [p.probabilities for p in predictions], expected.probability, atol=1e-5
    )
    assert [p.label for p in predictions] == [predictor.labels[c] for c in expected.classes]
    assert [p.probability for p in predictions] == [max(p.probabilities) for p in predictions]
    assert all(list(answer) == predictor.labels for answer in answers)
    np.testing.assert_allclose([list(a.values()) for a in answers], expected.probability, atol=1e-5)


def test_tells_status_and_metadata(server, kind):
    with client(kind, server.ports[kind], version=1) as asked:
        assert asked.status() == [(1, "AVAILABLE", "")]
        metadata = asked.metadata()
    assert metadata["classify"]["method"] == "tensorflow/serving/classify"
    assert metadata["serving_default"] == {
        "method": "tensorflow/serving/predict",
        "inputs": {"text": "DT_STRING[-1]"},
        "outputs": {
            "label": "DT_STRING[-1]",
            "prediction": "DT_INT64[-1]",
            "scores": "DT_FLOAT[-1, 3]",
            "probability": "DT_FLOAT[-1, 3]",
            "accepted": "DT_BOOL[-1, 3]",
            "num_tokens": "DT_INT32[-1]",
            "num_known": "DT_INT32[-1]",
            "is_cut": "DT_BOOL[-1]",
        },
    }
    assert metadata["embedded"]["inputs"]["embedded_chars"] == "DT_FLOAT[-1, -1, 8]"


def test_the_rest_side_answers_what_tf_servings_tests_name(server, predictor):
    labels = predictor.predict(serving_cases.TEXTS).tolist()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.ports["rest"])) as line:
        for case in serving_cases.CASES:
            line.request("GET" if case.body is None else "POST", case.path, case.content)
            with line.getresponse() as response:
                answer = json.loads(response.read())
            serving_cases.check(case, response.status, answer, labels, has_words=False)


def test_what_is_not_served_is_one_line(server, kind):
    for target in ({"model": "other"}, {"version": 9}, {"version_label": "canary"}):
        with (
            client(kind, server.ports[kind], **target) as asked,
            pytest.raises(
                ClientError, match=r"127\.0\.0\.1:.*(not found|not find|Unrecognized)"
            ) as error,
        ):
            list(asked.predict(["text"]))
        assert not isinstance(error.value, UnavailableError)
        assert "\n" not in str(error.value)


def ask_each(kind, port, patience, at_request):
    """Sends each text in its own request; returns the outcomes in order."""
    outcomes = []
    with client(kind, port, patience, batch_size=1) as asked:
        for index, text in enumerate(TEXTS):
            if index in at_request:
                at_request[index]()
            try:
                outcomes.append(list(asked.predict([text])))
            except UnavailableError as error:
                outcomes.append(str(error))
    return outcomes


@pytest.mark.parametrize("kind", ["rest", pytest.param("grpc", marks=pytest.mark.slow)])
def test_a_server_killed_and_restarted_loses_no_request(server, kind, predictor):
    def restart():
        server.kill()
        server.start()

    # From another thread, so that a request may be under way as the server dies.
    restarting = threading.Thread(target=restart)
    outcomes = ask_each(kind, server.ports[kind], Patience(tries=15), {500: restarting.start})
    restarting.join()
    expected = predictor(TEXTS)
    assert [len(outcome) for outcome in outcomes] == [1] * len(TEXTS)
    assert [o[0].label for o in outcomes] == [predictor.labels[c] for c in expected.classes]


@pytest.mark.slow
def test_without_patience_each_lost_request_is_reported(server, predictor):
    outcomes = ask_each(
        "rest", server.ports["rest"], Patience(tries=1), {300: server.kill, 400: server.start}
    )
    assert [isinstance(o, str) for o in outcomes] == [300 <= i < 400 for i in range(len(TEXTS))]
    assert all("gave up after 1 tries" in outcome for outcome in outcomes[300:400])
    classes = predictor(TEXTS).classes
    for index in [*range(300), *range(400, len(TEXTS))]:
        assert [p.label for p in outcomes[index]] == [predictor.labels[classes[index]]]


def test_several_accepted_labels_are_named_and_none_is_a_question_mark(exported_sets, capsys):
    texts = ["the cat of red", "the of", "seven"]
    server = Server(exported_sets.export / "1")
    try:
        for kind, port in server.ports.items():
            assert (
                cli.run(
                    ["ask", "predict", f"--protocol={kind}", f"--server=127.0.0.1:{port}", *texts]
                )
                == 0
            )
            lines = [line.split("\t")[::2] for line in capsys.readouterr().out.splitlines()]
            assert lines == [["animals|colours", texts[0]], ["?", texts[1]], ["numbers", texts[2]]]
    finally:
        server.kill()


def test_the_command_line_answers_in_order_and_says_where_it_stopped(
    server, kind, predictor, monkeypatch, capsys
):
    port = server.ports[kind]

    def run(*arguments):
        given = ["ask", f"--protocol={kind}", f"--server=127.0.0.1:{port}", *arguments]
        return cli.run(given), *capsys.readouterr()

    status, out, err = run("predict", "wolf", "seven\tof  nine")
    labels = [predictor.labels[c] for c in predictor(["wolf", "seven of nine"]).classes]
    assert [line.split("\t")[::2] for line in out.splitlines()] == [
        [labels[0], "wolf"],
        [labels[1], "seven of  nine"],
    ]
    assert (status, err) == (0, "")
    assert run("status")[1] == "1\tAVAILABLE\t\n"
    assert set(json.loads(run("metadata")[1])) >= {"serving_default", "classify", "embedded"}
    assert list(json.loads(run("classify", "wolf")[1])["probabilities"]) == predictor.labels
    status, out, err = run("predict", "--model=other", "wolf")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "not found" in err
    for mistake, message in (
        (("predict", "--batch_size=0", "wolf"), "flag --batch_size=0: expected a whole number"),
        (("predict", "--version=1", "--version_label=a"), "expected one of them"),
        (("predict", "--input=x", "wolf"), "expected one of them"),
        (("wolf",), "expected one of predict, classify, status, metadata"),
        ((), "found nothing"),
    ):
        status, out, err = run(*mistake)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err
    # A server that is gone after the first batch.
    original = common.Patience.request
    calls = []

    def request(patience, send):
        calls.append(send)
        if len(calls) == 2:
            raise UnavailableError("gone")
        return original(patience, send)

    monkeypatch.setattr(common.Patience, "request", request)
    status, out, err = run("predict", "--batch_size=2", "wolf", "seven", "red", "blue")
    assert (status, len(out.splitlines())) == (2, 2)
    assert err == "error: text 3 and those after it have no answer: gone\n"


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers 503 twice, then with a prediction; or never answers."""

    refusals = 2
    delay = 0.0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.delay)
        type(self).refusals -= 1
        status, answer = (503, {"error": "overload"}) if self.refusals >= 0 else (
            200, {"predictions": [{"label": "x", "probability": [0.25, 0.75]}]},
        )  # fmt: skip
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def refusing_rest(refusals, delay=0.0):
    handler = type("Handler", (Refusing,), {"refusals": refusals, "delay": delay})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_rest_tries_again_after_503_and_gives_up_in_time():
    patient = Patience(first_wait=0.01)
    with refusing_rest(2) as port, client("rest", port, patient) as asked:
        assert list(asked.predict(["a"])) == [("x", 0.75, [0.25, 0.75], [1])]
    hasty = Patience(tries=2, first_wait=0.01)
    with (
        refusing_rest(2) as port,
        client("rest", port, hasty) as asked,
        pytest.raises(UnavailableError, match="503: overload; gave up"),
    ):
        list(asked.predict(["a"]))
    hurried = Patience(timeout=0.2)
    with (
        refusing_rest(0, delay=1.0) as port,
        client("rest", port, hurried) as asked,
        pytest.raises(ClientError, match="no answer within"),
    ):
        list(asked.predict(["a"]))


def test_grpc_tries_again_and_gives_up_in_time():
    calls, done = [], threading.Event()

    class Services(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            assert not request.output_filter  # else a server would not join it with others
            calls.append(request)
            if request.inputs["text"].string_val[0] == b"slow":
                done.wait()
            context.abort(grpc.StatusCode.UNAVAILABLE, "queue\nfull")

    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Services(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with client("grpc", port, Patience(timeout=2, tries=3, first_wait=0.01)) as asked:
        with pytest.raises(UnavailableError, match="UNAVAILABLE: queue full; gave up after 3"):
            list(asked.predict(["a"]))
        assert len(calls) == 3
        with pytest.raises(ClientError, match="no answer within 2 s"):
            list(asked.predict(["slow"]))
        assert len(calls) == 4
    done.set()
    server.stop(None).wait()
