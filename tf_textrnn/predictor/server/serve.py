"""Serves a model over HTTP: TF Serving's REST interface, and a page for people at `/`.

    curl -d "a fine film" localhost:8501/predict
    curl -d '{"instances": ["a fine film"]}' localhost:8501/v1/models/textrnn:predict

`/healthz` says that it is well; `/metrics` counts for Prometheus. A newer version in the folder of
--model takes over by itself. At SIGTERM or Ctrl-C requests under way are answered, then it ends
with status 0. It listens to this machine alone unless --host says otherwise, and talks no TLS: a
proxy before it does.
"""

import contextlib
import ipaddress
import os
import shlex
import socket

from tf_textrnn.base import signals
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.terminal import note, show, warn
from tf_textrnn.predictor.server.options import ServeOptions
from tf_textrnn.predictor.server.versions import Versions
from tf_textrnn.predictor.token import TOKEN, read_token

EXAMPLE = "a fine film"


def serve(options: ServeOptions) -> None:
    """Serves until a signal comes.

    Args:
      options: of the command.

    Raises:
      UserError: no model, a port that is taken, a library that is missing, a mistake in flags.
    """
    try:
        from tf_textrnn.predictor.server.listening import make_server
    except ImportError as error:
        if (error.name or "").startswith("tf_textrnn"):
            raise
        raise UserError(
            f"{error.name} is not installed; pip install 'tf_textrnn[server]'"
        ) from error
    token, examples = read_token(options.token_file).encode(), options.read_examples()
    with contextlib.closing(_bound(options.host, options.port)) as listener:
        versions = Versions(options.model, options.name)
        port = listener.getsockname()[1]
        server = make_server(
            options,
            versions,
            token,
            examples,
            lambda: _greet(options, versions, bool(token), port),
        )
        versions.watch(options.poll_seconds)
        signals.advise(lambda: "requests under way were answered")
        try:
            with signals.deferred():
                server.run(sockets=[listener])
        except signals.Stopped as stopped:
            note(str(stopped))
        finally:
            versions.close()


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has the address, and does not listen yet: no model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host={host}: expected a name or an address ({error})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it lets two programs have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UserError(
            f"--host={host} --port={port}: cannot be listened at ({error.strerror}); "
            f"--port=0 takes a port that is free"
        ) from error
    return listener


def _greet(options: ServeOptions, versions: Versions, has_token: bool, port: int) -> None:
    """Says where it listens, with a line that can be pasted."""
    host = options.host
    is_everywhere, is_loopback = host in ("0.0.0.0", "::"), host == "localhost"
    with contextlib.suppress(ValueError):
        is_loopback = ipaddress.ip_address(host).is_loopback
    shown = "localhost" if is_everywhere else f"[{host}]" if ":" in host else host
    version = versions.current
    show(f"serving {options.name}, version {version.number} ({version.path}), at "
         f"http://{shown}:{port}")  # fmt: skip
    bearer = ""
    if has_token:
        held = f"$(cat {shlex.quote(options.token_file)})" if options.token_file else f"${TOKEN}"
        bearer = f'-H "Authorization: Bearer {held}" '
    show(
        f"try it:  curl {bearer}-d {shlex.quote(EXAMPLE)} {shlex.quote(f'{shown}:{port}/predict')}"
    )
    if not (is_loopback or has_token):
        warn(f"whoever reaches {host} may ask: no --token_file or {TOKEN}")
