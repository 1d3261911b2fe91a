"""What the package believes of sumi.h, beside what a C compiler makes of it."""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT
from sumi import _abi
from sumi._library import library

HEADER = ROOT / "include/sumi.h"
sys.path.insert(0, str(ROOT / "python"))


@pytest.fixture(scope="module")
def header():
    if not HEADER.exists():
        pytest.skip("no sumi.h")
    import make_abi

    return make_abi.Header(HEADER.read_text(encoding="utf-8"))


def test_written_from_this_header(header, tmp_path):
    import make_abi

    lines = []
    make_abi.write(header, lines.append)
    with open(_abi.__file__, encoding="utf-8") as file:
        assert file.read() == "\n".join(lines) + "\n", "the package is older than sumi.h: build it again"


def test_layouts_are_the_compilers(header, tmp_path):
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    lines = ["#include <sumi.h>", "#include <stdio.h>", "int main(void) {", 'puts("{");']
    for struct, members in header.structs.items():
        lines.append(f'printf("\\"{struct}\\": [%zu", sizeof(struct {struct}));')
        for _, member, *_ in members:
            lines.append(f'printf(", [\\"{member}\\", %zu, %zu]", offsetof(struct {struct}, {member}), '
                f'sizeof ((struct {struct} *)0)->{member});')
        lines.append('puts("],");')
    for enum, values in header.enums.items():
        lines += [f'printf("\\"{value}\\": %d,", (int){value});' for value, _ in values]
    lines.append('puts("\\"end\\": 0}"); return 0; }')
    (tmp_path / "probe.c").write_text("\n".join(lines))
    subprocess.run([compiler, "-I", str(HEADER.parent), "probe.c", "-o", "probe"], cwd=tmp_path, check=True)
    found = json.loads(subprocess.run([tmp_path / "probe"], capture_output=True, check=True).stdout)

    for struct in header.structs:
        size, *members = found[struct]
        ours = getattr(_abi, struct)
        assert ctypes.sizeof(ours) == size, struct
        assert [name for name, *_ in ours._fields_] == [name for name, *_ in members]
        for name, offset, bytes in members:
            field = getattr(ours, name)
            assert (field.offset, field.size) == (offset, bytes), f"{struct}.{name}"
    for enum in (_abi.Status, _abi.Level):
        for value in enum:
            assert found["SUMI_" + value.name] == value


def test_every_struct_and_function_is_known(header):
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.S)
    bodies = set(re.findall(r"struct (sumi_\w+) \{", text))
    assert bodies == set(header.structs) and len(bodies) > 10
    functions = re.findall(r"^SUMI_API [^(]*?(sumi_\w+)\(([^;]*)\);", text, re.M)
    assert {name for _, name, _ in header.functions} == {name for name, _ in functions} and len(functions) > 40
    for name, arguments in functions:
        expected = 0 if arguments == "void" else arguments.count(",") + 1
        assert len(getattr(library, name).argtypes) == expected, name


def test_options_have_their_documentation():
    with open(_abi.__file__, encoding="utf-8") as file:
        text = file.read()
    assert re.search(r'    steps: int\n    """20; 1 … 10000"""', text)
    assert "    from_: float" in text  # a word of Python's
    assert "    prompt: " not in text.split("class Options(")[1].split("class ")[0]


def test_every_function_is_reachable(header):
    """What the package has no use for: defaults are set by `DEFAULTS`, a picture is made from bytes and knows its
    size, and what has a newer or an equal form is called by that one."""
    unused = {"sumi_image_new", "sumi_image_writable", "sumi_convert", "sumi_merge", "sumi_training_find",
        "sumi_image_size_of"}
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "python/sumi").glob("*.py"))
    for _, name, _ in header.functions:
        if name not in unused and not name.endswith("_init") or name == "sumi_init":
            assert re.search(rf"library\.{name}\b", source), name
