"""The files for TF Serving and Docker parse, and agree with one another."""

import contextlib
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from tests import server_process

ROOT = pathlib.Path(__file__).parents[1]
SERVING = ROOT / "export" / "serving"
INT64, BOOL, STRING, MESSAGE = 3, 8, 9, 11  # FieldDescriptorProto.Type
VALUE = ".google.protobuf.Int64Value"

# The two messages that tensorflow-serving-api leaves out, as TF Serving declares them in
# servables/tensorflow/session_bundle_config.proto and config/monitoring_config.proto:
# name → (number, type, type name, repeated).
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": (1, MESSAGE, VALUE, False),
        "batch_timeout_micros": (2, MESSAGE, VALUE, False),
        "max_enqueued_batches": (3, MESSAGE, VALUE, False),
        "num_batch_threads": (4, MESSAGE, VALUE, False),
        "thread_pool_name": (5, MESSAGE, ".google.protobuf.StringValue", False),
        "allowed_batch_sizes": (6, INT64, "", True),
        "pad_variable_length_inputs": (7, BOOL, "", False),
    },
    "PrometheusConfig": {"enable": (1, BOOL, "", False), "path": (2, STRING, "", False)},
    "MonitoringConfig": {"prometheus_config": (1, MESSAGE, ".serving.PrometheusConfig", False)},
}


def message_class(name):
    file = descriptor_pb2.FileDescriptorProto(
        name="serving.proto", package="serving", syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )  # fmt: skip
    for message, fields in MESSAGES.items():
        declared = file.message_type.add(name=message)
        for field, (number, kind, type_name, repeated) in fields.items():
            label = 3 if repeated else 1
            field_type = {"type": kind, "type_name": type_name} if type_name else {"type": kind}
            declared.field.add(name=field, number=number, label=label, **field_type)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"serving.{name}"))


def test_models_config_labels_versions_that_it_loads():
    config = text_format.Parse(
        (SERVING / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("textrnn", "/models/textrnn")
    assert model.model_platform == "tensorflow"
    assert set(model.version_labels) == {"stable", "canary"}
    assert set(model.version_labels.values()) == set(model.model_version_policy.specific.versions)


def test_batching_config_ends_at_its_largest_batch():
    config = text_format.Parse(
        (SERVING / "batching.config").read_text(), message_class("BatchingParameters")()
    )
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value
    assert config.num_batch_threads.value >= 1


def test_monitoring_config_turns_prometheus_on():
    config = text_format.Parse(
        (SERVING / "monitoring.config").read_text(), message_class("MonitoringConfig")()
    )
    assert config.prometheus_config.enable
    assert config.prometheus_config.path.startswith("/")


def test_unknown_fields_are_seen():
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch_sizes { value: 1 }", message_class("BatchingParameters")())


def test_compose_names_files_that_exist_and_pins_the_image_of_the_dockerfile():
    compose = (SERVING / "compose.yaml").read_text()
    for name in re.findall(r"/config/([\w.]+)", compose):
        assert (SERVING / name).is_file()
    (image,) = re.findall(r"image: (\S+)", compose)
    assert f"FROM {image} AS serve" in (ROOT / "Dockerfile").read_text()


@contextlib.contextmanager
def status_server(state):
    """Answers as TF Serving does when asked for the state of its model; yields the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path == "/v1/models/textrnn"
            version = {"version": "1", "state": state, "status": {"error_code": "OK"}}
            answer = {"model_version_status": [version]} if found else {"error": "AVAILABLE"}
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer, indent=1).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the image has bash")
def test_compose_asks_the_state_of_the_model():
    compose = (SERVING / "compose.yaml").read_text()
    (line,) = re.findall(r"^ +test: (\[.*\])$", compose, re.MULTILINE)  # JSON, as YAML takes it
    first, *command = json.loads(line)
    assert first == "CMD"
    (name,) = re.findall('name: "(.+)"', (SERVING / "models.config").read_text())
    assert f"/v1/models/{name} " in command[-1]

    def check(port):
        here = command[-1].replace("8501", str(port))
        return subprocess.run([*command[:-1], here], capture_output=True, timeout=20).returncode

    with status_server("AVAILABLE") as port:
        assert check(port) == 0
        closed = port
    assert check(closed) != 0
    for state in ("LOADING", "UNLOADING", "END"):
        with status_server(state) as port:
            assert check(port) != 0


def test_dockerfile_pins_its_images_and_copies_what_exists():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert [re.sub(r":.*", "", image) for image in images] == [
        "python", "python", "tensorflow/serving"
    ]  # fmt: skip
    assert all(re.search(r":\d+\.\d+", image) for image in images)
    copies = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "${" not in line]
    for sources in copies:
        for source in sources:
            assert (ROOT / source).exists(), source
    # The source comes after the dependencies, so that a change of it keeps their layer.
    install = next(i for i, line in enumerate(lines) if "--requirement requirements.txt" in line)
    before = {source for line in lines[:install] for source in line.split() if "/" not in source}
    assert "constraints.txt" in before
    assert "tf_textrnn" not in before
    assert 'ENTRYPOINT ["textrnn"]' in lines
    assert "USER trainer" in lines


def test_dockerfile_serves_without_tensorflow():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    target = text[text.index(" AS onnx\n") : text.index("\nFROM tensorflow/serving")]
    (packages,) = re.findall(
        r"pip install --no-cache-dir --constraint constraints.txt (.*)", target
    )
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for package in packages.split():
        assert re.search(rf"^{package}==", pinned, re.MULTILINE), package
    assert not set(packages.split()) & set(server_process.WITHOUT)
    assert "pip install --no-cache-dir --no-deps ." in target
    assert '"serve", "--model=/models/textrnn", "--host=0.0.0.0"]' in target


def test_dockerfile_installs_what_the_package_requires():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (program,) = re.findall(r'RUN python -c "(.*?)"', text)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = {re.split(r"[>=]", line)[0] for line in done.stdout.split()}
    assert {"tensorflow", "keras", "numpy", "tensorflow-serving-api"} <= found
    assert not {"pytest", "ruff"} & found
