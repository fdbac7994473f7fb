"""What each word adds to a label's score: the definition, sums, both runtimes, what people see."""

import json
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import FILLERS, TOPICS
from tests.onnx_exports import UntrainedRun
from tests.test_onnx import TEXTS
from tests.test_saved_model import hostile_texts
from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.exporting import explain_graph
from tf_textrnn.network.ngrams import SCALE, NgramScores
from tf_textrnn.predictor import explain
from tf_textrnn.predictor.onnx_model import OnnxRuntime
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.predictor.saved_model import SavedModelRuntime

TEXT = tf.TensorSpec([None], tf.string, "text")


@pytest.fixture(scope="module")
def predictor(exported):
    return Predictor(exported.export / "1")


@pytest.mark.parametrize("most_spans", [explain.MAX_SPANS, 3])
@pytest.mark.parametrize(
    "kind",
    [
        {"cell": "lstm", "pooling": "last", "ngrams": 3, "tokenizer": "word"},
        {"cell": "gru", "pooling": "mean", "tokenizer": "char", "multi_label": True,
         "thresholds": [0.4, 0.5, 0.6]},
    ],
    ids=["words", "characters"],
)  # fmt: skip
def test_shares_sum_to_the_scores_and_are_those_of_the_other_runtime(
    tmp_path, monkeypatch, kind, most_spans
):
    for module in (explain, explain_graph):
        monkeypatch.setattr(module, "MAX_SPANS", most_spans)
        monkeypatch.setattr(module, "BATCH_STEPS", 200)  # so that there are several batches
    run = UntrainedRun(tmp_path, **kind)
    texts = TEXTS + [text[:300] for text in hostile_texts(20)] + [b""]
    served = run.served()
    graph = tf.function(served.explain, autograph=False).get_concrete_function(TEXT)
    found = {name: value.numpy() for name, value in graph(tf.constant(texts)).items()}
    scores = served.predict(tf.constant(texts))["scores"].numpy()
    sums = found["ngram_shares"].sum(axis=1) + found["network_shares"].sum(axis=1)
    np.testing.assert_allclose(found["base_scores"], scores[[-1] * len(texts)], atol=1e-5)
    np.testing.assert_allclose(found["base_scores"] + sums, scores, atol=1e-4)
    assert np.abs(found["ngram_shares"]).max() > 0.1 < np.abs(found["network_shares"]).max()
    other = OnnxRuntime(run.export())
    for index, text in enumerate(texts):
        shares = other.explain(text)
        read = found["num_tokens"][index]
        assert [x.encode() for x in shares.tokens] == found["tokens"][index, :read].tolist()
        np.testing.assert_allclose(shares.base_scores, found["base_scores"][index], atol=1e-5)
        for name in ("ngram_shares", "network_shares"):
            np.testing.assert_allclose(getattr(shares, name), found[name][index, :read], atol=1e-5)
            assert not found[name][index, read:].any()


def test_the_networks_share_is_the_mean_from_the_left_and_from_the_right(tmp_path):
    run = UntrainedRun(tmp_path, ngrams=0, cell="gru", tokenizer="word")
    served = run.served()
    words = ["wolf", "red", "word", "a", "wolf"]
    parts = [words[:i] for i in range(6)] + [words[i:] for i in range(6)]
    scores = served.predict(tf.constant([" ".join(part) for part in parts]))["scores"].numpy()
    from_left, from_right = np.diff(scores[:6], axis=0), -np.diff(scores[6:], axis=0)
    shares = OnnxRuntime(run.export()).explain(b"wolf red word a wolf")
    np.testing.assert_allclose(shares.network_shares, (from_left + from_right) / 2, atol=1e-5)
    assert not shares.ngram_shares.any()


def test_a_long_text_is_measured_in_spans_of_bounded_cost():
    for length in (0, 1, 255, 256, 400, 2_000, 1_000_000):
        parts = explain.parts_of(np.arange(length))
        assert len(parts) <= 512
        assert explain.span_of(length) == 1 or length > 255
        assert len(parts) == 4 or sum(map(len, parts)) <= explain.MAX_STEPS
        ends = [len(part) for part in parts]
        assert ends[:2] == [0, 0] and ends[-2:] == [length, length]
        # Of scores that count the tokens, each token has 1, in whichever span.
        scores = np.array(ends, np.float32)[:, None]
        np.testing.assert_allclose(explain.network_shares(scores, length), 1.0, atol=1e-3)


