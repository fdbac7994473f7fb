"""Asks a model on TF Serving: its predictions, its status, or what it takes and gives.

`predict` prints label, probability and text of each text, separated by tabs: all accepted labels,
joined by `|`, or `?` where none is, and the probability of the most probable one; `classify` a JSON
object with the probability of every label; `status` the model's versions on the server; `metadata`
its signatures. Texts are those of the command line, or lines of --input or of standard input.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from tf_textrnn.base.errors import UserError, printable
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.base.tables import joined_labels, json_text, tab_separated
from tf_textrnn.predictor.clients.answers import Prediction
from tf_textrnn.predictor.clients.common import (
    MAX_TIMEOUT,
    PORTS,
    Client,
    ClientError,
    Patience,
    Target,
)
from tf_textrnn.predictor.texts import windows_of
from tf_textrnn.predictor.token import TOKEN, read_token

CALLS = ("predict", "classify", "status", "metadata")
UNSURE = "?"  # where no label is accepted
MAX_VERSION = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class AskOptions(CheckedOptions):
    """What `textrnn ask` is told."""

    protocol: str = option(
        "rest", "How to talk: REST, or gRPC, which needs the extra `serving`", choices=tuple(PORTS)
    )
    server: str = option(
        "localhost", "host:port; without a port, 8501 for rest and 8500 for grpc", required=True
    )
    tls: bool = option(False, "Talks TLS, and holds the server to a certificate for its name")
    ca_file: str = option(
        "",
        "PEM file of who may vouch for the certificate; empty = the system's (rest), gRPC's own",
        is_path=True,
    )
    token_file: str = option(
        "",
        f"File with the token that the server wants; empty = that of {TOKEN}, or none",
        is_path=True,
    )
    model: str = option("textrnn", "Name of the model on the server")
    version: int = option(
        -1, "Version to ask; -1 = the server's choice", minimum=-1, maximum=MAX_VERSION
    )
    version_label: str = option("", "Label of the version to ask, such as canary, instead")
    input: str = option("", "File with one text a line; empty = standard input", is_path=True)
    batch_size: int = option(32, "Number of texts in a request", minimum=1)
    timeout: float = option(
        10.0, "Seconds for one try, from first to last byte", above=0, maximum=MAX_TIMEOUT
    )
    tries: int = option(8, "Number of tries of a request while the server is away", minimum=1)


def ask(options: AskOptions, arguments: Sequence[str]) -> None:
    """Prints a server's answers.

    Args:
      options: of the command.
      arguments: one of `CALLS`, and texts; none = those of a file.

    Raises:
      UserError: a mistake in options or files.
      ClientError: the server has no answer.
    """
    if not arguments or arguments[0] not in CALLS:
        found = repr(arguments[0]) if arguments else "nothing"
        raise UserError(f"expected one of {', '.join(CALLS)} before flags and texts, found {found}")
    if options.version >= 0 and options.version_label:
        raise UserError("--version and --version_label: expected one of them")
    call, texts = arguments[0], arguments[1:]
    if texts and options.input:
        raise UserError("texts on the command line, and --input; expected one of them")
    with _client(options) as client:
        if call == "status":
            for version, state, error in client.status():
                print(tab_separated(str(version), state, printable(error)))
        elif call == "metadata":
            print(json_text(client.metadata(), indent=2))
        else:
            _answer(client, call, windows_of(texts, options.input))


def _client(options: AskOptions) -> Client:
    version = options.version if options.version >= 0 else None
    token = read_token(options.token_file)
    target = Target(
        options.server, options.model, version, options.version_label, options.tls, options.ca_file,
        token,
    )  # fmt: skip
    patience = Patience(timeout=options.timeout, tries=options.tries)
    if options.protocol == "grpc":
        from tf_textrnn.predictor.clients.grpc import GrpcClient

        return GrpcClient(target, patience, options.batch_size)
    from tf_textrnn.predictor.clients.rest import RestClient

    return RestClient(target, patience, options.batch_size)


def _answer(client: Client, call: str, windows: Iterable[Sequence[str]]) -> None:
    """Prints an answer a line, each as soon as it is there."""
    answered = 0
    labels: list[str] = []  # of all classes, once an answer needs them
    try:
        for texts in windows:
            for answer, text in zip(getattr(client, call)(texts), texts, strict=True):
                if isinstance(answer, Prediction) and not labels and _has_others(answer):
                    labels = list(next(iter(client.classify([text]))))
                print(_line(answer, text, labels), flush=True)
                answered += 1
    except ClientError as error:
        where = f"text {answered + 1} and those after it have no answer: " if answered else ""
        raise ClientError(f"{where}{error}") from error


def _has_others(answer: Prediction) -> bool:
    """Whether labels are accepted beside the one that the answer names."""
    return answer.accepted not in ([], [answer.probabilities.index(answer.probability)])


def _line(answer: Prediction | dict[str, float], text: str, labels: Sequence[str]) -> str:
    if not isinstance(answer, Prediction):
        return json_text({"probabilities": answer, "text": text})
    names = [answer.label] if answer.accepted else [UNSURE]
    if _has_others(answer):
        if len(labels) != len(answer.probabilities):
            raise ClientError(
                f"{len(labels)} labels from classify, and {len(answer.probabilities)} from predict"
            )
        names = [labels[place] for place in answer.accepted]
    return tab_separated(joined_labels(names), f"{answer.probability:.4f}", text)
