"""Exports for ONNX Runtime as int8, and of at most a given size."""

import pathlib
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from tests.onnx_exports import UntrainedRun
from tf_textrnn import cli
from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.exporting import small
from tf_textrnn.exporting.onnx_parts import Parts, packed_keys, parts_of, sizes_of_keys
from tf_textrnn.network.ngrams import ngram_keys
from tf_textrnn.predictor.encoder import NgramTable, TokenIds
from tf_textrnn.predictor.onnx_run import unpacked_keys
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.predictor.runtime import ONNX
from tf_textrnn.text import SPECIAL_TOKENS, UNKNOWN_ID


@given(st.sets(st.integers(1, 2**63 - 1), min_size=1))
def test_packed_keys_are_read_as_they_were(keys):
    array = np.array(sorted(keys), np.int64)
    packed = packed_keys(array)
    assert len(packed) == sizes_of_keys(array).sum()
    np.testing.assert_array_equal(unpacked_keys(packed), array)


@settings(deadline=None, max_examples=30)
@given(
    numpy_strategies.arrays(np.int32, (6, 5), elements=st.integers(1, 9)),
    st.integers(2, 10),
    st.integers(1, 3),
)
def test_with_fewer_words_a_text_has_the_rows_of_the_ngrams_that_are_left(ids, count, order):
    keys = np.unique(np.asarray(ngram_keys(ids, order, 10)))
    kernel = keys[:, None].astype(np.float64)  # each n-gram has its old key as its weight
    weights = {"ngrams/kernel": kernel, "embedding": np.zeros((10, 1))}
    parts = Parts([b""] * 10, keys, weights, np.ones(len(keys)))
    fewer = parts.with_words(count)
    assert len(fewer.vocabulary) == len(fewer.weights["embedding"]) == count
    assert (np.diff(fewer.keys) > 0).all()
    cut = np.where(ids < count, ids, UNKNOWN_ID).astype(np.int32)
    padded = np.append(fewer.weights["ngrams/kernel"][:, 0], 0)
    rows = NgramTable(fewer.keys, order, count)(cut) if len(fewer.keys) else np.zeros((6, 0), int)
    for text, found in zip(cut, rows, strict=True):
        expected = set(np.asarray(ngram_keys(text[None], order, 10))[0]) & set(keys)
        assert set(padded[found]) - {0} == expected - {0}


def test_int8_and_a_size_are_told_with_their_cost(exported, tmp_path, capsys):
    run = shutil.copytree(exported.path, tmp_path / "run")

    def export(*flags):
        command = ["export", f"--run_dir={run}", "--export_format=onnx", *flags]
        status = cli.run(command)
        return status, *capsys.readouterr()

    compared = (
        r"on 60 validation texts accuracy \S+, as floats \S+; \S+% of the answers differ \(.*"
    )
    status, out, err = export("--quantize=int8")
    assert (status, err) == (0, "")
    said, path = out.splitlines()
    assert re.fullmatch(compared, said)
    texts = ["wolf and dog", "the red", "seven of nine", ""]
    expected = Predictor(exported.export)(texts)
    found = Predictor(path)(texts)
    np.testing.assert_allclose(found.probability, expected.probability, atol=0.02)
    np.testing.assert_array_equal(found.accepted, expected.accepted)

    def size(path):
        return sum(file.stat().st_size for file in pathlib.Path(path).iterdir())

    limit = size(path) - 400
    status, out, err = export(f"--max_megabytes={limit / 1e6}")
    kept, said, path = out.splitlines()
    assert status == 0 and re.fullmatch(compared, said)
    kept = re.fullmatch(r"(\d+) token ids and (\d+) n-grams are kept", kept)
    assert 0 < int(kept[1]) <= 40 and int(kept[2]) > 0
    assert limit - 500 < size(path) <= limit
    assert Predictor(path).labels == Predictor(exported.export).labels
    found = Predictor(path)(texts)
    np.testing.assert_allclose(found.probability, expected.probability, atol=0.05)
    status, out, err = export("--max_megabytes=0.01")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--max_megabytes: the smallest form takes 0.0" in err


def test_what_a_small_form_costs_is_measured_on_what_it_reads(tmp_path):
    run = UntrainedRun(tmp_path)
    texts = ["words wolfs a", "red reds", "b"]
    examples = examples_source("x", [Example("1", text) for text in texts])
    corpus = open_corpus(examples, "word", str(tmp_path / "cache"))
    ids = ids_of_types(corpus, TokenIds(SPECIAL_TOKENS))
    split = Split(corpus, np.arange(len(texts)), ids, np.zeros(1, np.int32), 40)
    export = run.export()
    content = (export / ONNX).read_bytes()
    found = small._outputs(run.run, parts_of(run.run), content, split, ["scores"])
    np.testing.assert_allclose(found[:, 0], Predictor(export)(texts).scores, rtol=1e-5)


@pytest.mark.parametrize("flag", ["--quantize=int8", "--max_megabytes=2"])
def test_a_saved_model_has_no_small_form(exported, capsys, flag):
    assert cli.run(["export", f"--run_dir={exported.path}", flag]) == 2
    assert f"{flag}: a SavedModel has no such form; expected --export_format" in (
        capsys.readouterr().err.replace(".0:", ":")
    )
