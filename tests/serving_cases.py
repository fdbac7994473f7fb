"""Requests to TF Serving's REST interface, and what is answered: status, and shape or sentence.

The bodies are our own. `source` names the test of TF Serving that has the case: JsontensorTest and
ClassifyRegressRequestTest are in its util/json_tensor_test.cc, HttpRestApiHandlerTest in its
model_servers/http_rest_api_handler_test.cc. The model is `textrnn`, in version 1 alone.
"""

import base64
import json
from typing import Any, NamedTuple

TEXTS = ["wolf and dog", "the seven of nine"]
PREDICT, CLASSIFY, REGRESS = (
    f"/v1/models/textrnn:{verb}" for verb in ("predict", "classify", "regress")
)


class Case(NamedTuple):
    """A request and its answer.

    Attributes:
      source: the test of TF Serving.
      path: of the request.
      body: JSON, or bytes as they are; None asks by GET.
      status: of the answer.
      answer: the key that holds the answers to `TEXTS`, or words of the sentence of an error.
    """

    source: str
    path: str
    body: Any
    status: int
    answer: str

    @property
    def content(self) -> bytes | None:
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


def b64(text: str) -> dict[str, str]:
    return {"b64": base64.b64encode(text.encode()).decode()}


def named(*texts: Any) -> list[dict[str, Any]]:
    return [{"text": text} for text in texts]


def classify(*examples: Any, **more: Any) -> dict[str, Any]:
    return {"signature_name": "classify", "examples": list(examples), **more}


UNSUPPORTED, NAMES, ERRORS, PREDICTS, CLASSIFIES, REGRESSES, STATUS = (
    f"HttpRestApiHandlerTest.{name}"
    for name in (
        "UnsupportedApiCalls", "PredictModelNameVersionErrors", "PredictRequestErrors",
        "Predict", "Classify", "Regress", "GetStatus",
    )
)  # fmt: skip
MANY_ERRORS, UNNAMED_ERRORS, JSON_ERRORS = (
    "JsontensorTest.MultipleNamedTensorErrors",
    "JsontensorTest.SingleUnnamedTensorErrors",
    "ClassifyRegressRequestTest.JsonErrors",
)
MALFORMED = "Malformed request"

