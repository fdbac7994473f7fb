"""Serves a SavedModel through TF Serving's two interfaces in Python, for tests on loopback.

    python tests/serving_process.py MODEL GRPC_PORT REST_PORT

It prints "serving" once it listens. The gRPC side stands on the real stubs; the REST side takes
and gives the same JSON, and tells what TF Serving refuses by its status.
"""

import base64
import http.server
import json
import re
import sys
import threading
from concurrent import futures

from tf_textrnn.base.startup import load_tensorflow

load_tensorflow()

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

NAME, VERSIONS, LABELS = "textrnn", (1,), {"stable": 1}


class NotFoundError(Exception):
    """The model or version is not served."""


class InvalidError(Exception):
    """The request is none."""


class Model:
    """Answers the requests of both interfaces."""

    def __init__(self, path):
        self._model = tf.saved_model.load(path)
        saved_model = saved_model_pb2.SavedModel()
        with open(f"{path}/saved_model.pb", "rb") as file:
            saved_model.ParseFromString(file.read())
        self.signature_defs = saved_model.meta_graphs[0].signature_def

    def find(self, name, version=None, label=""):
        if label and label not in LABELS:
            raise InvalidError(f"Unrecognized servable version label: {label}")
        if name != NAME or (version or LABELS[label or "stable"]) not in VERSIONS:
            raise NotFoundError(f"Servable not found for request: {name} {version}")

    def run(self, signature, **inputs):
        return {k: v.numpy() for k, v in self._model.signatures[signature](**inputs).items()}

    def classify(self, examples):
        inputs = tf.constant([example.SerializeToString() for example in examples])
        outputs = self.run("classify", inputs=inputs)
        return [
            [(label.decode(), float(score)) for label, score in zip(labels, scores, strict=True)]
            for labels, scores in zip(outputs["classes"], outputs["scores"], strict=True)
        ]

    def status(self):
        status = get_model_status_pb2.GetModelStatusResponse()
        for version in VERSIONS:
            status.model_version_status.add(version=version, state="AVAILABLE")
        return status

    def metadata(self):
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = NAME
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        answer.metadata["signature_def"].Pack(signatures)
        return answer


class GrpcServices(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """PredictionService and ModelService."""

    def __init__(self, model):
        self._model = model

    def _find(self, spec, context):
        try:
            version = spec.version.value if spec.HasField("version") else None
            self._model.find(spec.name, version, spec.version_label)
        except NotFoundError as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except InvalidError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def Predict(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        outputs = self._model.run(request.model_spec.signature_name, **inputs)
        response = predict_pb2.PredictResponse()
        for name in request.output_filter or outputs:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
        return response

    def Classify(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        response = classification_pb2.ClassificationResponse()
        for answer in self._model.classify(request.input.example_list.examples):
            classes = response.result.classifications.add().classes
            for label, score in answer:
                classes.add(label=label, score=score)
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        return self._model.metadata()

    def GetModelStatus(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        return self._model.status()


class RestHandler(http.server.BaseHTTPRequestHandler):
    """/v1/models/NAME[/versions/N|/labels/L][:predict|:classify|/metadata]."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    model: Model

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(self._told)

    def do_POST(self):
        self._answer(self._asked)

    def _answer(self, find):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        try:
            status, answer = 200, find(body)
        except NotFoundError as error:
            status, answer = 404, {"error": str(error)}
        except (InvalidError, KeyError, ValueError, TypeError, AttributeError, IndexError,
                tf.errors.InvalidArgumentError) as error:  # fmt: skip
            status, answer = 400, {"error": str(error)}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _find(self, pattern):
        match = re.fullmatch(PATH + pattern, self.path)
        if not match:
            raise InvalidError(f"Malformed request: {self.path}")
        version = int(match["version"]) if match["version"] else None
        self.model.find(match["name"], version, match["label"] or "")
        return match

    def _asked(self, body):
        verb = self._find(":(?P<verb>predict|classify)")["verb"]
        document = json.loads(body)
        signature = document.get("signature_name", "serving_default")
        if verb == "classify":
            if signature != "classify":
                raise InvalidError(f"not of the method classify: {signature}")
            context = document.get("context", {})
            examples = [example_of({**context, **given}) for given in listed(document["examples"])]
            return {"results": self.model.classify(examples)}
        is_columnar = "inputs" in document
        if is_columnar == ("instances" in document):
            raise InvalidError("expected one of inputs and instances")
        if is_columnar:
            given = document["inputs"]
            texts = given["text"] if isinstance(given, dict) else given
        else:
            rows = listed(document["instances"])
            texts = [row["text"] if is_named(row) else row for row in rows]
            if len({is_named(row) for row in rows}) > 1:
                raise InvalidError("objects and values in one list")
        texts = tf.constant([bytes_of(text) for text in texts], tf.string)
        outputs = self.model.run(signature, text=texts)
        outputs["label"] = outputs["label"].astype(str)
        columns = {key: value.tolist() for key, value in outputs.items()}
        if is_columnar:
            return {"outputs": columns}
        rows = zip(*columns.values(), strict=True)
        return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}

    def _told(self, _):
        wants_metadata = bool(self._find("(?P<part>/metadata)?")["part"])
        message = self.model.metadata() if wants_metadata else self.model.status()
        answer = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        if not wants_metadata:
            for status in answer["model_version_status"]:
                status.setdefault("status", {"error_code": "OK", "error_message": ""})
        return answer


PATH = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"


def listed(value):
    if not isinstance(value, list) or not value:
        raise InvalidError("expected a list with something in it")
    return value


def is_named(value):
    return isinstance(value, dict) and "b64" not in value


def bytes_of(value):
    """A text or a base64 object as bytes, and lists of them."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return list(map(bytes_of, value)) if isinstance(value, list) else value.encode()


def example_of(features):
    """A tf.Example of features in JSON."""
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        for value in values if isinstance(values, list) else [values]:
            is_number = isinstance(value, int | float)
            kind = "bytes_list" if not is_number else (
                "float_list" if isinstance(value, float) else "int64_list"
            )  # fmt: skip
            if (
                feature.WhichOneof("kind") not in (None, kind)
                or abs(value if kind == "float_list" else 0) > np.finfo(np.float32).max
            ):
                raise InvalidError(f"{name}: {value}")
            getattr(feature, kind).value.append(value + 0 if is_number else bytes_of(value))
    return example


def main(path, grpc_port, rest_port):
    model = Model(path)
    grpc_server = grpc.server(futures.ThreadPoolExecutor(4))
    services = GrpcServices(model)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(services, grpc_server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, grpc_server)
    assert grpc_server.add_insecure_port(f"127.0.0.1:{grpc_port}") == int(grpc_port)
    grpc_server.start()
    RestHandler.model = model
    rest_server = http.server.ThreadingHTTPServer(("127.0.0.1", int(rest_port)), RestHandler)
    threading.Thread(target=rest_server.serve_forever, daemon=True).start()
    print("serving", flush=True)
    grpc_server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
