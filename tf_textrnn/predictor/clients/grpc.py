"""A client of TF Serving's gRPC interface. Needs tensorflow-serving-api (the extra `serving`).

from tf_textrnn.predictor.clients.common import Target
from tf_textrnn.predictor.clients.grpc import GrpcClient

for prediction in GrpcClient(Target("localhost:8500")).predict(["a fine film"]):
    print(prediction.label, prediction.probability)
"""

from collections.abc import Callable
from typing import Any

from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.predictor.clients.common import (
    Client,
    ClientError,
    Patience,
    Prediction,
    Target,
    UnavailableError,
    VersionStatus,
    main,
)

tf = load_tensorflow()

try:
    import grpc
    from tensorflow.core.framework import types_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError as error:
    raise SystemExit(f"error: {error}; expected `pip install tensorflow-serving-api`") from error

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # a server that is back is noticed
]


class GrpcClient(Client):
    """Talks gRPC, over one channel; `Client` has the methods."""

    def __init__(self, target: Target, patience: Patience | None = None, batch_size: int = 32):
        super().__init__(target, patience, batch_size)
        self._channel = grpc.insecure_channel(target.server, CHANNEL_OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def _predict(self, texts: list[str]) -> list[Prediction]:
        request = predict_pb2.PredictRequest(output_filter=["label", "probability"])
        self._address(request.model_spec, "serving_default")
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([text.encode() for text in texts]))
        outputs = self._ask(self._prediction.Predict, request).outputs
        labels = tf.make_ndarray(outputs["label"]).tolist()
        probability = tf.make_ndarray(outputs["probability"]).tolist()
        return self._check_count(
            [
                Prediction(label.decode(), max(row), row)
                for label, row in zip(labels, probability, strict=True)
            ],
            texts,
        )

    def _classify(self, texts: list[str]) -> list[dict[str, float]]:
        request = classification_pb2.ClassificationRequest()
        self._address(request.model_spec, "classify")
        for text in texts:
            example = request.input.example_list.examples.add()
            example.features.feature["text"].bytes_list.value.append(text.encode())
        result = self._ask(self._prediction.Classify, request).result
        return self._check_count(
            [{c.label: c.score for c in one.classes} for one in result.classifications], texts
        )

    def _status(self) -> list[VersionStatus]:
        request = get_model_status_pb2.GetModelStatusRequest()
        self._address(request.model_spec)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(v.version, states.Name(v.state), v.status.error_message)
            for v in self._ask(self._model.GetModelStatus, request).model_version_status
        ]

    def _metadata(self) -> dict[str, Any]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._address(request.model_spec)
        answer = self._ask(self._prediction.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
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

    def _ask(self, call: Callable[..., Any], request: Any) -> Any:
        """The server's answer to one request."""
        try:
            return call(request, timeout=self.patience.timeout)
        except grpc.RpcError as error:
            code, details = error.code(), " ".join((error.details() or "").split())
            message = f"{self.target.server}: {code.name}: {details}"
            if code is grpc.StatusCode.UNAVAILABLE:
                raise UnavailableError(message) from error
            raise ClientError(message) from error


def _tensor(info: Any) -> str:
    sizes = [dim.size for dim in info.tensor_shape.dim]
    return f"{types_pb2.DataType.Name(info.dtype)}{sizes}"


if __name__ == "__main__":
    main(GrpcClient, "python -m tf_textrnn.predictor.clients.grpc", 8500)