CASES = [
    # Rows and columns.
    Case("JsontensorTest.SingleUnnamedTensor", PREDICT, {"instances": TEXTS}, 200, "predictions"),
    Case("JsontensorTest.SingleUnnamedTensorWithSignature", PREDICT,
         {"signature_name": "serving_default", "instances": TEXTS}, 200, "predictions"),
    Case("JsontensorTest.SingleUnnamedTensorBase64Scalars", PREDICT,
         {"instances": [b64(text) for text in TEXTS]}, 200, "predictions"),
    Case("JsontensorTest.SingleNamedTensorBase64", PREDICT,
         {"instances": named(*map(b64, TEXTS))}, 200, "predictions"),
    Case("JsontensorTest.MultipleNamedTensor", PREDICT, {"instances": named(*TEXTS)}, 200,
         "predictions"),
    Case("JsontensorTest.SingleUnnamedTensorColumnarFormat", PREDICT,
         {"inputs": {"text": TEXTS}}, 200, "outputs"),
    Case("JsontensorTest.SingleUnnamedTensorColumnarFormat", PREDICT, {"inputs": TEXTS}, 200,
         "outputs"),
    Case("JsontensorTest.MultipleNamedTensorColumnarFormat", PREDICT,
         {"inputs": {"text": [b64(text) for text in TEXTS]}}, 200, "outputs"),
    Case(PREDICTS, "/v1/models/textrnn/versions/1:predict", {"instances": TEXTS}, 200,
         "predictions"),
    Case(PREDICTS, "/v1/models/textrnn/labels/stable:predict", {"instances": TEXTS}, 200,
         "predictions"),
    Case(CLASSIFIES, CLASSIFY, classify(*named(*TEXTS)), 200, "results"),
    Case(CLASSIFIES, "/v1/models/textrnn/versions/1:classify", classify(*named(*TEXTS)), 200,
         "results"),
    Case(CLASSIFIES, "/v1/models/textrnn/labels/stable:classify", classify(*named(*TEXTS)), 200,
         "results"),
    Case("ClassifyRegressRequestTest.RequestNoContext", CLASSIFY,
         classify({"text": [TEXTS[0]], "age": 20}, {"text": TEXTS[1]}), 200, "results"),
    Case("ClassifyRegressRequestTest.RequestWithContextAndSignature", CLASSIFY,
         classify({"text": [b64(TEXTS[0])], "mix": [1, True]}, {"ratings": [1.0]},
                  context={"text": TEXTS[1]}), 200, "results"),
    # Status and metadata.
    Case(STATUS, "/v1/models/textrnn", None, 200, "model_version_status"),
    Case(STATUS, "/v1/models/textrnn/versions/1", None, 200, "model_version_status"),
    Case(STATUS, "/v1/models/textrnn/labels/stable", None, 200, "model_version_status"),
    Case("HttpRestApiHandlerTest.GetModelMetadata", "/v1/models/textrnn/metadata", None, 200,
         "metadata"),
    # Paths that are none.
    Case(UNSUPPORTED, "/v1/foo", None, 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/foo", b"", 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models", None, 400, "Missing model name"),
    Case(UNSUPPORTED, "/v1/models", b"", 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models/textrnn:predict", None, 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models/textrnn/version/1:predict", None, 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models/textrnn/version/1:regress", b"", 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models/textrnn/versions/HELLO:regress", b"", 400, MALFORMED),
    Case(UNSUPPORTED, f"/v1/models/textrnn/versions/{2**64 - 1}:regress", b"", 400,
         "Failed to convert version"),
    Case(UNSUPPORTED, "/v1/models/textrnn/metadata", b"", 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models/textrnn/label/stable:regress", b"", 400, MALFORMED),
    Case(UNSUPPORTED, "/v1/models/textrnn/versions/1/labels/stable:regress", b"", 400, MALFORMED),
    # Models, versions, labels and signatures that are none.
    Case(NAMES, "/v1/models/other:predict", {"instances": TEXTS}, 404, "not found"),
    Case(NAMES, "/v1/models/other/versions/1:predict", {"instances": TEXTS}, 404, "not found"),
    Case(NAMES, "/v1/models/textrnn99:predict", {"instances": TEXTS}, 404, "not found"),
    Case(NAMES, "/v1/models/textrnn/versions/99:predict", {"instances": TEXTS}, 404, "not found"),
    Case(NAMES, "/v1/models/other", None, 404, "not find"),
    Case(NAMES, "/v1/models/textrnn/versions/99", None, 404, "not find"),
    Case(ERRORS, "/v1/models/textrnn/labels/none:predict", {"instances": TEXTS}, 400,
         "Unrecognized servable version label"),
    Case(ERRORS, PREDICT, {"signature_name": "none", "instances": TEXTS}, 400,
         'signature name: "none" not found'),
    Case(CLASSIFIES, CLASSIFY, {"examples": named(*TEXTS)}, 400,
         "method_name to be tensorflow/serving/classify. Was: tensorflow/serving/predict"),
    Case(CLASSIFIES, CLASSIFY, {"signature_name": "none", "examples": named(*TEXTS)}, 400,
         "No signature was found with the name: none"),
    Case(REGRESSES, REGRESS, classify(*named(*TEXTS)), 400,
         "method_name to be tensorflow/serving/regress. Was: tensorflow/serving/classify"),
    # Bodies that are none.
    Case(ERRORS, PREDICT, b"", 400, "JSON Parse error: The document is empty"),
    Case(ERRORS, PREDICT, b"instances = [1, 2]", 400, "JSON Parse error: Invalid value"),
    Case(ERRORS, PREDICT, b"[1]", 400, "Is not object"),
    Case(ERRORS, PREDICT, b'{"instances": ["\\ud800"]}', 400, "surrogate"),
    Case(ERRORS, PREDICT, {"instances": [1, 2]}, 400, "not of expected type: string"),
    Case(ERRORS, PREDICT, {"signature_name": 100}, 400, "must be a string value"),
    Case(ERRORS, PREDICT, {}, 400, "Missing 'inputs' or 'instances' key"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": TEXTS, "inputs": TEXTS}, 400,
         "Not formatted correctly"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": "text"}, 400, "to be a list/array"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": []}, 400, "No values in 'instances' array"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": [["a", "b"], ["c", "d"], ["e", "f", "g"]]}, 400,
         "Expecting tensor size: 2 but got: 3"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": [["a", "b"], [["e", "f"]]]}, 400,
         "Expecting shape [2] but got: [1,2]"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": ["a", ["b"]]}, 400, "Expecting shape"),
    Case(UNNAMED_ERRORS, PREDICT, {"instances": ["a", None]}, 400, "not of expected type: string"),
    Case(UNNAMED_ERRORS, PREDICT, {"inputs": [["a"], "b"]}, 400, "found at incorrect level"),
    Case(UNNAMED_ERRORS, PREDICT, {"inputs": ["a", ["b"]]}, 400, "list at unexpected level"),
    Case(UNNAMED_ERRORS, PREDICT, {"inputs": [["a"], ["b", "c"]]}, 400, "list at unexpected size"),
    Case("JsontensorTest.SingleUnnamedTensorBase64Lists", PREDICT,
         {"instances": [[b64(text)] for text in TEXTS]}, 400, "of shape [n], found [2,1]"),
    Case("JsontensorTest.SingleUnnamedTensorBase64Scalars", PREDICT,
         {"instances": [{"b64": "a"}]}, 400, "Unable to base64 decode"),
    Case(MANY_ERRORS, PREDICT, {"instances": [{"text": "a"}, ["b"]]}, 400,
         "Expecting object but got list at item 1"),
    Case(MANY_ERRORS, PREDICT, {"instances": ["a", {"text": "b"}]}, 400,
         "Expecting value/list but got object at item 1"),
    Case(MANY_ERRORS, PREDICT, {"instances": [{"words": "a"}]}, 400,
         "does not have named input: words"),
    Case(MANY_ERRORS, PREDICT, {"instances": [{}]}, 400, "keys must be equal to: text"),
    Case(MANY_ERRORS, PREDICT, {"inputs": {"words": TEXTS}}, 400, "Missing named input: text"),
    # Examples that are none.
    Case(JSON_ERRORS, CLASSIFY, {"signature_name": ["a"], "examples": named("a")}, 400,
         "'signature_name' key must be a string"),
    Case(JSON_ERRORS, CLASSIFY, classify(context=[]), 400, "Example must be JSON object"),
    Case(JSON_ERRORS, CLASSIFY, {"signature_name": "classify"}, 400, "key 'examples' is expected"),
    Case(JSON_ERRORS, CLASSIFY, {"signature_name": "classify", "examples": {}}, 400, "list/array"),
    Case(JSON_ERRORS, CLASSIFY, classify(), 400, "empty array"),
    Case(JSON_ERRORS, CLASSIFY, classify(["a"]), 400, "Example must be JSON object"),
    Case(JSON_ERRORS, CLASSIFY, classify({"a": [10, None]}), 400,
         "a has element with unexpected JSON type: Null"),
    Case(JSON_ERRORS, CLASSIFY, classify({"a": [10, 10.0]}), 400,
         "feature: a expecting type: int64"),
    Case(JSON_ERRORS, CLASSIFY, classify({"a": [10, {"b": 10}]}), 400, "JSON type: Object"),
    Case(JSON_ERRORS, CLASSIFY, classify({"a": [[10], 20]}), 400, "JSON type: Array"),
    Case(JSON_ERRORS, CLASSIFY, classify({"a": [20, 2**64 - 13]}), 400, "Only int64 is supported"),
    Case(JSON_ERRORS, CLASSIFY, classify({"a": 1.7e308}), 400, "loss of precision"),
    # What the graph's ParseExample refuses.
    Case(CLASSIFIES, CLASSIFY, classify({"words": "a"}), 400, "could not be found"),
    Case(CLASSIFIES, CLASSIFY, classify({"text": 1}), 400, "Data types don't match"),
    Case(CLASSIFIES, CLASSIFY, classify({"text": ["a", "b"]}), 400, "values size: 2"),
]  # fmt: skip


def check(case: Case, status: int, answer: dict[str, Any], labels: list[str], has_words: bool):
    """Asserts that an answer is what it should be.

    Args:
      case: which was asked.
      status: of the answer.
      answer: as JSON.
      labels: the label of each of `TEXTS`.
      has_words: whether the sentence of an error is held to its words.
    """
    assert status == case.status, (case, answer)
    if status != 200:
        assert list(answer) == ["error"] and isinstance(answer["error"], str)
        if has_words:
            assert case.answer in answer["error"], (case, answer)
        return
    found = answer[case.answer]
    if case.answer == "predictions":
        assert [row["label"] for row in found] == labels
        assert all(max(row["probability"]) > 0.3 for row in found)
    elif case.answer == "outputs":
        assert found["label"] == labels
        assert [len(row) for row in found["probability"]] == [3, 3]
    elif case.answer == "results":
        assert [max(row, key=lambda pair: pair[1])[0] for row in found] == labels
    elif case.answer == "model_version_status":
        status = {"error_code": "OK", "error_message": ""}
        assert found == [{"version": "1", "state": "AVAILABLE", "status": status}]
    else:
        signature = found["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["text"]["dtype"] == "DT_STRING"
        assert signature["method_name"] == "tensorflow/serving/predict"
