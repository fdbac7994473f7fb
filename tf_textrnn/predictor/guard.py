"""Whether a SavedModel does no more than compute, from its own files and no larger than they are.

A SavedModel is a program: a stranger's could read and write files as soon as it is loaded or run.
The ops below compute; `tests/test_export.py` holds every kind of model of this project to them.
What bounds the time and the memory of a run is not here: `docs/serving.md` says what the guard
protects from, and what a sandbox is for. Needs TensorFlow and the standard library.
"""

import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import MAX_LINES_BYTES

MAX_ENTRIES = 1_000  # files and folders
# Of saved_model.pb, which takes up to 60 times that in memory, and of any file but variables and
# assets. Eight layers of two directions are 3.4 MB and 11,429 nodes.
MAX_GRAPH_BYTES = 16 << 20
MAX_BYTES = 8 << 30  # of all files
LIMITS = {"variables": MAX_BYTES, "assets": MAX_LINES_BYTES}  # of a file, by its folder
MAX_NODES = 200_000  # of the graph with all its functions; of the object graph
MAX_CONSTANT_BYTES = 256 << 20  # as they lie in memory

COMPUTING_OPS = frozenset(
    """
    Abs AddN AddV2 All Any ArgMax BatchMatMulV2 BiasAdd BlockLSTMV2 Cast ConcatV2 Const Cumsum
    DenseBincount Einsum Equal Exp ExpandDims Fill FloorDiv FloorMod GatherNd GatherV2 Greater
    GreaterEqual Identity IdentityN LSTMBlockCellGrad Less LessEqual Log LogicalAnd LogicalNot
    LogicalOr LowerBound MatMul Max Maximum Mean Min Minimum Mul Neg NoOp NotEqual OneHot OnesLike
    Pack Pad ParseExampleV2 Placeholder Prod RaggedGather RaggedRange RaggedTensorToTensor Range
    RealDiv Relu Reshape ReverseSequence ReverseV2 Rsqrt SegmentSum Select SelectV2 Shape Sigmoid
    Size Softmax Split SplitV Sqrt Square Squeeze StaticRegexFullMatch StaticRegexReplace
    StopGradient StridedSlice StringJoin StringLength StringLower StringSplitV2 StringStrip Sub
    Substr Sum Tanh TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem
    TensorListStack TensorScatterUpdate Tile Transpose UnicodeDecode UnicodeEncode UnicodeTranscode
    Unique Unpack UnsortedSegmentMax UnsortedSegmentSum UpperBound Where ZerosLike
    If PartitionedCall StatefulPartitionedCall StatelessIf StatelessWhile While
    AssignVariableOp DisableCopyOnRead ReadVariableOp ResourceGather VarHandleOp
    VarIsInitializedOp HashTableV2 LookupTableFindV2
    """.split()  # noqa: SIM905
)
# In every SavedModel, to save and to restore it; nothing that Python loads or runs calls them.
CHECKPOINT_OPS = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})
FILE_OP = "InitializeTableFromTextFileV2"  # fills a table from one of the model's assets
# What the loader makes objects of: any other class that TensorFlow knows by name is refused.
CLASSES = frozenset({"", "tf.StaticHashTable", "tf.TrackableConstant"})
USER_OBJECTS = frozenset({"_generic_user_object", "signature_map", "trackable_list_wrapper"})
LEAVES = frozenset({"asset", "captured_tensor", "constant", "variable"})
PARENTS = frozenset({"bare_concrete_function", "function", "resource", "user_object"})


def check(model: pathlib.Path) -> None:
    """Refuses a SavedModel that could do more than compute, or be larger than its files.

    Args:
      model: the folder; nobody may change it until the model is loaded.

    Raises:
      UserError: what it could do.
      ValueError: `saved_model.pb` is not a SavedModel of TensorFlow 2.
    """
    check_files(model, lambda path: LIMITS.get(path.parent.name, MAX_GRAPH_BYTES))
    reason = _find_harm(_read_meta_graph(model)) or _find_false_sizes(model)
    if reason:
        raise UserError(f"{model}: not loaded, {reason}")


