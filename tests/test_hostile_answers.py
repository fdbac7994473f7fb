"""REST servers that answer anything: one line each, in bounded time and memory."""

import contextlib
import json
import sys
import threading
import time

import pytest

from tests.hostile_servers import (
    ESCAPES,
    VERSION,
    ask,
    forever,
    http_answer,
    measure,
    tcp_server,
)
from tf_textrnn import cli
from tf_textrnn.predictor.clients.common import MAX_ANSWER_BYTES, Target
from tf_textrnn.predictor.clients.rest import RestClient

HUGE = 1_500_000_000
BLOCK = b"0" * (1 << 20)


def predicted(*rows):
    names = ("label", "probability", "accepted")
    return http_answer({"predictions": [dict(zip(names, row, strict=False)) for row in rows]})


FINE = ["x", [0.25, 0.75]]
REST_ANSWERS = {
    "no answer at all": (b"", "gave up after 2 tries"),
    "other bytes": (b"\x00\x01\xff\xfe" * 9 + b"\r\n\r\n", "expected an answer in HTTP"),
    "escapes as the status": (f"HTTP/1.1 2{ESCAPES}\r\n\r\n".encode(), "an answer in HTTP"),
    "a page": (http_answer(b"<html>Welcome!</html>"), "status 200: <html>"),
    "a list": (http_answer([1, 2]), "no JSON object"),
    "an empty object": (http_answer({}), "expected 'predictions'"),
    "null": (http_answer({"predictions": None}), "expected a list as 'predictions', found None"),
    "two answers to one text": (predicted(FINE, FINE), "2 answers to 1 texts"),
    "no answers": (predicted(), "0 answers to 1 texts"),
    "not a number": (predicted(["x", [float("nan"), 1.0]]), "expected probabilities, found nan"),
    "infinity": (
        http_answer(b'{"predictions": [{"label": "x", "probability": [1e999, 0]}]}'),
        "expected probabilities, found inf",
    ),
    "a number of 5,000 digits": (
        http_answer(b'{"predictions": [{"label": "x", "probability": [%s]}]}' % (b"9" * 5_000)),
        "status 200",
    ),
    "a number of 400 digits": (predicted(["x", [10**400, 0]]), "expected probabilities"),
    "texts as probabilities": (predicted(["x", ["0.5", "0.5"]]), "expected probabilities"),
    "truth as a probability": (predicted(["x", [True, False]]), "expected probabilities"),
    "below zero": (predicted(["x", [-0.5, 1.0]]), "expected probabilities, found -0.5"),
    "above one": (predicted(["x", [12, 0]]), "expected probabilities, found 12"),
    "no probabilities": (predicted(["x", []]), "no probabilities"),
    "a label that drives a terminal": (predicted([ESCAPES, [0.5, 0.5]]), "printable characters"),
    "a label of two lines": (predicted(["a\nok\t1.0", [0.5, 0.5]]), "printable characters"),
    "an empty label": (predicted(["", [0.5, 0.5]]), "1 to 1,000 printable characters"),
    "a long label": (predicted(["x" * 1_001, [0.5, 0.5]]), "1 to 1,000 printable characters"),
    "a number as a label": (predicted([7, [0.5, 0.5]]), "expected a text as 'label', found 7"),
    "accepted labels of more": (predicted([*FINE, [True]]), "true or false for each of 2 labels"),
    "numbers as accepted labels": (predicted([*FINE, [0, 1]]), "true or false for each of 2"),
    "no list of accepted labels": (predicted([*FINE, "x"]), "expected a list as accepted labels"),
    "100,000 brackets": (http_answer(b"[" * 100_000), "status 200: [[["),
    "no UTF-8": (http_answer(b'{"predictions": "\xff\xfe"}'), "status 200"),
    "the half of an answer": (predicted(FINE)[:-9], "gave up after 2 tries"),
    "an error that forges lines": (
        http_answer({"error": ESCAPES * 1_000}, "500 Internal Server Error"),
        r"status 500: \x1b[2J\x9b status: all is well",
    ),
    "elsewhere": (http_answer(b"", "301 Moved", "Location: http://127.0.0.1/\r\n"), "status 301"),
    "a drip": (forever(b"H", pause=0.05), "no answer within 1 s"),
    "a drip of headers": (
        forever(b"X-A: b\r\n", pause=0.1, head=b"HTTP/1.1 200 OK\r\n"), "no answer within 1 s",
    ),
    "a drip of the body": (
        forever(b" ", pause=0.05, head=b"HTTP/1.1 200 OK\r\n\r\n"), "no answer within 1 s",
    ),
    "go on, for ever": (forever(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001), "no answer within"),
    "silence": (lambda _: time.sleep(3), "no answer within 1 s"),
    "headers without end": (forever(b"X: " + BLOCK), "in HTTP"),
    "1.5 GB": (
        forever(BLOCK, head=f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n".encode()),
        "over 16,777,216 bytes",
    ),
    "1.5 GB without a length": (
        forever(BLOCK, head=b"HTTP/1.1 200 OK\r\n\r\n"), "over 16,777,216 bytes",
    ),
    "1.5 GB in chunks": (
        forever(
            b"%x\r\n%s\r\n" % (len(BLOCK), BLOCK),
            head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        "over 16,777,216 bytes",
    ),
    "a chunk of the size -1": (
        forever(
            BLOCK, head=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        ),
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "message"), REST_ANSWERS.values(), ids=REST_ANSWERS)
def test_rest_answers_to_predict(answer, message, capsys):
    respond = answer if callable(answer) else lambda connection: connection.sendall(answer)
    with tcp_server(respond) as port:
        timeout = 1 if "no answer" in message else 30
        assert message in ask(capsys, port, "predict", "a text", timeout=timeout)
        # What was given up goes on in no thread.
        for thread in threading.enumerate():
            if "_converse" in thread.name:
                thread.join(10)
                assert not thread.is_alive()


SIZED = {"dtype": "D", "tensor_shape": {"dim": [{"size": 1}]}}


def signatures(method, inputs):
    """The answer to `metadata` of a model with one signature, x."""
    signature = {"method_name": method, "inputs": inputs, "outputs": {}}
    return {"metadata": {"signature_def": {"signature_def": {"x": signature}}}}


@pytest.mark.parametrize(
    ("call", "body", "message"),
    [
        ("classify", {"results": [[["a", 0.5], ["b"]]]}, "a label and its probability"),
        ("classify", {"results": [[["a", 0.5], ["a", 0.5]]]}, "come twice"),
        ("classify", {"results": [[["a\x1b[2J", 0.5]]]}, "printable characters"),
        ("classify", {"results": [{"a": 0.5}]}, "expected a list as the labels of a text"),
        ("status", {"model_version_status": [{**VERSION, "version": 1}]}, "expected a text"),
        ("status", {"model_version_status": [{**VERSION, "version": "9" * 5_000}]}, "whole number"),
        ("status", {"model_version_status": [{**VERSION, "state": ESCAPES}]}, "in the state"),
        ("status", {"model_version_status": [{**VERSION, "status": "OK"}]}, "expected an object"),
        ("metadata", {"metadata": {"signature_def": 1}}, "expected an object as 'signature_def'"),
        ("metadata", signatures("", {"a": SIZED}), "expected a text as 'size'"),
    ],
)  # fmt: skip
def test_rest_answers_to_the_other_calls(call, body, message, capsys):
    with tcp_server(lambda connection: connection.sendall(http_answer(body))) as port:
        texts = ["a text"] if call == "classify" else []
        assert message in ask(capsys, port, call, *texts)


def test_what_a_server_says_is_printed_escaped(capsys):
    body = {"model_version_status": [{**VERSION, "status": {"error_message": ESCAPES}}]}
    with tcp_server(lambda connection: connection.sendall(http_answer(body))) as port:
        assert cli.run(["ask", "status", f"--server=127.0.0.1:{port}"]) == 0
    out = capsys.readouterr().out
    assert out == "1\tAVAILABLE\t" + r"\x1b[2J\x9b\r\nstatus: all is well\u202e\u2028" + "\n"
    tensor = {"dtype": "D\x7f", "tensor_shape": {"dim": [{"size": "-1"}]}}
    body = signatures(ESCAPES, {ESCAPES: tensor})
    with tcp_server(lambda connection: connection.sendall(http_answer(body))) as port:
        assert cli.run(["ask", "metadata", f"--server=127.0.0.1:{port}"]) == 0
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    found = json.loads(out)["x"]
    assert found == {"method": ESCAPES, "inputs": {ESCAPES: "D\x7f[-1]"}, "outputs": {}}


def test_labels_are_those_of_the_largest_probabilities(capsys):
    texts = ["one", "two"]
    for rows, message in (
        ([["x", [0.9, 0.1]], ["y", [0.8, 0.2]]], "'y' is not that of the largest"),
        (
            [["x", [0.9, 0.1]], ["x", [0.2, 0.8]]],
            "one label for largest probabilities at different",
        ),
        ([["x", [0.9, 0.1]], ["y", [0.2, 0.7, 0.1]]], "3 probabilities beside 2 of another text"),
    ):
        with tcp_server(lambda connection, r=rows: connection.sendall(predicted(*r))) as port:
            assert message in ask(capsys, port, "predict", *texts)
    rows = [["x", [0.5, 0.5]], ["y", [0.5, 0.5]], ["y", [0.1, 0.9]]]  # equal: either may be
    with (
        tcp_server(lambda connection: connection.sendall(predicted(*rows))) as port,
        RestClient(Target(f"127.0.0.1:{port}")) as client,
    ):
        assert [p.label for p in client.predict(["a", "b", "c"])] == ["x", "y", "y"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_rest_client_is_bounded():
    names = ("1.5 GB", "1.5 GB without a length", "1.5 GB in chunks", "a chunk of the size -1",
             "headers without end")  # fmt: skip
    with contextlib.ExitStack() as servers:
        ports = [servers.enter_context(tcp_server(REST_ANSWERS[name][0])) for name in names]
        lines, growth = measure("rest", *ports)
    assert all(line.startswith("error: 127.0.0.1:") for line in lines)
    assert growth < 64  # four times the limit of an answer
    # What JSON makes most of: as many empty lists as an answer can hold.
    lists = http_answer(b"[" + b"[[]]," * (MAX_ANSWER_BYTES // 5 - 1) + b"0]")
    with tcp_server(lambda connection: connection.sendall(lists)) as port:
        lines, growth = measure("rest", port)
    assert "no JSON object" in lines[0]
    assert growth < 45 * MAX_ANSWER_BYTES >> 20
