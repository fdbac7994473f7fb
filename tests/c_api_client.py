"""Runs a SavedModel through TensorFlow's C library alone: no Python code of TensorFlow.

    python tests/c_api_client.py LIBRARY MODEL < texts.json > scores.json

`TF_LoadSessionFromSavedModel` is the loader that servers use.
"""

import ctypes
import json
import math
import sys

FLOAT, STRING = 1, 7
STRING_SIZE = 24  # sizeof(TF_TString)


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def main(library: str, model: str) -> None:
    tf = ctypes.CDLL(library)
    for name in (
        "TF_NewStatus",
        "TF_NewGraph",
        "TF_NewSessionOptions",
        "TF_LoadSessionFromSavedModel",
        "TF_AllocateTensor",
        "TF_TensorData",
        "TF_GraphOperationByName",
    ):
        getattr(tf, name).restype = ctypes.c_void_p
    tf.TF_Message.restype = ctypes.c_char_p
    tf.TF_Dim.restype = ctypes.c_int64
    pointer = ctypes.c_void_p

    def check() -> None:
        if tf.TF_GetCode(status):
            sys.exit(tf.TF_Message(status).decode())

    status = pointer(tf.TF_NewStatus())
    graph = pointer(tf.TF_NewGraph())
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = pointer(
        tf.TF_LoadSessionFromSavedModel(
            pointer(tf.TF_NewSessionOptions()), None, model.encode(), tags, 1, graph, None, status
        )
    )
    check()

    texts = [text.encode() for text in json.load(sys.stdin)]
    dims = (ctypes.c_int64 * 1)(len(texts))
    tensor = pointer(
        tf.TF_AllocateTensor(STRING, dims, 1, ctypes.c_size_t(STRING_SIZE * len(texts)))
    )
    start = tf.TF_TensorData(tensor)
    for index, text in enumerate(texts):
        place = pointer(start + STRING_SIZE * index)
        tf.TF_StringInit(place)
        tf.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))

    def output(name: bytes, index: int) -> Output:
        return Output(tf.TF_GraphOperationByName(graph, name), index)

    # The names that saved_model_cli shows for a signature: text, and an output of floats.
    text_name, scores_name, scores_index = sys.argv[3:]
    inputs = (Output * 1)(output(text_name.encode(), 0))
    outputs = (Output * 1)(output(scores_name.encode(), int(scores_index)))
    fetched = (ctypes.c_void_p * 1)()
    tf.TF_SessionRun(
        session, None, inputs, (ctypes.c_void_p * 1)(tensor.value), 1,
        outputs, fetched, 1, None, 0, None, status,
    )  # fmt: skip
    check()
    result = pointer(fetched[0])
    assert tf.TF_TensorType(result) == FLOAT
    shape = [tf.TF_Dim(result, axis) for axis in range(tf.TF_NumDims(result))]
    values = (ctypes.c_float * math.prod(shape)).from_address(tf.TF_TensorData(result))
    json.dump({"shape": shape, "values": list(values)}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
