"""The flags of `textrnn ask`, TLS, and outputs that take nothing more."""

import pathlib
import shutil
import ssl
import subprocess
import sys

import grpc
import pytest

from tests.hostile_servers import (
    ROOT,
    VERSION,
    ask,
    http_answer,
    measure,
    raw_grpc,
    status_answer,
    tcp_server,
)
from tf_textrnn import cli
from tf_textrnn.predictor.clients.common import Patience, Target


def test_odd_servers_and_times_are_one_line(capsys):
    for server in (
        "http://localhost:8501/v1", "https://localhost", "localhost:", ":8501", "localhost:0",
        "localhost:65536", "localhost:123456", "localhost:85x", "::1", "[::1", "[localhost]:1",
        "a..b", "a b", "a\nb", "\x00", "/", "user@host", "localhost:8501/v1", "-" * 300, "\ud800",
        "localhost:８５０１",
    ):  # fmt: skip
        for protocol, port in (("rest", 8501), ("grpc", 8500)):
            command = ["ask", "status", f"--protocol={protocol}", f"--server={server}"]
            assert cli.run(command) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert f"such as localhost:{port} or [::1]:{port}, without a scheme or a path" in err
            assert ("and --tls" in err) == server.startswith("https")
    for flag, message in (
        ("--timeout=nan", "expected a number, above 0, at most 86,400"),
        ("--timeout=inf", "expected a number, above 0"),
        ("--timeout=1e300", "at most 86,400"),
        ("--tries=0", "at least 1"),
        ("--version=99999999999999999999", "at most 9,223,372,036,854,775,807"),
        ("--model=", "expected a printable name"),
        ("--model=a\x1b", "expected a printable name"),
        ("--version_label=\udcff", "expected a printable name"),
        ("--ca_file=x", "expected --tls beside it"),
        ("--server=", "found nothing"),
    ):
        assert cli.run(["ask", "status", flag]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert message in err
    for timeout in (float("nan"), float("inf"), 0, -1):
        with pytest.raises(ValueError, match="expected seconds"):
            Patience(timeout=timeout)
    assert Target("localhost").address(8501) == ("localhost", 8501)
    assert Target("[::1]").address(8501) == ("::1", 8501)
    assert Target("bücher.example:80").address(8501) == ("xn--bcher-kva.example", 80)


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_or_closed_output_is_no_traceback():
    command = [sys.executable, "-m", "tf_textrnn.cli", "ask"]
    body = {"model_version_status": [VERSION] * 20_000}
    with tcp_server(lambda connection: connection.sendall(http_answer(body))) as port:
        command += ["status", f"--server=127.0.0.1:{port}"]
        with open("/dev/full", "w") as full:
            done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith("error: the output: cannot be written (No space left")
        assert done.stderr.count("\n") == 1
        asked = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert asked.stdout.readline() == b"1\tAVAILABLE\t\n"
        asked.stdout.close()  # as `head -1` does
        assert asked.stderr.read() == b""
        asked.stderr.close()
        assert asked.wait() == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "certificate.pem", folder / "key.pem"


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate")


@needs_openssl
def test_tls(certificate, tmp_path, capsys):
    file, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    body = {"model_version_status": [VERSION]}
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), file.read_bytes())])
    server, port = raw_grpc(status_answer(version=1, state=30), credentials=credentials)
    ports = {"grpc": port}
    answer = http_answer(body)
    with tcp_server(lambda connection: connection.sendall(answer), context) as ports["rest"]:
        for protocol, port in ports.items():
            command = ["ask", "status", f"--protocol={protocol}", f"--server=127.0.0.1:{port}"]
            assert cli.run([*command, "--tls", f"--ca_file={file}"]) == 0
            assert capsys.readouterr() == ("1\tAVAILABLE\t\n", "")
            tells = {"rest": "certificate is refused", "grpc": "CERTIFICATE_VERIFY_FAILED"}
            assert tells[protocol] in ask(capsys, port, "status", "--tls", protocol=protocol)
            ask(capsys, port, "status", protocol=protocol, timeout=1)  # without TLS
            # Vouched for, but under another name.
            command[-1] = f"--server=localhost:{port}"
            assert cli.run([*command, "--tls", f"--ca_file={file}", "--tries=1"]) == 2
            assert capsys.readouterr().err.count("\n") == 1
        # gRPC has nothing of its own to say on stderr.
        if sys.platform == "linux":
            lines, _ = measure("grpc", f"{ports['grpc']} --tls", ports["grpc"])
            assert [line.startswith("error: 127.0.0.1:") for line in lines] == [True, True]
    server.stop(None).wait()
    with tcp_server(lambda connection: connection.sendall(answer), waits=False) as port:
        assert "expected TLS" in ask(capsys, port, "status", "--tls")
    (tmp_path / "empty").touch()
    for given in ("missing", "empty", "."):
        ca_file = tmp_path / given
        for protocol in ports:
            line = ask(capsys, 1, "status", "--tls", f"--ca_file={ca_file}", protocol=protocol)
            assert f"--ca_file={ca_file}: expected" in line