def test_an_ngrams_weight_is_shared_among_its_places_and_tokens():
    layer = NgramScores(order=2, num_ngrams=3, vocab_size=10, num_classes=1)
    layer.build()
    layer.keys.assign([2, 3, 23])  # the words 2 and 3, and both in this order
    layer.kernel.assign([[1.0], [10.0], [100.0]])
    shares = layer.token_shares(tf.constant([[2, 3, 5, 2, 3, 2], [5, 3, 0, 0, 0, 0]]))[..., 0]
    word, other, pair = SCALE * np.array([1 / 3, 10 / 2, 100 / 2 / 2]) / np.sqrt(3)
    expected = [word + pair, other + pair, 0, word + pair, other + pair, word]
    np.testing.assert_allclose(shares, [expected, [0, SCALE * 10, 0, 0, 0, 0]], rtol=1e-6)
    short = layer.token_shares(tf.constant([[3]]))
    np.testing.assert_allclose(short, [[[SCALE * 10]]])


def test_words_that_tell_a_label_speak_for_it(predictor):
    found = predictor.explain("The WOLF, near a dog")
    assert found.tokens == ["the", "wolf", ",", "near", "a", "dog"]
    places = [found.text[slice(*place)] for place in found.places]
    assert places == ["The", "WOLF", ",", "near", "a", "dog"]
    animals, colours = (predictor.labels.index(label) for label in ("animals", "colours"))
    assert {word for word, share in found.strongest(animals, 2) if share > 0} == {"wolf", "dog"}
    assert {word for word, share in found.strongest(colours, 2) if share < 0} == {"wolf", "dog"}
    first, second, *_ = str(found).splitlines()
    assert first.startswith(f"animals  {found.probability[animals]:.4f}")
    assert second.strip().startswith("+") and second.split()[1] in ("wolf", "dog")
    assert predictor.explain("").line() == "" and predictor.explain("").tokens == []
    with pytest.raises(TypeError, match="expected one string"):
        predictor.explain(["a wolf"])


def test_places_are_those_of_the_tokens(predictor):
    texts = [text.decode("utf-8", "replace")[:500] for text in hostile_texts(200)]
    for text in [*texts, "İSTANBUL Σσς\u200bx y", "e\u0301a 狼b", "\ud800 a"]:
        found = predictor.explain(text)
        ends = [0, *(end for _, end in found.places)]
        for token, (start, end), last in zip(found.tokens, found.places, ends, strict=False):
            assert last <= start < end <= len(text)
            gap = text[last:start]
            assert all(unicodedata.category(c)[0] in "CZ" for c in gap)
            if token.isascii() and text[start:end].isascii():
                assert text[start:end].lower() == token
    assert explain.locate("a  b ", ["a", " ", "b"]) == [(0, 1), (1, 3), (3, 4)]


def test_the_command_names_the_words(exported, capsys, tmp_path):
    def run(*arguments):
        status = cli.run(["predict", f"--model={exported.export / '1'}", "--explain", *arguments])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        return out

    label, _, words, text = run("wolf of nine\x1b[2J").rstrip("\n").split("\t")
    assert words.startswith(f"{label}: ") and "wolf " in words and "\x1b" not in text
    record = json.loads(run("--format=jsonl", "wolf of red"))
    found = record["explanation"]
    assert (found["tokens"], found["places"][2]) == (["wolf", "of", "red"], [8, 11])
    assert {len(shares) for shares in found["network_shares"].values()} == {3}
    path = tmp_path / "texts.csv"
    path.write_text("words,text\n1,a wolf\n2,seven\n")
    header, first, _ = run(f"--input={path}").splitlines()
    assert header == "words,text,label,probability,predicted_words"
    assert first.split(",")[4].startswith("animals: wolf +")
    assert cli.run(["predict", "--model=x", "--explain", "--evaluate"]) == 2
    assert "--explain, and --evaluate: expected one of them" in capsys.readouterr().err


def test_what_is_measured_in_spans_is_told(exported, capsys):
    assert cli.run(["predict", f"--model={exported.path}", "--explain", "wolf " * 300, "red"]) == 0
    told = "1 of 2 texts are longer than 255 tokens; what the network makes of these is measured"
    assert told in capsys.readouterr().err


def test_an_export_without_the_signature_is_one_line(exported, monkeypatch):
    runtime = SavedModelRuntime(exported.export / "1")
    monkeypatch.setattr("tf_textrnn.predictor.saved_model.EXPLAIN", "explain_later")
    with pytest.raises(UserError, match="has no explanations; export its run again"):
        runtime.explain(b"a wolf")


def test_a_report_names_the_words_of_each_label(finished):
    words = json.loads(finished.report_json.read_text())["words"]
    assert (words["texts"], words["branches"]) == (60, ["network", "ngrams"])
    for label, found in words["labels"].items():
        assert set(list(found)[:5]) <= set(TOPICS[label])
        assert min(found.values()) > 0
    line = f"  animals: {next(iter(words['labels']['animals']))} +"
    assert line in finished.report_text.read_text("utf-8")
    assert not set(FILLERS) & {next(iter(found)) for found in words["labels"].values()}
