"""`textrnn serve` in a process where TensorFlow cannot be imported."""

import contextlib
import json
import random
import shutil
import socket
import string
import sys

import numpy as np
import pytest

from tests.server_process import Load, ServeProcess, ask, wait_until
from tests.serving_cases import CASES, TEXTS, check
from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.exporting import onnx as onnx_export
from tf_textrnn.predictor.clients.common import ClientError, Target
from tf_textrnn.predictor.clients.rest import RestClient
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.runs.loaded import load_run


@pytest.fixture(scope="module")
def export(exported, tmp_path_factory):
    """A folder with version 1 of the ONNX export of `exported`."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "1").mkdir()
    onnx_export.write(folder / "1", exported, load_run(exported))
    return folder


@pytest.fixture(scope="module")
def server(export):
    flags = ("--max_body_mib=1", "--max_texts=50", "--max_characters=2000")
    with ServeProcess(export, *flags) as started:
        yield started


@pytest.fixture
def connection(server):
    with contextlib.closing(server.connect()) as opened:
        yield opened


@pytest.fixture(scope="module")
def predictor(export):
    return Predictor(export)


def test_answers_what_tf_servings_tests_name(connection, predictor):
    labels = predictor.predict(TEXTS).tolist()
    for case in CASES:
        method = "GET" if case.body is None else "POST"
        status, headers, answer = ask(connection, method, case.path, case.content)
        assert headers["Content-Type"] == "application/json"
        check(case, status, answer, labels, has_words=True)


def test_our_rest_client_is_answered_what_the_model_says(server, predictor):
    texts = [*TEXTS, "", "馬 🐴", "lone \ud800 surrogate", "red " * 300] * 3
    expected = predictor(texts)
    for target in ({}, {"version": 1}, {"version_label": "stable"}):
        with RestClient(Target(f"127.0.0.1:{server.port}", **target), batch_size=16) as client:
            found, answers = list(client.predict(texts)), list(client.classify(texts))
            assert client.status() == [(1, "AVAILABLE", "")]
            outputs = client.metadata()["serving_default"]["outputs"]
    np.testing.assert_allclose([p.probabilities for p in found], expected.probability, atol=1e-6)
    np.testing.assert_allclose([[*a.values()] for a in answers], expected.probability, atol=1e-6)
    assert [p.label for p in found] == [predictor.labels[c] for c in expected.classes]
    assert outputs["scores"] == "DT_FLOAT[-1, 3]" and outputs["num_known"] == "DT_INT32[-1]"
    with (
        RestClient(Target(f"127.0.0.1:{server.port}", version=9)) as client,
        pytest.raises(ClientError, match="404: Servable not found"),
    ):
        list(client.predict(["a"]))


def test_people_send_a_text_or_json(connection, server, predictor):
    expected = predictor.predict_proba(["wolf"])[0]
    assert server.greeting.startswith("serving textrnn, version 1 (")
    command = server.hint.removeprefix("try it:  ").strip()
    assert command == f"curl -d 'a fine film' 127.0.0.1:{server.port}/predict"
    for body, kind in (
        ("wolf", "application/x-www-form-urlencoded"),  # what curl says
        ('{"text": "wolf"}', "application/x-www-form-urlencoded"),
        ('{"text": "wolf"}', "application/json; charset=utf-8"),
        ("wolf", "text/plain"),
    ):
        status, _, answer = ask(connection, "POST", "/predict", body, Content_Type=kind)
        assert (status, answer["label"], answer["text"]) == (200, "animals", "wolf")
        probabilities = [answer["probabilities"][label] for label in predictor.labels]
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)
        assert answer["probability"] == max(probabilities)
    _, _, answer = ask(connection, "POST", "/predict", '{"text": "x"}', Content_Type="text/plain")
    assert answer["text"] == '{"text": "x"}'
    _, _, answers = ask(connection, "POST", "/predict", json.dumps({"text": ["", "馬", "seven"]}))
    assert [answer["label"] for answer in answers] == [None, None, "numbers"]
    assert [answer["text"] for answer in answers] == ["", "馬", "seven"]
    for body in ("{", '{"texts": ["a"]}', '{"text": [1]}', '{"text": null}'):
        status, _, answer = ask(connection, "POST", "/predict", body)
        assert status == 400 and list(answer) == ["error"]


def test_what_is_too_large_or_has_no_page_is_refused(connection):
    for path, body, status, words in (
        ("/predict", "a" * 1_100_000, 413, "the body is over 1,048,576 bytes"),
        ("/predict", json.dumps({"text": ["a"] * 51}), 413, "51 texts in a request; expected at m"),
        ("/predict", json.dumps({"text": ["a", "ä" * 2001]}), 413, "text 1: 2,001 characters"),
        ("/predict", "ä" * 2000, 200, ""),
        ("/v1/models/textrnn:predict", json.dumps({"instances": ["a"] * 51}), 413, "51 texts"),
        ("/nothing", "a", 404, "no page /nothing here"),
        ("/healthz", "a", 405, "expected GET, HEAD"),
    ):
        found, headers, answer = ask(connection, "POST", path, body)
        assert (found, words in str(answer)) == (status, True), answer
        assert status != 405 or headers["Allow"] == "GET, HEAD"
    blocks = (b"a" * 65_536 for _ in range(17))  # of a length that is not told
    assert ask(connection, "POST", "/predict", blocks)[0] == 413
    gzip = ask(connection, "POST", "/predict", b"\x1f\x8b", Content_Encoding="gzip")
    assert gzip[0] == 415
    assert ask(connection, "GET", "/healthz")[::2] == (200, {"status": "ok", "version": 1})


def test_a_foreign_host_is_refused(connection, server):
    for host, status in (
        ("evil.example", 421), (f"evil.example:{server.port}", 421),
        ("localhost.evil.example", 421), ("", 421), ("[evil]", 421), ("localhost", 200),
        (f"LOCALHOST:{server.port}", 200),
        ("10.1.2.3:80", 200), ("[::1]:8501", 200),
    ):  # fmt: skip
        for method, path in (("GET", "/healthz"), ("GET", "/v1/models/textrnn")):
            assert ask(connection, method, path, Host=host)[0] == status, host


VALUES = [None, True, 0, -1.5, 2**70, float("nan"), "", "wolf", "\ud800", "馬", [], {}, {"b64": 1},
          {"b64": "YQ"}, {"text": "a"}, ["a", "b"], [["a"]]]  # fmt: skip
KEYS = ["instances", "inputs", "examples", "context", "signature_name", "text", "b64"]


def random_value(chooser, depth=3):
    kind = chooser.randrange(3 if depth else 1)
    if kind == 1:
        return [random_value(chooser, depth - 1) for _ in range(chooser.randrange(4))]
    if kind == 2:
        names = chooser.sample(KEYS, chooser.randrange(4))
        return {name: random_value(chooser, depth - 1) for name in names}
    return chooser.choice(VALUES)


def mutated(chooser, content):
    content = bytearray(content)
    for _ in range(chooser.randint(1, 8)):
        place = chooser.randrange(len(content) + 1)
        content[place : place + chooser.randrange(3)] = chooser.randbytes(chooser.randrange(3))
    return bytes(content)


def fuzzed_bodies(chooser, kind):
    valid = chooser.choice([case.content for case in CASES if case.status == 200 and case.body])
    if kind == "bytes":
        return chooser.randbytes(chooser.randrange(200))
    if kind == "mutated":
        return mutated(chooser, valid)
    if kind == "cut":
        return valid[: chooser.randrange(len(valid))]
    if kind == "deep":
        opening, closing = chooser.choice([("[", "]"), ('{"text":', "}"), ('{"inputs":[', "]}")])
        depth = chooser.choice([5, 500, 50_000])
        return (opening * depth + '"a"' + closing * chooser.choice([0, depth])).encode()
    if kind == "long":
        digits = chooser.choice(["9" * 5_000, "1e" + "9" * 400, "-" * 9, "0." + "1" * 5_000])
        return f'{{"instances": [{digits}, "a"]}}'.encode()
    document = {chooser.choice(KEYS): random_value(chooser) for _ in range(3)}
    if chooser.random() < 0.3:
        document["signature_name"] = chooser.choice(["serving_default", "classify"])
    return json.dumps(document).encode()


@pytest.mark.parametrize("kind", ["bytes", "mutated", "cut", "deep", "long", "json"])
def test_fuzzed_bodies_are_answered_or_refused_with_a_sentence(server, kind):
    chooser = random.Random(kind)
    paths = [case.path for case in CASES if case.body is not None] + ["/predict"]
    with contextlib.closing(server.connect()) as connection:
        for _ in range(100):
            path, body = chooser.choice(paths), fuzzed_bodies(chooser, kind)
            status, _, answer = ask(connection, "POST", path, body)
            assert status in (200, 400, 404, 413), (path, body[:200], answer)
            if status != 200:
                assert list(answer) == ["error"] and len(answer["error"]) < 1_000, (path, body)
                assert "Traceback" not in answer["error"]


def test_fuzzed_requests_do_no_harm(server, connection):
    chooser = random.Random(1)
    valid = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nwolf"
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(mutated(chooser, valid))
            line.shutdown(socket.SHUT_WR)
            start = line.recv(100)
        assert not start.startswith(b"HTTP/1.1 5"), start
    for _ in range(100):
        path = "/v1/" + "".join(chooser.choices(string.printable.strip() + "%:/", k=20))
        assert ask(connection, chooser.choice(["GET", "POST", "PUT"]), path)[0] in (400, 404)


def test_versions_that_come_and_the_end_lose_no_request(export, predictor, tmp_path):
    folder = tmp_path / "versions"
    shutil.copytree(export / "1", folder / "1")
    with ServeProcess(folder, "--poll_seconds=0.05") as server:
        load = Load(server, 6, predictor.predict(TEXTS).tolist())
        with contextlib.closing(server.connect()) as connection:

            def states():
                answer = ask(connection, "GET", "/v1/models/textrnn")[2]
                return {int(v["version"]): v["state"] for v in answer["model_version_status"]}

            for version in (2, 10):
                shutil.copytree(export / "1", tmp_path / "new")
                (tmp_path / "new").rename(folder / str(version))
                wait_until(lambda version=version: states().get(version) == "AVAILABLE")
            shutil.copytree(export / "1", tmp_path / "new")
            (tmp_path / "new" / "labels.txt").write_text("damaged\n")
            (tmp_path / "new").rename(folder / "11")
            wait_until(lambda: states().get(11) == "END")
            assert states() == {11: "END", 10: "AVAILABLE", 2: "END", 1: "END"}
            assert ask(connection, "GET", "/healthz")[2]["version"] == 10
            before = load.answered
            wait_until(lambda: load.answered > before + 10)
            server.terminate()
            wait_until(lambda: ask(connection, "GET", "/healthz")[0] == 503)
        load.join()
        status, err = server.end()
    assert load.failures == []
    assert status == 0
    assert err.splitlines() == [
        "version 2 took over from version 1",
        "version 10 took over from version 2",
        f"warning: version 11 is not served: {folder}/11/labels.txt: not loaded, it is cut, "
        "changed or of another model than model.json",
        "stopped by SIGTERM; requests under way were answered",
    ]


def test_a_token_is_borne_by_our_clients_and_never_in_the_clear(export, tmp_path, capsys):
    path = tmp_path / "token"
    path.write_text("secret\n")
    with ServeProcess(export, f"--token_file={path}") as served:
        command = ["ask", "predict", f"--server=localhost:{served.port}", "wolf"]
        assert cli.run([*command, f"--token_file={path}"]) == 0
        assert capsys.readouterr().out.startswith("animals\t")
        assert cli.run(command) == 2
        assert ": status 401: expected Authorization" in capsys.readouterr().err
    assert "secret" not in repr(Target("localhost", token="secret"))
    for target in (Target("[::1]", token="x"), Target("films.example", token="x", tls=True)):
        assert target.token
    with pytest.raises(UserError, match="a token would go there in the clear; expected --tls"):
        Target("films.example", token="x")


def test_what_cannot_be_served_is_one_line(export, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TEXTRNN_TOKEN", raising=False)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "spaces").write_text("a b\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for flags, words in (
            ([f"--port={taken.getsockname()[1]}"], "cannot be listened at (Address already in us"),
            (["--host=a..b"], "--host=a..b: expected a name or an address"),
            ([f"--model={tmp_path}"], "found another folder; expected"),
            ([f"--token_file={tmp_path}/none"], "none: No such file"),
            ([f"--token_file={tmp_path}/empty"], "empty; expected a token"),
            ([f"--token_file={tmp_path}/spaces"], "expected a token of printable ASCII"),
            (["--timeout=0"], "flag --timeout=0.0: expected a number, above 0"),
            (["--token=secret"], "token"),
        ):  # fmt: skip
            assert cli.run(["serve", f"--model={export}", "--port=0", *flags]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n"), words in err) == ("", 1, True), err
    monkeypatch.setenv("TEXTRNN_TOKEN", "a")
    assert cli.run(["serve", f"--model={export}", f"--token_file={tmp_path}/empty"]) == 2
    assert "expected one of them" in capsys.readouterr().err
    for name in [name for name in sys.modules if ".server.listening" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert cli.run(["serve", f"--model={export}"]) == 2
    assert capsys.readouterr().err == (
        "error: uvicorn is not installed; pip install 'tf_textrnn[server]'\n"
    )
