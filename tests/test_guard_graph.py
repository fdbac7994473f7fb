"""The guard of strangers' SavedModels: what the loader would call and make."""

import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from tests.strangers_models import edited, refusal, starting
from tf_textrnn.predictor import guard


@pytest.fixture
def model(exported, tmp_path):
    """A copy of a model of ours."""
    return pathlib.Path(shutil.copytree(exported.export / "1", tmp_path / "model"))


def save_v2(prefix):
    save = tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=["x"], shape_and_slices=[""], tensors=[1.0]
    )
    with tf.control_dependencies([save]):  # else nothing would run it
        tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)


def written(path):
    """Whether SaveV2 has written a checkpoint there."""
    return bool(list(path.parent.glob(path.name + "*")))


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


def call_what_fills_a_table(meta_graph):
    """Gives it another file than the asset that the loader hands it."""
    functions = meta_graph.graph_def.library.function
    (name, *_) = [
        f.signature.name for f in functions
        if any(node.op == guard.FILE_OP for node in f.node_def)
    ]  # fmt: skip
    caller = next(f for f in functions if f.signature.name != name)
    caller.node_def.add(name="fill", op="PartitionedCall").attr["f"].func.name = name


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
        (call_what_fills_a_table, "'InitializeTableFromTextFileV2' does more than compute"),
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
