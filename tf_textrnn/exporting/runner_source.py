"""The source of `predict.py`, which an ONNX export carries: our own modules, in one file."""

import ast
import inspect
from collections.abc import Iterator, Sequence
from types import ModuleType

from tf_textrnn.base import errors, tables
from tf_textrnn.predictor import encoder, onnx_run, runner, texts

# What the file has of each module: names, or all that follows the imports.
_PARTS: dict[ModuleType, Sequence[str]] = {
    errors: ("printable", "UserError"),
    tables: ("_SEPARATOR", "_UNPRINTABLE", "tab_separated"),
    texts: ("MAX_LINE", "given_texts", "decode_line"),
    encoder: (),
    onnx_run: (),
    runner: (),
}


def runner_source() -> str:
    """`predict.py`: the docstring of `predictor/runner.py`, and all that it runs."""
    body = "\n\n\n".join(_part(module, names) for module, names in _PARTS.items())
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    wanted = ast.parse("\n".join(line for module in _PARTS for line in _imports(module, used)))
    plain = sorted({ast.unparse(node) for node in wanted.body if isinstance(node, ast.Import)})
    names: dict[str, set[str]] = {}
    for node in wanted.body:
        if isinstance(node, ast.ImportFrom):
            names.setdefault(str(node.module), set()).add(node.names[0].name)
    plain.remove("import numpy as np")
    lines = [f"from {name} import {', '.join(sorted(names[name]))}" for name in sorted(names)]
    imports = [*plain, *lines, "", "import numpy as np"]
    return f'"""{runner.__doc__}"""\n\n' + "\n".join(imports) + f"\n\n\n{body}\n"


def _part(module: ModuleType, names: Sequence[str]) -> str:
    """The source of some names of a module, or of all; of docstrings the first lines."""
    source = inspect.getsource(module)
    parsed = ast.parse(source)
    lines: list[str | None] = list(source.splitlines())
    for node in ast.walk(parsed):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            text = node.body[0]
            if text.end_lineno and text.end_lineno > text.lineno:
                lines[text.lineno - 1] = f'{lines[text.lineno - 1]}"""'
                lines[text.lineno : text.end_lineno] = [None] * (text.end_lineno - text.lineno)

    def between(first: int, end: int | None) -> str:
        return "\n".join(line for line in lines[first:end] if line is not None)

    if names:
        found = [node for node in parsed.body if _name(node) in names]
        pieces = [between(node.lineno - 1, node.end_lineno) for node in found]
        num_constants = sum(isinstance(node, ast.Assign) for node in found)  # these come first
        constants, others = pieces[:num_constants], pieces[num_constants:]
        return "\n\n\n".join([*filter(None, ["\n".join(constants)]), *others])
    imports = [node for node in parsed.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return between(imports[-1].end_lineno or 0, None).strip()


def _name(node: ast.stmt) -> str:
    """The name that a statement gives something."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node
    return str(getattr(target, "id", getattr(target, "name", "")))


def _imports(module: ModuleType, used: set[str]) -> Iterator[str]:
    """What a module imports that is not ours, a line each, where a name is used."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("tf_textrnn"):
            wanted = [alias.name for alias in node.names if alias.name in used]
            yield from (f"from {node.module} import {name}" for name in wanted)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) in used:
                    yield f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
