"""Strangers' ONNX exports, and damaged ones, are refused in one line before they are loaded."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_exports import UntrainedRun, edited_graph, edited_settings
from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor import onnx_guard
from tf_textrnn.predictor.predictor import Predictor


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An export of ours."""
    return UntrainedRun(tmp_path_factory.mktemp("onnx"), tokenizer="char").export()


@pytest.fixture
def export(whole, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(whole, tmp_path / "export")


@pytest.fixture
def refusal(export, capsys, monkeypatch):
    """Returns what the command says of the copy, which ONNX Runtime never sees."""

    def refused(loads: bool = False) -> str:
        with monkeypatch.context() as patch:
            if not loads:
                patch.setattr(onnxruntime, "InferenceSession", None)
            assert cli.run(["predict", f"--model={export}", "a text"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith(f"error: {export}")
        return err.removeprefix("error: ").removeprefix(str(export)).rstrip()

    return refused


def if_op() -> onnx.NodeProto:
    graph = helper.make_graph([], "branch", [], [])
    return helper.make_node("If", ["has_steps"], ["x"], then_branch=graph, else_branch=graph)


def add_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("f", "Add", ["a"], ["b"], [], []))


def add_external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def embedding(model: onnx.ModelProto) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == "embedding")


def declare_more(model: onnx.ModelProto) -> None:
    embedding(model).dims[0] = 1 << 40


def declare_less_than_nothing(model: onnx.ModelProto) -> None:
    embedding(model).dims[0] = -1


def add_constant(**options):
    def add(model: onnx.ModelProto) -> None:
        tensor = numpy_helper.from_array(np.zeros(1), "x")
        for name, value in options.items():
            setattr(tensor, name, value)
        model.graph.initializer.append(tensor)

    return add


def add_node(node: onnx.NodeProto):
    return lambda model: model.graph.node.append(node)


def set_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def set_metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="ort_config", value="{}")


def set_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 21


def add_opset(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="custom", version=13)


FLOAT_CONSTANT = helper.make_node("Constant", [], ["x"], value_float=1.0)
TENSOR_IN_AN_OP = helper.make_node(
    "Identity", ["lengths"], ["x"], value=numpy_helper.from_array(np.zeros(1, np.float32))
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_node(if_op()), "it holds a graph in an op, as loops have"),
        (add_node(helper.make_node("Loop", [], ["x"])), "its op 'Loop' is none of those"),
        (add_node(helper.make_node("ImageDecoder", ["a"], ["x"])), "its op 'ImageDecoder'"),
        (add_node(FLOAT_CONSTANT), "its op 'Constant'"),
        (add_node(TENSOR_IN_AN_OP), "it holds a tensor in an op"),
        (set_domain, "its op 'com.microsoft."),
        (add_function, "it holds functions"),
        (set_metadata, "it holds field 14 of a model"),
        (add_external_data, "it holds a tensor in a file of its own"),
        (declare_more, "its constant 'embedding' takes 17,592,186,044,416 bytes, found 288"),
        (declare_less_than_nothing, "its constant 'embedding' takes "),
        (add_constant(), "its constant 'x' is of the type 11"),
        (add_constant(doc_string="x"), "it holds field 12 of a tensor"),
        (set_opset, "expected ops of opset 13, found '' 21"),
        (add_opset, "expected ops of opset 13, found 'custom' 13"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_onnx_file_that_is_not_of_our_kind(export, refusal, change, message):
    with edited_graph(export) as model:
        change(model)
    assert refusal().startswith(f"/model.onnx: not loaded, {message}")


def flatbuffer(content: bytes) -> bytes:
    """The same model as protobuf; ONNX Runtime would take it for one in its own format."""
    model = onnx.load_from_string(content)
    model.ClearField("producer_name")
    return b"\x12\x06xxORTM" + model.SerializeToString()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "cut, or damaged"),
        (lambda content: b"\xff" * 100, "cut, or damaged"),
        (lambda content: b"\x0b" + content, "damaged at byte 1"),
        (lambda content: b"<html>", "damaged at byte 1"),
        (lambda content: content + b"\x3a\x00", "graph of a model stands there twice"),
        (lambda content: content + b"\x08" * 2, "ir_version of a model stands there twice"),
        (lambda content: b"\x0a\x00" + content, "ir_version of a model is not of the kind"),
        (lambda content: content + b"\x42\x00" * 100_000, "over 100,000 fields"),
    ],
)
def test_a_file_that_others_would_read_otherwise(export, refusal, change, message):
    content = (export / "model.onnx").read_bytes()
    (export / "model.onnx").write_bytes(change(content))
    with edited_settings(export):
        pass
    assert refusal().startswith(f"/model.onnx: not loaded, {message}")


