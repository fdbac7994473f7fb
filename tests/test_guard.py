"""The guard of strangers' SavedModels: files and sizes. Most models do harm without it."""

import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from tests.strangers_models import Text, edited, refusal, starting
from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor import guard
from tf_textrnn.predictor.predictor import Predictor

SECRET = "root:x:0:0\nnobody:x:1:1\n"


@pytest.fixture
def model(exported, tmp_path):
    """A copy of a model of ours."""
    return pathlib.Path(shutil.copytree(exported.export / "1", tmp_path / "model"))


def test_a_model_of_ours_passes(model):
    guard.check(model)
    assert Predictor(model).predict(["a wolf"]).shape == (1,)


def fill_from(path):
    return lambda table: tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=table, filename=path, key_index=-2, value_index=-1
    )


def test_files_that_the_graph_names_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    model = starting(fill_from(os.fspath(secret)), tmp_path / "model")
    tf.saved_model.load(str(model))  # it would read the file
    assert "reads a file that is not an asset of its own" in refusal(model)

    def restore(_):
        tf.raw_ops.RestoreV2(
            prefix=os.fspath(secret), tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
        )

    assert "'RestoreV2'" in refusal(starting(restore, tmp_path / "restoring"))
    read = starting(lambda _: tf.io.read_file(os.fspath(secret)), tmp_path / "reading")
    assert "'ReadFile'" in refusal(read)

    # An asset's path comes from the loader, and from nobody else.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def fill(path):
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        fill_from(path)(table)
        return 1

    module = Text()
    module.fill = fill
    assert "not an asset" in refusal(module.save(tmp_path / "given"))
    module = Text()
    module.outer = tf.function(lambda: fill(os.fspath(secret)), input_signature=[])
    assert "InitializeTableFromTextFileV2" in refusal(module.save(tmp_path / "called"))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../secret", "..", "a/b", "gs://bucket/file", "c:\\x", "", "a\0b"]
)
def test_asset_paths_stay_in_the_folder(model, name):
    with edited(model) as meta_graph:
        meta_graph.asset_file_def[0].filename = name
    assert f"its asset {name!r} is outside of its folder" in refusal(model)


def test_an_asset_outside_would_be_read(model, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    with edited(model) as meta_graph:
        for asset in meta_graph.asset_file_def:
            if asset.filename == "labels.txt":
                asset.filename = "../../secret"
    loaded = tf.saved_model.load(str(model))
    told = loaded.signatures["serving_default"](text=tf.constant(["a"]))["label"].numpy()[0]
    assert told.decode() in SECRET
    assert "is outside of its folder" in refusal(model)


@pytest.mark.parametrize("token_id", [99_999, -7, "many"])
def test_stems_of_words_that_are_none_are_one_line(model, token_id):
    (model / "assets" / "stems.txt").write_text(f"wolf\t{token_id}\n")
    with pytest.raises(UserError, match=r"cannot be run|not a model of this project"):
        Predictor(model).predict(["wolfs"])


@pytest.mark.parametrize(
    "name", ["assets/labels.txt", "variables/variables.index", "saved_model.pb", "assets", "extra"]
)
def test_links_are_refused(model, tmp_path, name):
    path, outside = model / name, tmp_path / "outside"
    if path.exists():
        path.rename(outside)
    path.symlink_to(outside)
    assert refusal(model) == (f"{path}: not loaded, expected a file or a folder, found a link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
def test_pipes_are_refused(model):
    (model / "assets" / "labels.txt").unlink()
    os.mkfifo(model / "assets" / "labels.txt")  # whoever reads it waits for ever
    assert "found something else" in refusal(model)


def test_sizes_are_bounded(model):
    for name, size, message in (
        ("saved_model.pb", guard.MAX_GRAPH_BYTES, "over 16,777,216 bytes"),
        ("assets.extra/classes.json", guard.MAX_GRAPH_BYTES, "over 16,777,216 bytes"),
        ("assets/labels.txt", guard.MAX_LINES_BYTES, "over 1,073,741,824 bytes"),
        ("variables/variables.index", guard.MAX_BYTES, "over 8,589,934,592 bytes"),
    ):
        path = model / name
        content = path.read_bytes() if path.exists() else b""
        with open(path, "wb") as file:
            file.truncate(size + 1)  # holes take no disk
        assert message in refusal(model)
        path.write_bytes(content)
    guard.check(model)
    for number in range(guard.MAX_ENTRIES):
        (model / "assets.extra" / str(number)).touch()
    assert "over 1,000 files and folders" in refusal(model)


def test_variables_are_no_larger_than_their_files(tmp_path):
    path = tmp_path / "model"
    module = Text()
    module.large = tf.Variable(tf.zeros([1_000_000]))
    module.save(path)
    guard.check(path)
    (data,) = (path / "variables").glob("variables.data-*")
    with open(data, "r+b") as file:
        file.truncate(1_000)
    assert "bytes, found 1,000" in refusal(path)


def test_constants_are_bounded(model):
    with edited(model) as meta_graph:
        tensor = meta_graph.graph_def.node.add(name="c", op="Const").attr["value"].tensor
        tensor.dtype = tf.float32.as_datatype_enum
        tensor.float_val.append(0.0)
        tensor.tensor_shape.dim.add(size=1 << 20)
    guard.check(model)
    for size in (1 << 40, -1):
        with edited(model) as meta_graph:
            tensor = meta_graph.graph_def.node[-1].attr["value"].tensor
            tensor.tensor_shape.dim[0].size = size
        assert "its constants take over 268,435,456 bytes" in refusal(model)


def test_damage_is_one_line(model):
    content = (model / "saved_model.pb").read_bytes()
    for damaged in (b"", b"\x08\x01", content[:-10], b"\xff" * 100, b"text"):
        (model / "saved_model.pb").write_bytes(damaged)
        with pytest.raises(UserError, match="not a model of this project"):
            Predictor(model)