def check_files(model: pathlib.Path, limit_of: Callable[[pathlib.Path], int]) -> None:
    """Refuses links, and what is neither a file nor a folder, in a model's folder; bounds sizes.

    Args:
      model: the folder.
      limit_of: returns the most bytes that a file may have.

    Raises:
      UserError: what was found where.
    """
    num_entries = num_bytes = 0
    folders = [model]
    while folders:
        with os.scandir(folders.pop()) as scan:
            entries = list(itertools.islice(scan, MAX_ENTRIES + 1))
        num_entries += len(entries)
        if num_entries > MAX_ENTRIES:
            raise UserError(f"{model}: not loaded, over {MAX_ENTRIES:,} files and folders")
        for entry in entries:
            path = pathlib.Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
                continue
            if not entry.is_file(follow_symlinks=False):
                kind = "a link" if entry.is_symlink() else "something else"
                raise UserError(f"{path}: not loaded, expected a file or a folder, found {kind}")
            limit = limit_of(path)
            size = entry.stat(follow_symlinks=False).st_size
            num_bytes += size
            if size > limit or num_bytes > MAX_BYTES:
                raise UserError(f"{path}: not loaded, over {min(limit, MAX_BYTES):,} bytes")


def _read_meta_graph(model: pathlib.Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString((model / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ValueError("saved_model.pb is damaged") from error
    if len(saved_model.meta_graphs) != 1 or not saved_model.meta_graphs[0].HasField(
        "object_graph_def"
    ):
        raise ValueError("not a SavedModel of TensorFlow 2")
    return saved_model.meta_graphs[0]


def _find_harm(meta_graph: Any) -> str | None:
    """What a SavedModel could do beside computing; None where all is well."""
    library = meta_graph.graph_def.library
    objects = meta_graph.object_graph_def
    functions = {f.signature.name: f for f in library.function}
    nodes = meta_graph.graph_def.node
    num_nodes = len(nodes) + sum(len(f.node_def) for f in library.function)
    if max(num_nodes, len(objects.nodes)) > MAX_NODES:
        return f"over {MAX_NODES:,} nodes"
    if len(functions) != len(library.function):
        return "two functions have one name"
    for asset in meta_graph.asset_file_def:
        if not _is_file_name(asset.filename):
            return f"its asset {asset.filename!r} is outside of its folder"
    if reason := _find_harmful_object(objects):
        return reason
    savers = {
        meta_graph.saver_def.save_tensor_name.partition(":")[0],
        meta_graph.saver_def.restore_op_name,
    }
    if name := _find_user_of(savers, meta_graph):
        return f"{name!r} uses what saves it"
    # What the loader, a signature or a gradient may call, apart from what only the saver calls.
    roots = set(_named_by_objects(objects)) | set(meta_graph.meta_info_def.function_aliases)
    roots |= {gradient.gradient_func for gradient in library.registered_gradients}
    roots |= {gradient.gradient_func for gradient in library.gradient}
    roots |= set(_functions_in((node for node in nodes if node.name not in savers), functions))
    inner = _called_by(functions)
    called = _closure(roots, inner)
    called_by_functions = {callee for name in inner for callee in inner[name]}
    for name, body in [("", nodes), *((name, f.node_def) for name, f in functions.items())]:
        for node in body:
            if node.op in COMPUTING_OPS or node.op in functions:
                continue
            if node.op in CHECKPOINT_OPS and name and name not in called:
                continue
            if node.op == FILE_OP and name and name not in called_by_functions:
                if _reads_asset(node, functions[name], objects):
                    continue
                return f"its op {FILE_OP!r} reads a file that is not an asset of its own"
            return f"its op {node.op!r} does more than compute"
    if _constant_bytes(nodes, library) > MAX_CONSTANT_BYTES:
        return f"its constants take over {MAX_CONSTANT_BYTES:,} bytes"
    return None


def _is_file_name(name: str) -> bool:
    """Whether a name is that of a file in a folder, on every system."""
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


def _find_harmful_object(objects: Any) -> str | None:
    """What the loader would make of the object graph beside functions, variables and tables."""
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind not in LEAVES | PARENTS or (kind in LEAVES and node.children):
            return f"it holds an object of the kind {kind!r}, or with parts that such has not"
        identifier = node.user_object.identifier if kind == "user_object" else ""
        if node.registered_name not in CLASSES or (identifier and identifier not in USER_OBJECTS):
            return f"it holds an object of the class {node.registered_name or identifier!r}"
        if node.registered_saver or node.slot_variables:
            return "it holds an object that restores itself in a way of its own"
    for name in _named_by_objects(objects):
        # The loader makes up what it does not find here: a function that captures nothing.
        if name not in objects.concrete_functions and not _only_holds_tensors(name, objects):
            return f"its function {name!r} is not declared"
    return None


def _named_by_objects(objects: Any) -> Iterator[str]:
    """The names of all functions that the object graph names."""
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from _callable_names(node)
        if node.captured_tensor.concrete_function:
            yield node.captured_tensor.concrete_function


def _callable_names(node: Any) -> Iterator[str]:
    yield from node.function.concrete_functions
    if node.bare_concrete_function.concrete_function_name:
        yield node.bare_concrete_function.concrete_function_name


def _only_holds_tensors(name: str, objects: Any) -> bool:
    return all(name not in _callable_names(node) for node in objects.nodes)


def _find_user_of(savers: set[str], meta_graph: Any) -> str | None:
    """The first node, signature or collection that takes what the saver's nodes give."""
    for node in meta_graph.graph_def.node:
        if any(name.lstrip("^").partition(":")[0] in savers for name in node.input):
            return str(node.name)
    for name, signature in meta_graph.signature_def.items():
        for info in [*signature.inputs.values(), *signature.outputs.values()]:
            if info.name.partition(":")[0] in savers:
                return str(name)
    for name, collection in meta_graph.collection_def.items():
        if any(value.partition(":")[0] in savers for value in collection.node_list.value):
            return str(name)
    return None


def _called_by(functions: dict[str, Any]) -> dict[str, set[str]]:
    """For each function, those that its body names."""
    return {name: set(_functions_in(f.node_def, functions)) for name, f in functions.items()}


def _closure(roots: set[str], called_by: dict[str, set[str]]) -> set[str]:
    """These functions and all that they call, directly or through others."""
    reached: set[str] = set()
    waiting = [name for name in roots if name in called_by]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += called_by[name]
    return reached


def _functions_in(nodes: Iterable[Any], functions: dict[str, Any]) -> Iterator[str]:
    """The functions that these nodes name."""
    for node in nodes:
        names = [node.op]  # a function's name can stand in an op's place
        for value in node.attr.values():
            names += [value.func.name, *(function.name for function in value.list.func)]
        yield from (name for name in names if name in functions)


def _reads_asset(node: Any, function: Any, objects: Any) -> bool:
    """Whether the file that a node reads is an asset, which the loader hands to its function."""
    arguments = [argument.name for argument in function.signature.input_arg]
    name = function.signature.name
    if name not in objects.concrete_functions or node.input[1] not in arguments:
        return False
    bound = objects.concrete_functions[name].bound_inputs
    if len(bound) != len(arguments):  # the others are whatever a caller gives
        return False
    given = objects.nodes[bound[arguments.index(node.input[1])]]
    return bool(given.WhichOneof("kind") == "asset")


def _constant_bytes(nodes: Iterable[Any], library: Any) -> float:
    """The size of all constants in memory, where a file may say one value for a million."""
    total = 0.0
    for body in (nodes, *(function.node_def for function in library.function)):
        for node in body:
            for value in node.attr.values():
                if value.HasField("tensor"):
                    total += _tensor_bytes(value.tensor.dtype, value.tensor.tensor_shape)
    return total


def _tensor_bytes(dtype: int, shape: Any) -> float:
    import tensorflow as tf

    sizes = [dim.size for dim in shape.dim]
    if any(size < 0 for size in sizes):
        return math.inf
    return math.prod(sizes) * max(tf.as_dtype(dtype).size or 1, 1)


def _find_false_sizes(model: pathlib.Path) -> str | None:
    """Whether the variables claim to be larger than the files that hold them."""
    import tensorflow as tf

    folder = model / "variables"
    held = sum(path.stat().st_size for path in folder.glob("variables.data-*"))
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    dtypes = reader.get_variable_to_dtype_map()
    claimed = sum(
        math.prod(shape) * max(dtypes[name].size or 1, 1)
        for name, shape in reader.get_variable_to_shape_map().items()
    )
    return None if claimed <= held else f"its variables take {claimed:,} bytes, found {held:,}"
