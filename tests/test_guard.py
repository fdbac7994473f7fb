"""The guard of strangers' SavedModels: each is made for real, and most do harm without it."""

import os
import pathlib
import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor import guard
from tf_textrnn.predictor.predictor import Predictor

SECRET = "root:x:0:0\nnobody:x:1:1\n"


@pytest.fixture
def model(exported, tmp_path):
    """A copy of a model of ours."""
    return pathlib.Path(shutil.copytree(exported.export / "1", tmp_path / "model"))


class edited:  # noqa: N801 - a context manager
    """The MetaGraphDef of a model, written back after the block."""

    def __init__(self, model):
        self._path = model / "saved_model.pb"
        self._proto = saved_model_pb2.SavedModel()

    def __enter__(self):
        self._proto.ParseFromString(self._path.read_bytes())
        return self._proto.meta_graphs[0]

    def __exit__(self, *_):
        self._path.write_bytes(self._proto.SerializeToString())


def refusal(model):
    """What the guard says; the same comes from the command's way in."""
    with pytest.raises(UserError) as refused:
        guard.check(model)
    with pytest.raises(UserError) as at_load:
        Predictor(model)
    assert str(at_load.value) == str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


class Text(tf.Module):
    """Looks like a model of ours."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def predict(self, text):
        probability = tf.ones([tf.size(text), 2]) / 2
        return {"probability": probability, "prediction": tf.argmax(probability, 1)}

    def save(self, path):
        tf.saved_model.save(self, str(path), signatures={"serving_default": self.predict})
        return path


class Starting(tf.saved_model.experimental.TrackableResource):
    """A resource that does something as it is loaded."""

    def __init__(self, start):
        self._start = start
        super().__init__()

    def _create_resource(self):
        return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self):
        self._start(self.resource_handle)


def starting(start, path):
    """The SavedModel of a module that calls `start(table)` as it is loaded."""
    module = Text()
    module.resource = Starting(start)
    return module.save(path)


def save_v2(prefix):
    save = tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=["x"], shape_and_slices=[""], tensors=[1.0]
    )
    with tf.control_dependencies([save]):  # else nothing would run it
        tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)


def written(path):
    """Whether SaveV2 has written a checkpoint there."""
    return bool(list(path.parent.glob(path.name + "*")))


def test_a_model_of_ours_passes(model):
    guard.check(model)
    assert Predictor(model).predict(["a wolf"]).shape == (1,)


def test_what_saves_cannot_be_started_through_the_object_graph(tmp_path):
    target = tmp_path / "gotcha"
    model = starting(lambda _: save_v2(os.fspath(target)), tmp_path / "model")
    assert "its op 'SaveV2' does more than compute" in refusal(model)
    # The loader makes up the declaration that is missing: a walk around a guard that asks for it.
    with edited(model) as meta_graph:
        objects = meta_graph.object_graph_def
        (name,) = [name for name in objects.concrete_functions if "initializer" in name]
        del objects.concrete_functions[name]
        for index, node in enumerate(objects.nodes):
            if node.bare_concrete_function.concrete_function_name == name:
                node.bare_concrete_function.ClearField("function_spec")
                bare = index
        for node in objects.nodes:
            for child in node.children:
                if child.local_name == "_initialize":
                    child.node_id = bare
            if name in node.function.concrete_functions:
                node.user_object.identifier = "_generic_user_object"
        for function in meta_graph.graph_def.library.function:
            if function.signature.name == name:
                del function.signature.output_arg[:]
                function.ret.clear()
    assert "is not declared" in refusal(model)
    assert not written(target)
    tf.saved_model.load(str(model))  # what the guard keeps from happening
    assert written(target)


def saver_of(meta_graph):
    """The node that saves a model, and the function that it calls."""
    name = meta_graph.saver_def.save_tensor_name.partition(":")[0]
    (node,) = [node for node in meta_graph.graph_def.node if node.name == name]
    return node, node.attr["f"].func.name


def call_by_object(meta_graph):
    added = meta_graph.object_graph_def.nodes.add()
    added.bare_concrete_function.concrete_function_name = saver_of(meta_graph)[1]


def call_by_declared_object(meta_graph):
    call_by_object(meta_graph)
    declared = meta_graph.object_graph_def.concrete_functions
    declared[saver_of(meta_graph)[1]].CopyFrom(next(iter(declared.values())))


def call_by_captured_tensor(meta_graph):
    added = meta_graph.object_graph_def.nodes.add()
    added.captured_tensor.concrete_function = saver_of(meta_graph)[1]


def call_by_gradient(meta_graph):
    gradient = meta_graph.graph_def.library.registered_gradients.add()
    gradient.gradient_func, gradient.registered_op_type = saver_of(meta_graph)[1], "Sub"


def call_by_alias(meta_graph):
    meta_graph.meta_info_def.function_aliases[saver_of(meta_graph)[1]] = "alias"


def call_by_node(meta_graph):
    node, _ = saver_of(meta_graph)
    copy = meta_graph.graph_def.node.add()
    copy.CopyFrom(node)
    copy.name = "copy"


def call_by_function(meta_graph):
    node, _ = saver_of(meta_graph)
    name = next(iter(meta_graph.object_graph_def.concrete_functions))
    for function in meta_graph.graph_def.library.function:
        if function.signature.name == name:
            function.node_def.add().CopyFrom(node)


def use_by_node(meta_graph):
    node, _ = saver_of(meta_graph)
    meta_graph.graph_def.node.add(name="after", op="NoOp", input=[f"^{node.name}"])


def use_by_signature(meta_graph):
    output = meta_graph.signature_def["serving_default"].outputs["label"]
    output.name = meta_graph.saver_def.save_tensor_name


def use_by_start(meta_graph):
    node, _ = saver_of(meta_graph)
    meta_graph.collection_def["saved_model_main_op"].node_list.value[:] = [node.name]


def save_in_the_graph(meta_graph):
    meta_graph.graph_def.node.add(name="save", op="SaveV2")


def hide_a_function(meta_graph):
    copy = meta_graph.graph_def.library.function.add()
    copy.CopyFrom(meta_graph.graph_def.library.function[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (call_by_object, "is not declared"),
        (call_by_declared_object, "more than compute"),
        (call_by_captured_tensor, "more than compute"),
        (call_by_gradient, "more than compute"),
        (call_by_alias, "more than compute"),
        (call_by_node, "more than compute"),
        (call_by_function, "more than compute"),
        (use_by_node, "'after' uses what saves it"),
        (use_by_signature, "'serving_default' uses what saves it"),
        (use_by_start, "'saved_model_main_op' uses what saves it"),
        (save_in_the_graph, "its op 'SaveV2' does more than compute"),
        (hide_a_function, "two functions have one name"),
    ],
)
def test_nothing_else_reaches_what_saves_a_model(model, change, message):
    with edited(model) as meta_graph:
        change(meta_graph)
    assert message in refusal(model)


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
            asset.filename = "../../secret"
    loaded = tf.saved_model.load(str(model))
    told = loaded.signatures["serving_default"](text=tf.constant(["a"]))["label"].numpy()[0]
    assert told.decode() in SECRET
    assert "is outside of its folder" in refusal(model)


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


def add_nodes(meta_graph):
    for _ in range(guard.MAX_NODES + 1):
        meta_graph.graph_def.node.add()


def add_class(meta_graph):
    meta_graph.object_graph_def.nodes[3].registered_name = "Someone.Else"


def add_optimizer(meta_graph):
    meta_graph.object_graph_def.nodes.add().user_object.identifier = "optimizer"


def add_slot(meta_graph):
    meta_graph.object_graph_def.nodes[0].slot_variables.add(slot_name="x")


def add_saver(meta_graph):
    meta_graph.object_graph_def.nodes[0].registered_saver = "x"


def add_part_of_a_file(meta_graph):
    for node in meta_graph.object_graph_def.nodes:
        if node.WhichOneof("kind") == "asset":
            node.children.add(node_id=0, local_name="_path")


def add_nothing_known(meta_graph):
    meta_graph.object_graph_def.nodes.add()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_nodes, "over 200,000 nodes"),
        (add_class, "of the class 'Someone.Else'"),
        (add_optimizer, "of the class 'optimizer'"),
        (add_slot, "restores itself in a way of its own"),
        (add_saver, "restores itself in a way of its own"),
        (add_part_of_a_file, "with parts that such has not"),
        (add_nothing_known, "an object of the kind None"),
    ],
)
def test_what_the_loader_makes_of_a_model_is_known(model, change, message):
    with edited(model) as meta_graph:
        change(meta_graph)
    assert message in refusal(model)


def test_damage_is_one_line(model):
    content = (model / "saved_model.pb").read_bytes()
    for damaged in (b"", b"\x08\x01", content[:-10], b"\xff" * 100, b"text"):
        (model / "saved_model.pb").write_bytes(damaged)
        with pytest.raises(UserError, match="not a model of this project"):
            Predictor(model)
