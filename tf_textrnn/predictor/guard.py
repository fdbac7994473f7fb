"""Whether a SavedModel is made of harmless ops only. Needs TensorFlow and the standard library.

A SavedModel is a program: a stranger's could write files as soon as it is loaded or run. The ops
below compute; `tests/test_export.py` holds every kind of model of this project to them.
"""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

COMPUTING_OPS = frozenset(
    """
    Abs AddN AddV2 All Any ArgMax BatchMatMulV2 BiasAdd BlockLSTMV2 Cast ConcatV2 Const Cumsum
    DenseBincount Einsum Equal Exp ExpandDims Fill FloorDiv FloorMod GatherNd GatherV2 Greater
    GreaterEqual Identity IdentityN LSTMBlockCellGrad Less LessEqual Log LogicalAnd LogicalNot
    LogicalOr LowerBound MatMul Max Maximum Mean Min Minimum Mul Neg NoOp NotEqual OneHot OnesLike
    Pack Pad ParseExampleV2 Placeholder Prod RaggedGather RaggedRange RaggedTensorToTensor Range
    RealDiv Reshape ReverseSequence ReverseV2 Rsqrt SegmentSum Select SelectV2 Shape Sigmoid Size
    Softmax Split SplitV Sqrt Square Squeeze StaticRegexFullMatch StaticRegexReplace StopGradient
    StridedSlice StringJoin StringLower StringSplitV2 StringStrip Sub Substr Sum Tanh
    TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack Tile
    Transpose UnicodeDecode UnicodeEncode UnicodeTranscode Unique Unpack UnsortedSegmentMax
    UnsortedSegmentSum UpperBound Where ZerosLike
    If PartitionedCall StatefulPartitionedCall StatelessIf StatelessWhile While
    AssignVariableOp DisableCopyOnRead ReadVariableOp ResourceGather RestoreV2 VarHandleOp
    VarIsInitializedOp HashTableV2 InitializeTableFromTextFileV2 LookupTableFindV2
    """.split()  # noqa: SIM905
)
# In every SavedModel, to save it again; nothing that loads or runs a model calls them.
SAVING_OPS = frozenset({"MergeV2Checkpoints", "SaveV2", "ShardedFilename"})


def find_harmful_op(model: pathlib.Path) -> str | None:
    """The first op of a SavedModel that does more than compute; None where all is well.

    Args:
      model: the folder.

    Raises:
      ValueError: `saved_model.pb` is not a SavedModel of TensorFlow 2.
    """
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
    meta_graph = saved_model.meta_graphs[0]
    saver = meta_graph.saver_def.save_tensor_name.partition(":")[0]
    functions = {f.signature.name: f.node_def for f in meta_graph.graph_def.library.function}
    nodes = meta_graph.graph_def.node
    # What the loader or a signature may call, apart from what only the saver calls.
    called = set(meta_graph.object_graph_def.concrete_functions) | _called_by(
        (node for node in nodes if node.name != saver), functions
    )
    called |= _called_by((node for name in called for node in functions.get(name, ())), functions)
    for name, body in [("", nodes), *functions.items()]:
        allowed = COMPUTING_OPS if name in called else COMPUTING_OPS | SAVING_OPS
        for node in body:
            if node.op not in allowed and node.op not in functions:
                return str(node.op)
    return None


def _called_by(nodes: Iterable[Any], functions: dict[str, Any]) -> set[str]:
    """The names of all functions that these nodes call, directly or through others."""
    called: set[str] = set()
    waiting = list(nodes)
    while waiting:
        for name in _names_in(waiting.pop()):
            if name in functions and name not in called:
                called.add(name)
                waiting += functions[name]
    return called


def _names_in(node: Any) -> Iterator[str]:
    yield node.op  # a function's name can stand in an op's place
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)
