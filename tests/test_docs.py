"""Everything that the docs name exists: files, modules, links and flags of commands."""

import configparser
import contextlib
import functools
import io
import os
import pathlib
import re
import subprocess
import sys

import pytest

import tf_textrnn
from tf_textrnn import cli

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tf_textrnn"
DOCS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
)  # CHANGELOG.md names what is gone, too
CHINESE = [doc for doc in DOCS if doc.endswith(".zh-CN.md")]
FOLDERS = ("tf_textrnn", "export", "benchmarks", "configs", "scripts", "tests")
# Flags in the docs that belong to TF Serving, Docker and TensorBoard.
FOREIGN = {
    "enable_batching",
    "load_fast",
    "model_config_file_poll_wait_seconds",
    "target",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "user",
}


def text_of(doc: str) -> str:
    return (ROOT / doc).read_text(encoding="utf-8")


def prose_of(doc: str) -> str:
    return re.sub(r"^```[^\n]*\n.*?^```", "", text_of(doc), flags=re.MULTILINE | re.DOTALL)


def blocks_of(doc: str) -> list[str]:
    """Returns the lines of a document's blocks of code, continued ones joined."""
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text_of(doc), re.MULTILINE | re.DOTALL)
    blocks = [*fenced, *re.findall(r"^ {4,}.*\n", prose_of(doc), re.MULTILINE)]
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


def code_of(doc: str) -> list[str]:
    """Returns a document's lines of code, and each inline code as a line."""
    inline = re.findall(r"`([^`]+)`", prose_of(doc))
    return blocks_of(doc) + [" ".join(code.split()) for code in inline]


def commands_of(doc: str) -> set[str]:
    """Returns the commands of a document's blocks of code, without comments."""
    commands = re.compile(r"(textrnn|pip|curl|tensorboard|python|scripts/\w+)( |$)")
    lines = {" ".join(line.partition(" # ")[0].split()) for line in blocks_of(doc)}
    return {line for line in lines if commands.match(line)}


@functools.cache
def flags_of(command: str) -> frozenset[str]:
    """Returns the flags that the help of a command lists."""
    with contextlib.redirect_stdout(io.StringIO()) as page:
        assert cli.run([*command.split(), "--helpfull"]) == 0
    flags = set(re.findall(r"^  --(\w+)=", page.getvalue(), re.MULTILINE))
    return frozenset(flags | {"no" + flag for flag in flags} | {"help", "helpfull", "flagfile"})


def flags_of_benchmark(module: str) -> frozenset[str]:
    source = (ROOT / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
    passed_on = flags_of("train") if module in ("quality", "start") else frozenset()
    return passed_on | set(re.findall(r'"--(\w+)"', source))


def allowed_flags(line: str) -> tuple[str, frozenset[str]] | None:
    """Returns what follows our first command in a line of code, and the flags that it takes."""
    commands = "|".join(cli.COMMANDS)
    programs = {
        rf"textrnn ({commands})\b": lambda match: flags_of(match[1]),
        r"(?:scripts/train|python train\.py)\b": lambda _: flags_of("train"),
        r"python -m export\.predict\b": lambda _: flags_of("predict"),
        r"python -m export\.saved_model\b": lambda _: flags_of("export"),
        r"python -m benchmarks\.(\w+)": lambda match: flags_of_benchmark(match[1]),
    }
    for pattern, flags in programs.items():
        if match := re.search(pattern, line):
            return line[match.end() :], flags(match)
    return None


@pytest.mark.parametrize("doc", [*DOCS, "CHANGELOG.md"])
def test_links_lead_somewhere(doc):
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text_of(doc)):
        if "://" not in target:
            assert (ROOT / doc).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("doc", CHINESE)
def test_chinese_pages_give_the_commands_of_their_english_twins(doc):
    twin = doc.replace(".zh-CN", "")
    assert commands_of(doc) == commands_of(twin) != set()
    assert f"({pathlib.Path(twin).name})" in text_of(doc).split("\n## ")[0]
    assert f"({pathlib.Path(doc).name})" in text_of(twin).split("\n## ")[0]


