#!/usr/bin/env python3
"""Checks what the compiler does not: the include arrow, the length of functions and files, files that nothing builds.

Usage: tidy.py ROOT           prints FILE:LINE: MESSAGE for each finding; exit 1 if there are any
       tidy.py --self-test    plants one fault of each kind in a tree of its own and expects to find it
"""
import re
import sys
import tempfile
from pathlib import Path

# What each top folder may include: those to its left, and itself.
ARROW = {
    "vmx": {"vmx"},
    "nested": {"vmx", "nested"},
    "core": {"vmx", "nested", "core"},
    "plugins": {"vmx", "nested", "core", "plugins"},
    "ui": {"vmx", "nested", "core", "ui"},
    "app": {"vmx", "nested", "core", "plugins", "ui", "app"},
}
QT_FREE = {"vmx", "nested", "core", "plugins"}
SOURCES = {".cpp", ".c", ".S"}
HEADERS = {".h", ".def"}
SCRIPTS = {".py", ".sh"}
MAX_FUNCTION = 70  # lines
MAX_FILE = 600     # lines

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
# With this project's clang-format a function begins and ends in the first column.
FUNCTION_BEGIN = re.compile(r"^(?!namespace|class|struct|enum|union|extern|using|typedef|#|//|}|\s).*")
FORBIDDEN_WORDS = re.compile(r"/work/|\.\./shared|/home/\w")


def code_files(root):
    for folder in [*ARROW, "tests"]:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in SOURCES | HEADERS | SCRIPTS and "__pycache__" not in path.parts:
                yield path


def check_includes(root, path, lines):
    top = path.relative_to(root).parts[0]
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match or top not in ARROW:
            continue
        target = match.group(1)
        folder = target.split("/")[0]
        if "/" in target and folder in ARROW and folder not in ARROW[top]:
            yield number, f"{top}/ must not include {target}"
        if top in QT_FREE and re.match(r"Q[A-Z]|Qt", target):
            yield number, f"{top}/ must be free of Qt, and includes {target}"


def check_functions(_root, path, lines):
    if path.suffix not in {".cpp", ".c"}:
        return
    begin = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "}":
            if begin and number - begin + 1 > MAX_FUNCTION:
                yield begin, f"a function of {number - begin + 1} lines; the limit is {MAX_FUNCTION}"
            begin = None
        elif begin is None and FUNCTION_BEGIN.match(line):
            begin = number
        elif line.startswith("}") or (begin and line.rstrip().endswith(";") and not line.startswith((" ", "\t"))):
            begin = None  # the end of a class, a table or a declaration


def check_length(_root, _path, lines):
    if len(lines) > MAX_FILE:
        yield MAX_FILE, f"a file of {len(lines)} lines; the limit is {MAX_FILE}"


def check_words(_root, path, lines):
    for number, line in enumerate(lines, 1):
        if FORBIDDEN_WORDS.search(line) and path.name != "tidy.py":
            yield number, "names a path of one machine"


def check_used(root):
    """Every source is built, every header included, every script called."""
    everything = {p: p.read_text(errors="replace") for p in code_files(root)}
    builders = {p: p.read_text(errors="replace") for p in build_files(root)}
    builders.update({p: text for p, text in everything.items() if p.suffix in SCRIPTS})
    globbed = {p.parent / m for p in builders for m in globs_of(p, builders[p])}
    for path in everything:
        others = [text for p, text in builders.items() if p != path]
        named = any(re.search(rf"(?<![\w-]){re.escape(path.name)}(?![\w-])", text) for text in others)
        built = named or path.parent / ("*" + path.suffix) in globbed or named_by_stem(path, builders)
        if path.suffix in SOURCES and not built:
            yield path, 1, "nothing builds this file"
        elif path.suffix in HEADERS and not any(
                f'/{path.name}"' in text or f'"{path.name}"' in text for p, text in everything.items() if p != path):
            yield path, 1, "nothing includes this file"
        elif path.suffix in SCRIPTS and not built and not any(
                re.search(rf"import {re.escape(path.stem)}\b", text) for text in others):
            yield path, 1, "nothing calls this file"


