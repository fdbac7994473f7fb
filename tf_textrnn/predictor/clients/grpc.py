"""A client of TF Serving's gRPC interface. Needs tensorflow-serving-api (the extra `serving`).

from tf_textrnn.predictor.clients.common import Target
from tf_textrnn.predictor.clients.grpc import GrpcClient

for prediction in GrpcClient(Target("localhost:8500")).predict(["a fine film"]):
    print(prediction.label, prediction.probability)
"""

import os
import pathlib
from typing import Any

from tf_textrnn.base import invocation
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.predictor.clients import answers
from tf_textrnn.predictor.clients.answers import AnswerError, Prediction, VersionStatus
from tf_textrnn.predictor.clients.common import (
    MAX_ANSWER_BYTES,
    PORTS,
    Client,
    ClientError,
    Patience,
    Target,
    UnavailableError,
    shortened,
)

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say comes as an error
tf = load_tensorflow()

try:
    import grpc
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        predict_pb2,
    )
except ImportError as error:
    install = invocation.other_program("pip", "install", "tensorflow-serving-api")
    raise UserError(f"{error}; to mend this: {install}") from error

MAX_RANK = 254  # of a tensor
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),  # before and after decompression
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # a server that is back is noticed
]


class GrpcClient(Client):
    """Talks gRPC, over one channel; `Client` has the methods.

    Raises:
      UserError: a target that cannot be asked.
    """

    def __init__(self, target: Target, patience: Patience | None = None, batch_size: int = 32):
        super().__init__(target, patience, batch_size)
        self._bearer = [("authorization", f"Bearer {target.token}")] if target.token else []
        host, port = target.address(PORTS["grpc"])
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if target.tls:
            target.trust()  # for the error, if `ca_file` holds no certificates
            roots = pathlib.Path(target.ca_file).read_bytes() if target.ca_file else None
            credentials = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.secure_channel(address, credentials, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)

    def close(self) -> None:
        self._channel.close()

    def _predict(self, texts: list[str]) -> list[Prediction]:
        # Without an output_filter: a server's batching knows whole signatures only.
        request = predict_pb2.PredictRequest()
        self._address(request.model_spec, "serving_default")
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([text.encode() for text in texts]))
        answer = self._ask("PredictionService/Predict", request, predict_pb2.PredictResponse)
        labels = _values(answer.outputs["label"], types_pb2.DT_STRING, rank=1)
        probability = _values(answer.outputs["probability"], types_pb2.DT_FLOAT, rank=2)
        if len(labels) != len(probability):
            raise AnswerError(f"{len(labels)} labels, and probabilities of {len(probability)}")
        accepted: list[Any] = [None] * len(labels)
        if "accepted" in answer.outputs:
            accepted = _values(answer.outputs["accepted"], types_pb2.DT_BOOL, rank=2)
        if len(labels) != len(accepted):
            raise AnswerError(f"{len(labels)} labels, and accepted ones of {len(accepted)}")
        names = [label.decode("utf-8", "replace") for label in labels]
        return answers.predictions(zip(names, probability, accepted, strict=True), len(texts))

    def _classify(self, texts: list[str]) -> list[dict[str, float]]:
        request = classification_pb2.ClassificationRequest()
        self._address(request.model_spec, "classify")
        for text in texts:
            example = request.input.example_list.examples.add()
            example.features.feature["text"].bytes_list.value.append(text.encode())
        answer = self._ask(
            "PredictionService/Classify", request, classification_pb2.ClassificationResponse
        )
        return answers.classifications(
            [[(c.label, c.score) for c in one.classes] for one in answer.result.classifications],
            len(texts),
        )

    def _status(self) -> list[VersionStatus]:
        request = get_model_status_pb2.GetModelStatusRequest()
        self._address(request.model_spec)
        answer = self._ask(
            "ModelService/GetModelStatus", request, get_model_status_pb2.GetModelStatusResponse
        )
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            answers.version_status(v.version, _enum_name(states, v.state), v.status.error_message)
            for v in answer.model_version_status
        ]

    def _metadata(self) -> dict[str, Any]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec)
        answer = self._ask(
            "PredictionService/GetModelMetadata",
            request,
            get_model_metadata_pb2.GetModelMetadataResponse,
        )
        packed = answer.metadata["signature_def"]
        signatures = _parse(get_model_metadata_pb2.SignatureDefMap, packed.value)
        return {
            name: {
                "method": signature.method_name,
                "inputs": {k: _tensor(v) for k, v in signature.inputs.items()},
                "outputs": {k: _tensor(v) for k, v in signature.outputs.items()},
            }
            for name, signature in signatures.signature_def.items()
        }

    def _address(self, model_spec: Any, signature: str = "") -> None:
        model_spec.name = self.target.model
        model_spec.signature_name = signature
        if self.target.version is not None:
            model_spec.version.value = self.target.version
        elif self.target.version_label:
            model_spec.version_label = self.target.version_label

    def _ask(self, method: str, request: Any, answer: type[Any]) -> Any:
        """The server's answer to one request, a message of this type.

        gRPC hands over bytes: it would log a traceback of those that are no message.
        """
        call = self._channel.unary_unary(f"/tensorflow.serving.{method}")
        try:
            content = call(
                request.SerializeToString(), timeout=self.patience.timeout, metadata=self._bearer
            )
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise self._late() from error
            message = f"{self.target.server}: {code.name}: {shortened(details)}"
            is_refused = "CERTIFICATE_VERIFY_FAILED" in details
            if code is grpc.StatusCode.UNAVAILABLE and not is_refused:
                raise UnavailableError(message) from error
            raise ClientError(message) from error
        return _parse(answer, content)


def _parse(message: type[Any], content: bytes) -> Any:
    try:
        return message.FromString(content)
    except DecodeError as error:
        raise AnswerError(f"expected a {message.DESCRIPTOR.name}, found other bytes") from error


def _values(tensor: Any, dtype: int, rank: int) -> list[Any]:
    """The values of a tensor, as lists.

    Raises:
      AnswerError: it is of another type or rank, or is larger than what carries it.
    """
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype != dtype or len(sizes) != rank or tensor.tensor_shape.unknown_rank:
        raise AnswerError(f"expected a tensor of rank {rank}, found {_tensor(tensor)}")
    # A tensor may say its last value once for all that follow.
    values = 1
    for size in sizes:
        values *= size
    if min(sizes) < 0 or values * 4 > MAX_ANSWER_BYTES:
        raise AnswerError(f"expected a smaller tensor, found {_tensor(tensor)}")
    carried = (tensor.string_val, tensor.float_val, tensor.bool_val, tensor.tensor_content)
    if values and not any(carried):
        raise AnswerError(f"a tensor {_tensor(tensor)} without values")
    try:
        found: list[Any] = tf.make_ndarray(tensor).tolist()
    except (TypeError, ValueError) as error:
        raise AnswerError(f"a tensor {_tensor(tensor)} with other values") from error
    return found


def _tensor(info: Any) -> str:
    sizes = [dim.size for dim in info.tensor_shape.dim[:MAX_RANK]]
    return f"{_enum_name(types_pb2.DataType, info.dtype)}{sizes}"


def _enum_name(enum: Any, number: int) -> str:
    """The name of an enum's value; its number where it is of no version that we know."""
    return str(enum.Name(number)) if number in enum.values() else str(number)