def test_a_file_in_onnx_runtimes_own_format_is_never_taken_for_one(export):
    content = flatbuffer((export / "model.onnx").read_bytes())
    (export / "model.onnx").write_bytes(content)
    with edited_settings(export):
        pass
    with pytest.raises(
        onnxruntime.capi.onnxruntime_pybind11_state.Fail, match="ORT model verification failed"
    ):
        onnxruntime.InferenceSession(content)
    assert Predictor(export).predict(["a"]).shape == (1,)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_damaged_the_guard_answers_in_one_line(whole, data):
    content = bytearray((whole / "model.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        onnx_guard.check(whole, bytes(content))
    except UserError as error:
        assert "\n" not in str(error)
    else:  # what it lets pass is what others read
        onnx.load_from_string(bytes(content))


@pytest.mark.parametrize("name", ["model.onnx", "vocabulary.txt", "labels.txt", "ngrams.bin"])
def test_a_file_that_is_missing_or_of_another_model(export, refusal, name):
    content = (export / name).read_bytes()
    for wrong in (content[:-1], content + b"\n", b""):
        (export / name).write_bytes(wrong)
        assert refusal() == (
            f"/{name}: not loaded, it is cut, changed or of another model than model.json"
        )
    (export / name).unlink()
    assert refusal() == f"/{name}: missing; expected an export with all of its files"
    (export / name).symlink_to("/dev/zero")
    assert refusal() == f"/{name}: not loaded, expected a file or a folder, found a link"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "damaged ("),
        ("{", "damaged ("),
        ("[" * 100_000, "damaged ("),
        ("[]", "expected a format from 1 to 1, found None"),
        ('{"format": "1"}', "expected a format from 1 to 1, found '1'"),
        ('{"format": 9}', "its format is 9, which a newer tf_textrnn wrote"),
        ('{"format": 1}', "damaged (multi_label is None)"),
    ],
)
def test_damaged_settings(export, refusal, content, message):
    (export / "model.json").write_text(content)
    assert refusal().startswith(f"/model.json: {message}")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_len", 0, "/model.json: damaged (max_len or ngrams are out of range)"),
        ("ngrams", 5, "/model.json: damaged (max_len or ngrams are out of range)"),
        ("sha256", {}, "/model.onnx: not loaded, it is cut"),
        ("vocab_size", 3, "/vocabulary.txt: 18 tokens, expected 3"),
        ("tokenizer", {}, "/model.json: tokenizer None: expected word or char"),
        ("tokenizer", {"name": "char", "spaces": ["a"]}, "/model.json: tokenizer table spaces: "),
        ("classes", [1], ": 1 values, expected 3"),
    ],
)
def test_settings_that_do_not_fit(export, refusal, name, value, message):
    found = json.loads((export / "model.json").read_bytes())
    (export / "model.json").write_text(json.dumps({**found, name: value}))
    assert refusal(loads=name in ("tokenizer", "classes")).startswith(message)


def test_keys_of_ngrams_are_checked(export, refusal):
    keys = export / "ngrams.bin"
    known = keys.read_bytes()
    endless, large = b"\x80" * 9 + b"\x01", b"\xff" * 8 + b"\x7f" + b"\x7f"
    for wrong in (known[:-1] + b"\x80", b"", endless, large, b"\0", known + b"\0"):
        keys.write_bytes(wrong)
        with edited_settings(export):
            pass
        assert refusal() == "/ngrams.bin: damaged; expected the keys of n-grams, ascending"


def test_files_that_fit_their_hashes_and_not_the_graph(export, refusal):
    labels, vocabulary, keys = (
        export / name for name in ("labels.txt", "vocabulary.txt", "ngrams.bin")
    )

    def refused_with(path, content):
        whole = path.read_bytes()
        path.write_bytes(content)
        with edited_settings(export) as found:
            found["vocab_size"] = len(vocabulary.read_bytes().splitlines())
        said = refusal(loads=True)
        path.write_bytes(whole)
        return said

    assert refused_with(labels, labels.read_bytes() + b"more\n") == ": 4 labels, expected 3"
    more = refused_with(vocabulary, vocabulary.read_bytes() + b"more\n")
    assert more.startswith(": cannot be run (")
    more = refused_with(keys, keys.read_bytes() + b"\x01")
    assert more.startswith(": cannot be run (")
    with edited_settings(export):
        pass
    Predictor(export)  # as it was
    with edited_graph(export) as model:
        model.graph.output.pop(0)
    assert refusal(loads=True) == (
        "/model.onnx: expected the outputs prediction, probability, accepted, scores"
    )
    with edited_settings(export) as found:
        found["ngrams"] = 0
    assert refusal(loads=True) == "/model.onnx: expected the inputs token_ids, lengths"


def test_sizes_are_bounded(export, refusal):
    for name, size in (("model.onnx", 1 << 31), ("model.json", 1 << 24), ("x.txt", 1 << 24)):
        path = export / name
        content = path.read_bytes() if path.exists() else b""
        with open(path, "wb") as file:
            file.truncate(size + 1)  # holes take no disk
        assert refusal() == f"/{name}: not loaded, over {size:,} bytes"
        path.write_bytes(content)
    Predictor(export)


def test_a_folder_with_half_an_export(export, tmp_path, refusal):
    (export / "model.json").unlink()
    assert refusal() == "/model.json: missing; expected an export with all of its files"
    (export / "model.onnx").unlink()
    with pytest.raises(UserError, match="found another folder; expected the folder of a run"):
        Predictor(export)
