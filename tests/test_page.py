"""The page at `/` of the server, what it asks for, and `POST /explain`."""

import asyncio
import contextlib
import json
import pathlib

import numpy as np
import pytest

from tests.onnx_exports import UntrainedRun, edited_settings
from tests.server_process import ServeProcess
from tests.test_server_limits import LengthRuntime, OneVersion, call, free_runtime, make_app
from tf_textrnn.base.errors import UserError
from tf_textrnn.exporting import onnx as onnx_export
from tf_textrnn.predictor.explain import NoExplanationsError
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.predictor.server.asking import Service
from tf_textrnn.predictor.server.batcher import Batcher
from tf_textrnn.predictor.server.options import MAX_EXAMPLES, ServeOptions
from tf_textrnn.predictor.server.static_files import FOLDER, STATIC_PAGES
from tf_textrnn.predictor.server.versions import Versions
from tf_textrnn.runs.loaded import load_run

HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
BROWSER = pathlib.Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The ONNX export of a model with two kinds of scores, and sets of labels."""
    run = UntrainedRun(
        tmp_path_factory.mktemp("page"), ngrams=2, tokenizer="word", multi_label=True,
        thresholds=[0.4, 0.5, 0.6],
    )  # fmt: skip
    return run.export()


@pytest.fixture(scope="module")
def app_of(untrained):
    """A function that makes an application, of options and more."""
    versions = Versions(str(untrained), "textrnn")
    return lambda **options: make_app(versions, **options)


def asked(app, path, body=b"", method="POST", **headers):
    answer = asyncio.run(call(app, method, path, body, **headers))
    return answer.status, json.loads(answer.content), answer.headers


def test_the_page_is_served_without_a_token_and_may_run_no_script_but_its_own():
    app = make_app(OneVersion(free_runtime()), token=b"secret")
    sizes = 0
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"),
                       ("/page.js", "text/javascript")):  # fmt: skip
        answer = asyncio.run(call(app, "GET", path))
        assert (answer.status, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy and "http" not in answer.content.replace("http-equiv", "")
        sizes += len(answer.content.encode())
        assert asyncio.run(call(app, "POST", path)).status == 405
    assert sizes < 60_000
    assert {path.name for path in FOLDER.iterdir()} == {"index.html", "page.css", "page.js"}
    assert len(STATIC_PAGES) == 3
    html = (FOLDER / "index.html").read_text()
    assert " style=" not in html and " on" not in html.replace(" one", "").replace(" only", "")
    script = (FOLDER / "page.js").read_text()
    assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write",
                                  "localStorage", "eval(") if word in script]  # fmt: skip
    for path, method in (("/card", "GET"), ("/explain", "POST")):
        assert asked(app, path, b"a", method)[0] == 401


def test_explain_answers_what_the_predictor_explains(app_of, untrained):
    predictor, app = Predictor(untrained), app_of()
    texts = ["wolf red 狼 a", HOSTILE, "", "lone \ud800 red"]
    status, answers, _ = asked(app, "/explain", json.dumps({"text": texts}).encode())
    _, predicted, _ = asked(app, "/predict", json.dumps({"text": texts}).encode())
    assert status == 200
    for text, answer, of_predict in zip(texts, answers, predicted, strict=True):
        expected = predictor.explain(text).as_json()
        found = answer.pop("explanation")
        assert answer == of_predict
        for name in ("base_scores", "ngram_shares", "network_shares"):
            for label, shares in expected.pop(name).items():
                np.testing.assert_allclose(found[name][label], shares, atol=1e-5)
            del found[name]
        assert found == expected
    status, alone, _ = asked(app, "/explain", b"wolf red")
    assert status == 200 and alone["explanation"]["places"] == [[0, 4], [5, 8]]
    metrics = asyncio.run(call(app, "GET", "/metrics")).content
    assert "textrnn_explained_texts_total 5" in metrics
    assert 'textrnn_requests_total{page="explain",status="200"} 2' in metrics


def test_an_explanation_counts_as_so_many_texts_as_it_scores(app_of):
    app = app_of(max_texts=12, max_characters=40)
    assert asked(app, "/explain", b"a " * 5)[0] == 200  # 2 * (5 + 1) parts
    status, answer, _ = asked(app, "/explain", b"a " * 6)
    assert status == 413
    assert answer["error"].startswith("an explanation of 6 tokens scores 14 parts of texts")
    two = json.dumps({"text": ["a a", "a a a"]}).encode()
    assert "scores 14 parts" in asked(app, "/explain", two)[1]["error"]
    for body, status in ((b"a" * 41, 413), (b"{", 400), (b'{"text": [1]}', 400)):
        assert asked(app, "/explain", body)[0] == status


def test_an_explanation_holds_no_more_numbers_than_a_million():
    app = make_app(OneVersion(free_runtime()), max_texts=10_000)
    body = json.dumps({"text": ["a" * 60_000] * 5}).encode()  # each a token, of two labels
    status, answer, _ = asked(app, "/explain", body)
    assert (status, "1,200,000 numbers" in answer["error"]) == (413, True)


def test_an_export_without_explanations_says_so():
    class OldRuntime(LengthRuntime):
        def explain(self, text):
            raise NoExplanationsError("/some/path: old")

    runtime = OldRuntime()
    runtime.may_run.set()
    status, answer, _ = asked(make_app(OneVersion(runtime)), "/explain", b"a")
    assert status == 501
    assert answer["error"] == "this export has no explanations; export its run again to have them"


def test_the_card_tells_figures_and_no_paths(tmp_path):
    versions = OneVersion(free_runtime())
    versions.current = versions.current._replace(path=tmp_path)
    app = make_app(versions)
    assert asked(app, "/card", method="GET")[1]["card"] == {}
    card = {
        "metrics": {"accuracy": 0.9, "loss": float("nan")}, "per_class": {HOSTILE: {"f1": 1}},
        "data": {"train_file": "/home/me/secret.tsv", "texts": {"train": 5}},
        "train_again": "textrnn train --train_file=/home/me/secret.tsv",
    }  # fmt: skip
    (tmp_path / "assets.extra").mkdir()
    for name in ("assets.extra/model_card.json", "model_card.json"):
        (tmp_path / name).write_text(json.dumps(card))
        status, found, headers = asked(app, "/card", method="GET")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert found["card"]["texts"] == {"train": 5} and "secret" not in json.dumps(found)
        assert found["card"]["metrics"] == {"accuracy": 0.9, "loss": None}
        assert [*found["card"]["per_class"]] == [HOSTILE] and found["examples"] == []
        (tmp_path / name).unlink()
    for damaged in ("[1]", "{", "[" * 100_000, '{"data": 3}'):
        (tmp_path / "model_card.json").write_text(damaged)
        assert asked(app, "/card", method="GET")[0] == 200


def test_examples_are_the_first_lines_of_a_file(tmp_path):
    path = tmp_path / "examples.txt"
    options = ServeOptions(model="m", examples=str(path), max_characters=50)
    with pytest.raises(UserError, match="No such file"):
        options.read_examples()
    for content, words in ((b"\n \n", "no text in it"), (b"\xff\n", "not UTF-8"),
                           (b"a\n" + b"b" * 51, "line 2 has over 50 characters")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            options.read_examples()
    path.write_bytes(("\ufeff馬 \r\n\n" + "b" * 50 + "\n" + "c\n" * 99).encode())
    examples = options.read_examples()
    assert examples == ("馬", "b" * 50, *["c"] * (MAX_EXAMPLES - 2))
    assert ServeOptions(model="m").read_examples() == ()
    metrics = make_app(OneVersion(free_runtime()))._service.metrics
    service = Service(
        options, OneVersion(free_runtime()), Batcher(1, metrics.batch), metrics, ("x",)
    )
    app = make_app(service.versions)
    app._service = service
    assert asked(app, "/card", method="GET")[1]["examples"] == ["x"]


# In a real browser


@pytest.fixture(scope="module")
def hostile_export(exported, tmp_path_factory):
    """An export whose labels and card are HTML."""
    folder = tmp_path_factory.mktemp("hostile") / "1"
    folder.mkdir()
    onnx_export.write(folder, exported, load_run(exported))
    labels = (folder / "labels.txt").read_text().split()
    with edited_settings(folder):
        (folder / "labels.txt").write_text("".join(f"{label} {HOSTILE}\n" for label in labels))
    card = {"metrics": {HOSTILE: HOSTILE, "accuracy": 0.9375}, "per_class": {HOSTILE: {"f1": 1}}}
    (folder / "model_card.json").write_text(json.dumps(card))
    return folder.parent


@contextlib.contextmanager
def opened(server):
    """The page in a browser that knows of no network; anything on its console is an error."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not BROWSER.exists():
        pytest.skip(f"no {BROWSER}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-quic"]
        )
        page, problems = browser.new_page(), []
        page.set_default_timeout(20_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/")
        yield page, playwright.expect
        browser.close()
    assert [text for text in problems if "401" not in text] == []


@pytest.mark.slow
def test_in_a_browser_an_answer_follows_what_is_typed(hostile_export, tmp_path):
    (tmp_path / "examples.txt").write_text(f"{HOSTILE} wolf\n")
    with (
        ServeProcess(hostile_export, f"--examples={tmp_path}/examples.txt") as server,
        opened(server) as (page, expect),
    ):
        box, answer = page.get_by_label("A text", exact=True), page.locator("#answer")
        box.press_sequentially("wolf wolf")
        expect(answer).to_contain_text(f"animals {HOSTILE}")
        box.fill("four 馬 𝔸 wolf four seven")
        expect(answer).to_contain_text("numbers")
        words = page.locator("#words").get_by_role("option")
        expect(words).to_have_text(["four", "馬", "𝔸", "wolf", "four", "seven"])
        words.nth(3).hover()
        expect(page.locator("#detail")).to_contain_text("wolf: adds −")
        assert "against" in words.nth(3).get_attribute("class")
        words.nth(0).focus()
        page.keyboard.press("End")
        expect(page.locator("#detail")).to_contain_text("seven: adds +")
        expect(page.locator("[aria-selected=true]")).to_have_count(1)
        page.locator("#bars button", has_text="animals").click()
        expect(page.locator("#explained")).to_contain_text("animals")
        assert "for" in words.nth(3).get_attribute("class")
        expect(page.locator("#history")).to_contain_text("seven")
        box.fill(HOSTILE)
        expect(page.locator("#words")).to_have_text(HOSTILE)
        box.fill("馬馬")
        expect(answer).to_contain_text("Not sure")
        box.fill("שלום seven עולם")
        expect(words).to_have_text(["שלום", "seven", "עולם"])
        lefts = [words.nth(index).bounding_box()["x"] for index in range(3)]
        assert lefts == sorted(lefts, reverse=True)
        words.nth(0).focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#detail")).to_contain_text("seven")
        page.get_by_label("Examples").select_option(index=1)
        expect(box).to_have_value(f"{HOSTILE} wolf")
        page.locator("#card summary").click()
        expect(page.locator("#facts")).to_contain_text("0.9375")
        expect(page.locator("#labels")).to_contain_text(HOSTILE)
        assert page.locator("main script, main img").count() == 0
        assert page.title() == "textrnn"


@pytest.mark.slow
def test_in_a_browser_a_token_is_asked_for_and_an_old_answer_never_stands(hostile_export, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with (
        ServeProcess(hostile_export, f"--token_file={tmp_path}/token") as server,
        opened(server) as (page, expect),
    ):
        box, answer = page.get_by_label("A text", exact=True), page.locator("#answer")
        token = page.get_by_label("This server asks for a token")
        box.fill("wolf")
        token.fill("wrong")
        token.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The server refuses this token.")
        token.fill("secret")
        token.press("Enter")
        expect(answer).to_contain_text("animals")
        expect(token).to_be_hidden()
        assert page.evaluate("sessionStorage.length + localStorage.length") == 0

        held = []

        def hold_first(route):
            held.append(route) if not held else route.continue_()

        page.route("**/predict", hold_first)
        box.fill("wolf wolf")
        page.wait_for_timeout(400)
        box.fill("seven")
        expect(answer).to_contain_text("numbers")
        assert held
        with contextlib.suppress(Exception):  # the page has given it up
            held[0].continue_()
        page.wait_for_timeout(500)
        expect(answer).to_contain_text("numbers")
