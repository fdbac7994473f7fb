"""A client of TF Serving's REST interface. Standard library only.

from tf_textrnn.predictor.clients.common import Target
from tf_textrnn.predictor.clients.rest import RestClient

for prediction in RestClient(Target("localhost:8501")).predict(["a fine film"]):
    print(prediction.label, prediction.probability)
"""

import http.client
import json
import urllib.parse
from typing import Any

from tf_textrnn.predictor.clients.common import (
    Client,
    ClientError,
    Patience,
    Prediction,
    Target,
    UnavailableError,
    VersionStatus,
)


class RestClient(Client):
    """Talks REST, over one connection that it keeps; `Client` has the methods."""

    def __init__(self, target: Target, patience: Patience | None = None, batch_size: int = 32):
        super().__init__(target, patience, batch_size)
        try:
            self._connection = http.client.HTTPConnection(
                target.server, timeout=self.patience.timeout
            )
        except http.client.InvalidURL as error:
            raise ClientError(f"{target.server}: {error}; expected host:port") from error
        self._path = f"/v1/models/{urllib.parse.quote(target.model, safe='')}"
        if target.version is not None:
            self._path += f"/versions/{target.version}"
        elif target.version_label:
            self._path += f"/labels/{urllib.parse.quote(target.version_label, safe='')}"

    def close(self) -> None:
        self._connection.close()

    def _predict(self, texts: list[str]) -> list[Prediction]:
        body = {"signature_name": "serving_default", "instances": texts}
        answers = self._ask("POST", ":predict", body)["predictions"]
        return self._check_count(
            [Prediction(a["label"], max(a["probability"]), a["probability"]) for a in answers],
            texts,
        )

    def _classify(self, texts: list[str]) -> list[dict[str, float]]:
        body = {"signature_name": "classify", "examples": [{"text": text} for text in texts]}
        answers = self._ask("POST", ":classify", body)["results"]
        return self._check_count([dict(answer) for answer in answers], texts)

    def _status(self) -> list[VersionStatus]:
        return [
            VersionStatus(int(v["version"]), v["state"], v["status"].get("error_message", ""))
            for v in self._ask("GET", "")["model_version_status"]
        ]

    def _metadata(self) -> dict[str, Any]:
        answer = self._ask("GET", "/metadata")
        return {
            name: {
                "method": signature["method_name"],
                "inputs": {k: _tensor(v) for k, v in signature["inputs"].items()},
                "outputs": {k: _tensor(v) for k, v in signature["outputs"].items()},
            }
            for name, signature in answer["metadata"]["signature_def"]["signature_def"].items()
        }

    def _ask(self, method: str, verb: str, body: Any = None) -> dict[str, Any]:
        """The server's answer to one request, as JSON."""
        encoded = None if body is None else json.dumps(body).encode()
        server = self.target.server
        try:
            self._connection.request(method, self._path + verb, encoded)
            response = self._connection.getresponse()
            content = response.read()
        except TimeoutError as error:
            self._connection.close()
            raise ClientError(f"{server}: no answer within {self.patience.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UnavailableError(f"{server}: {error or type(error).__name__}") from error
        try:
            answer = json.loads(content)
        except ValueError:
            answer = {"error": content[:200].decode("utf-8", "replace")}
        if response.status != 200 or not isinstance(answer, dict) or "error" in answer:
            reason = answer.get("error", "") if isinstance(answer, dict) else "no JSON object"
            message = f"{server}: status {response.status}: {' '.join(str(reason).split())}"
            raise UnavailableError(message) if response.status == 503 else ClientError(message)
        return answer


def _tensor(info: dict[str, Any]) -> str:
    sizes = [int(dim["size"]) for dim in info["tensor_shape"]["dim"]]
    return f"{info['dtype']}{sizes}"