@pytest.mark.parametrize("doc", DOCS)
def test_files_that_docs_name_exist(doc):
    code = "\n".join(code_of(doc))
    named = set(
        re.findall(r"(?<![\w/.<>*-])((?!tf_textrnn\.)[\w/*-]+\.(?:py|flags|config|yaml))\b", code)
    )
    named |= set(re.findall(r"(?<![\w/.<>*-])((?:tests|docs|scripts|tf_textrnn)/[\w./*-]+)", code))
    for name in named:
        if pathlib.PurePath(name).name == "best.flags":  # `textrnn tune` makes it
            continue
        found = any(any(place.glob(name)) for place in (ROOT, PACKAGE))
        if "/" not in name:  # which folder it is in, the sentence says
            found |= any(any((ROOT / folder).rglob(name)) for folder in FOLDERS)
        assert found, name


@pytest.mark.parametrize("doc", DOCS)
def test_modules_that_docs_name_exist(doc):
    code = "\n".join(code_of(doc))
    for name in re.findall(rf"\b((?:{'|'.join(FOLDERS)})(?:\.\w+)+)", code):
        parts = name.split(".")
        if parts[0] == "tf_textrnn" and parts[1] in tf_textrnn.__all__:
            continue
        path = ROOT.joinpath(*parts)
        if path.is_dir() or path.with_suffix(".py").is_file():
            continue
        if ROOT.joinpath(*parts[:-1]).with_suffix("." + parts[-1]).is_file():
            continue  # a file, as `tests/test_text.py`
        module = path.parent.with_suffix(".py")
        assert module.is_file(), name
        assert re.search(rf"\b{parts[-1]}\b", module.read_text("utf-8")), name


@pytest.mark.parametrize("doc", DOCS)
def test_commands_in_docs_have_the_flags_that_they_are_given(doc):
    for line in code_of(doc):
        found = allowed_flags(line)
        if found:
            rest, allowed = found
            given = set(re.findall(r"(?<!\S)--(\w+)", re.split(r"[|;&>#]", rest)[0]))
            assert given <= allowed, line


def test_flags_in_prose_are_flags_of_a_command():
    known = set(FOREIGN).union(*map(flags_of, cli.COMMANDS))
    known |= set().union(*(flags_of_benchmark(p.stem) for p in (ROOT / "benchmarks").glob("*.py")))
    for doc in DOCS:
        for code in re.findall(r"`(--[^`]+)`", prose_of(doc)):
            for flag in re.findall(r"(?<!\S)--(\w+)", code):
                assert flag in known, (doc, code)


def test_architecture_lists_every_module_once():
    tree = text_of("docs/architecture.md").split("## The tree")[1].split("\n## ")[0]
    listed, folders = [], []
    for line in re.findall(r"^ {4}( *[\w.*/]+)(?= |$)", tree, re.MULTILINE):
        name = line.strip()
        folders = folders[: (len(line) - len(name)) // 2]
        listed.append("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    leaves = [x for x in listed if not any(y != x and y.startswith(x) for y in listed)]
    inside = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" or path.parent == PACKAGE
    }
    covered = {file for file in inside if any(file.startswith(leaf) for leaf in leaves)}
    assert inside - covered == set()
    modules = [leaf for leaf in leaves if leaf.startswith("tf_textrnn/")]
    assert len(modules) == len(set(modules))
    assert [leaf for leaf in modules if not (ROOT / leaf).exists()] == []


def test_the_picture_of_the_floors_is_the_contract_of_import_linter():
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    floors = setup["importlinter:contract:floors"]["layers"].split()
    picture = text_of("docs/architecture.md").split("```")[1]
    assert re.findall(r"│ (\w+)", picture) == floors


@pytest.mark.slow
def test_examples_of_the_readme_run_as_written(tmp_path):
    examples = re.findall(r"```python\n(.*?)```", text_of("README.md"), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "films" / "1" / "saved_model.pb").is_file()
