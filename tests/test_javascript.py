"""The encoder in JavaScript is held to the one in Python; node alone runs it, without a package."""

import base64
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from tests.onnx_exports import UntrainedRun
from tests.test_encoder import CONTEXTS, TOKENIZERS, characters, in_contexts
from tests.test_saved_model import hostile_texts
from tf_textrnn.exporting.encoder_tables import read_tables
from tf_textrnn.exporting.onnx_parts import packed_keys
from tf_textrnn.network.ngrams import ngram_keys
from tf_textrnn.predictor.onnx_run import TextModel
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.text import SPECIAL_TOKENS, tokenize

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "export" / "javascript"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

SCRIPT = """
import { readFileSync } from "node:fs";
const { makeEncoder } = await import(process.argv[2]);
const given = JSON.parse(readFileSync(0));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const encode = makeEncoder(given.settings, bytes(given.vocabulary), bytes(given.ngrams));
const found = encode(given.texts.map(bytes));
const plain = Object.entries(found).map(([name, { data, dims }]) => [name, [[...data], dims]]);
process.stdout.write(JSON.stringify(Object.fromEntries(plain)));
"""


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_encoder_in_javascript_finds_the_same_ids_and_ngrams(tmp_path, tokenizer):
    codes = [*range(0, 0x3000, 5), *range(0x3000, 0xD800, 99), *range(0xE000, 0x20000, 99)]
    texts = in_contexts(codes, CONTEXTS)
    texts += [
        b"",
        b" \n ",
        b"\xef\xbb\xbfa",
        b"\xf0\x9f\x98 \xed\xa0\x80",
        b"a" * (1 << 20) + b" b",
    ]
    texts += [*characters(range(0xD800, 0xD810)), *hostile_texts(300)]
    unknown = ["films", "filmingly", "𐐀𐐀𐐀𐐀𐐀𐐀𐐨", "беспокойства", "film2", "b" * 40, "watchings"]
    texts.append(" ".join(unknown).encode())
    tokens = tokenize(tf.constant(texts[:-1], tf.string), tokenizer, None).flat_values.numpy()
    known = ["filming", "film", "film1", "𐐨𐐨𐐨𐐨𐐨", "беспокойство", "b" * 41, "watch"]
    others = {name.encode() for name in known} | set(tokens.tolist())
    vocabulary = [*SPECIAL_TOKENS, *sorted(others)[::-2], *(name.encode() for name in known)]
    vocabulary = list(dict.fromkeys(vocabulary))
    settings = {"max_len": 60, "ngrams": 3, "vocab_size": len(vocabulary)}
    settings |= {"tokenizer": read_tables(tokenizer), "stem_unknown_words": tokenizer == "word"}
    ids = TextModel(settings, vocabulary, np.zeros(0), 2, None).inputs(texts)[0]["token_ids"]
    keys = np.unique(ngram_keys(ids, 3, len(vocabulary)))[1::2]  # the first is the padding's
    python = TextModel(settings, vocabulary, keys, 2, None)
    given = {
        "settings": settings,
        "vocabulary": base64.b64encode(b"".join(t + b"\n" for t in vocabulary)).decode(),
        "ngrams": base64.b64encode(packed_keys(keys)).decode(),
        "texts": [base64.b64encode(text).decode() for text in texts],
    }
    script = tmp_path / "run.mjs"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [NODE, script, FOLDER / "encoder.mjs"],
        input=json.dumps(given).encode(),
        capture_output=True,
    )
    assert done.stderr == b""
    found = json.loads(done.stdout)
    expected, is_cut = python.inputs(texts)
    if tokenizer == "word":
        read_as = ["film", "filming", "𐐨𐐨𐐨𐐨𐐨", "беспокойство", "[UNK]", "b" * 41, "[UNK]"]
        found_as = [vocabulary[i].decode() for i in expected["token_ids"][-1, : len(read_as)]]
        assert found_as == read_as
    assert is_cut.any() and (expected["token_ids"] > 1).any()
    assert (expected["ngram_rows"] < len(keys)).any()
    for name, array in expected.items():
        values, shape = found.pop(name)
        np.testing.assert_array_equal(np.reshape(np.array(values, np.int32), shape), array)
    assert not found


def test_javascript_answers_as_python(tmp_path):
    if subprocess.run([NODE, "-e", "require('onnxruntime-node')"], capture_output=True).returncode:
        pytest.skip("onnxruntime-node is not installed")
    kinds = [{"tokenizer": "char", "ngrams": 0}, {"multi_label": True, "thresholds": [0.5] * 3}]
    for number, kind in enumerate(kinds):
        folder = tmp_path / str(number)
        folder.mkdir()
        export = UntrainedRun(folder, **kind).export()
        texts = [t.decode("utf-8", "replace").replace("\n", " ") for t in hostile_texts(40)]
        texts = [text.replace("\r", " ").replace("\0", "") for text in texts]
        done = subprocess.run(
            [NODE, FOLDER / "predict.mjs", export],
            input="".join(f"{text}\n" for text in texts).encode(), capture_output=True,
        )  # fmt: skip
        assert done.stderr == b""
        lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
        predictor = Predictor(export)
        predictions = predictor(texts)
        labels = ["|".join(np.array(predictor.labels)[row]) or "?" for row in predictions.accepted]
        assert [line[0] for line in lines] == labels
        probability = [float(line[1]) for line in lines]
        np.testing.assert_allclose(probability, predictions.probability.max(axis=1), atol=1e-4)