def named_by_stem(path, builders):
    """Named without its suffix by a builder beside it: "hooks.o", or in a list whose items become ${item}.c or $part.sh."""
    objects = re.compile(r"\.o\b" if path.suffix == ".c" else r"(?!)")
    item = re.compile(r"\$\{?\w+\}?" + re.escape(path.suffix))
    stem = re.compile(rf"(?<![\w-]){re.escape(path.stem)}(?![\w-])")
    return any(p.parent == path.parent and p != path and stem.search(text) and (objects.search(text) or item.search(text))
               for p, text in builders.items())


def build_files(root):
    """What decides what is built and called: lists of CMake and Kbuild, and programs without a suffix (run, test, …)."""
    for name in ("CMakeLists.txt", "Kbuild", "Makefile"):
        yield from (p for p in root.rglob(name) if "build" not in p.relative_to(root).parts)
    for folder in (root, root / ".ci", *(p for p in (root / "plugins").rglob("*") if p.is_dir())):
        yield from (p for p in folder.glob("*") if p.is_file() and not p.suffix and p.read_bytes()[:2] == b"#!")


def globs_of(path, text):
    if path.name == "CMakeLists.txt":
        for call in re.findall(r"file\(GLOB[^)]*\)", text):
            yield from re.findall(r"[\w/.-]*\*\.\w+", call)


def findings(root):
    for path in code_files(root):
        lines = path.read_text(errors="replace").splitlines()
        for check in (check_includes, check_functions, check_length, check_words):
            for number, message in check(root, path, lines):
                yield path, number, message
    yield from check_used(root)


def self_test():
    faults = {
        "vmx/a.cpp": '#include "core/x.h"\n',
        "core/q.cpp": "#include <QString>\n",
        "ui/p.cpp": '#include "plugins/kvm/x.h"\n',
        "plugins/u.cpp": '#include "ui/x.h"\n',
        "nested/long.cpp": "int f() {\n" + "    g();\n" * 70 + "}\n",
        "core/huge.cpp": "// line\n" * 601,
        "app/path.cpp": "// see /" "work/main\n",
        "vmx/unbuilt.cpp": "",
        "vmx/unused.h": "",
        "tests/uncalled.py": "",
    }
    sound = {
        "plugins/one-of-a-list.c": "",
        "plugins/module/hooks.c": "",
        "vmx/good.cpp": '#include "vmx/good.h"\n\nint table[] = {\n' + "    1,\n" * 100 + "};\nint f() {\n" + "    g();\n" * 60 + "}\n",
        "vmx/good.h": "",
        "nested/globbed.cpp": '#include "vmx/good.h"\n',
        "tests/called.py": "",
        "plugins/image/part.sh": "gcc ${source}/helper.c",
        "plugins/image/helper.c": "",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in {**faults, **sound}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        built = [Path(n).name for n in [*faults, *sound] if n.endswith(".cpp") and "unbuilt" not in n and "globbed" not in n]
        (root / "CMakeLists.txt").write_text(" ".join(built) + " called.py")
        (root / "nested/CMakeLists.txt").write_text("file(GLOB sources CONFIGURE_DEPENDS *.cpp)")
        (root / "plugins/CMakeLists.txt").write_text("foreach(x one-of-a-list)\nadd_executable(${x} ${x}.c)\nendforeach()")
        (root / "plugins/module/Kbuild").write_text("obj-m := hooks.o")
        (root / "plugins/image/make").write_text("#!/bin/sh\nfor p in part; do . ./$p.sh; done")
        found = {str(path.relative_to(root)) for path, _, _ in findings(root)}
    assert found == set(faults), f"not found: {set(faults) - found}; found wrongly: {found - set(faults)}"


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    root = Path(sys.argv[1]).resolve()
    count = 0
    for path, number, message in findings(root):
        print(f"{path.relative_to(root)}:{number}: {message}")
        count += 1
    print(f"{count} findings")
    return 1 if count else 0


sys.exit(main())
