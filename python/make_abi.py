"""make_abi.py SUMI_H OUT - writes sumi/_abi.py: what sumi.h declares, as ctypes and as types.

So Python knows every struct, function and option of the library it is built with, and nobody keeps a second list. The
header is read as text, which is enough for what stands in it: enums, structs of plain members, functions, and types of
functions. tests/test_abi.py compares the sizes and offsets that follow from it with the compiler's."""
import keyword
import re
import sys
import textwrap

PLAIN = {"int": "c_int", "bool": "c_bool", "double": "c_double", "float": "c_float", "size_t": "c_size_t", "int64_t": "c_int64",
    "uint64_t": "c_uint64", "char": "c_char", "unsigned char": "c_ubyte", "void": "None"}
IN_PYTHON = {"c_int": "int", "c_bool": "bool", "c_double": "float", "c_float": "float", "c_size_t": "int", "c_int64": "int", "c_uint64": "int"}
# Members of options that a Python function takes as parameters of its own.
PARAMETERS = {("sumi_options", "prompt"), ("sumi_evaluation_options", "data")}


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


class Header:
    def __init__(self, text):
        plain = without_comments(text)
        self.enums = {
            name: re.findall(r"(\w+)(?:\s*=\s*(\d+))?", body)
            for body, name in re.findall(r"typedef enum \w+ \{([^}]*)\} (\w+);", plain)}
        self.structs = {}  # name -> [(type, member, array, comment)]
        for name, body in re.findall(r"^(?:typedef )?struct (\w+) \{(.*?)^\}", text, re.S | re.M):
            self.structs[name] = list(members(body))
        self.opaque = [n for n in re.findall(r"typedef struct (\w+) \1;", plain) if n not in self.structs]
        self.callbacks = re.findall(r"typedef ([\w ]+?) (\w+)\(([^)]*)\);", plain)
        self.functions = re.findall(r"SUMI_API ([\w ]+?[ *]+)(\w+)\(([^;]*)\);", plain)


def members(body):
    """The members of a struct with their comments: those before a line and those behind it."""
    leading, last = "", []
    for match in re.finditer(r"/\*(.*?)\*/|([^;/]+);|\n", body, re.S):
        comment, declaration = match.groups()
        if comment is not None:
            comment = " ".join(line.strip(" \t*") for line in comment.splitlines()).strip()
            if last and "\n" not in body[last_end:match.start()].strip(" \t"):
                for member in last:
                    member[3] = (member[3] + " " + comment).strip()
                last_end = match.end()
            else:
                leading = comment
        elif declaration is not None:
            yield from last
            last, last_end = [[*one, leading] for one in declared(" ".join(declaration.split()))], match.end()
            leading = ""
    yield from last


def declared(text):
    """(type, name, array) of each name that a declaration has."""
    function = re.match(r"(\w+) \(\*(\w+)\)\((.*)\)$", text)
    if function:
        return [(("function", function[1], function[3]), function[2], None)]
    first, *others = text.split(",")
    kind, name = re.match(r"(.*?[ *]+)(\w+(?:\[\d+\])?)$", first.strip()).groups()
    names = [re.match(r"(\**)\s*(\w+)(?:\[(\d+)\])?$", n.strip()).groups() for n in [name, *others]]
    base = kind.rstrip("* ") if others else kind
    return [(kind if i == 0 else base + stars, name, array) for i, (stars, name, array) in enumerate(names)]


def ctype(kind, header):
    """The ctypes expression of a C type."""
    if isinstance(kind, tuple):
        return callback(kind[1], kind[2], header)
    stars = kind.count("*")
    base = re.sub(r"\bconst\b|\bstruct\b|\*", " ", kind)
    base = " ".join(base.split())
    if base in header.enums:
        name = "c_int"
    elif base in PLAIN:
        name = PLAIN[base]
    elif any(base == one for _, one, _ in header.callbacks):
        return base
    elif base in header.structs or base in header.opaque:
        name = base
    else:
        sys.exit(f"make_abi.py: what is {kind!r}?")
    if stars and base == "void":
        name, stars = "c_void_p", stars - 1
    elif stars and base == "char":
        name, stars = "c_char_p", stars - 1
    return "POINTER(" * stars + name + ")" * stars


def arguments(text, header):
    kinds = []
    for argument in re.split(r",\s*", " ".join(text.split())):
        if argument == "void":
            continue
        array = argument.endswith("]")
        kind = re.sub(r"\w+(\[\d*\])?$", "", argument) + ("*" if array else "")
        kinds.append(ctype(kind, header))
    return kinds


def callback(result, text, header):
    return f"CFUNCTYPE({', '.join([ctype(result, header), *arguments(text, header)])})"


def camel(name):
    return "".join(word.capitalize() for word in name.removeprefix("sumi_").split("_"))


def python_type(kind, header):
    """What a Python caller gives for a member of an options struct; None: it is not for them."""
    c = ctype(kind, header)
    if c in IN_PYTHON:
        return IN_PYTHON[c]
    if c == "c_char_p":
        return "Text"
    if c == "POINTER(c_char_p)":
        return "Sequence[Text]"
    pointed = re.sub(r"POINTER\(|\)", "", c)
    if pointed == "sumi_image":
        one = "ImageLike"
    elif pointed in header.structs and is_options(pointed, header):
        one = camel(pointed)
    else:
        return None
    return f"Sequence[{one}]" if c.count("POINTER") == 2 else one


def is_options(struct, header):
    """Structs that callers fill have a function that sets their defaults; listeners are not among them."""
    filled = any(name == struct + "_init" for _, name, _ in header.functions)
    return filled and not any(isinstance(kind, tuple) for kind, *_ in header.structs[struct])


def documented(comment):
    comment = re.sub(r"\bNULL\b", "None", comment)
    comment = re.sub(r"sumi_(\w+)_name\(\)", r"sumi.\1s()", comment)
    comment = comment.replace("\\", "\\\\")
    if comment.endswith('"'):
        comment = comment[:-1] + '\\"'
    return textwrap.wrap(comment, 112)


def in_python(member):
    """A member's name, with "_" behind it where it is a word of Python's own."""
    return member + "_" * keyword.iskeyword(member)


def write_options(struct, header, out):
    members = header.structs[struct]
    counts = {members[i + 1][1] for i, (kind, *_) in enumerate(members) if kind.endswith("*const *")}
    out(f"\n\nclass {camel(struct)}(TypedDict, total=False):")
    out(f'    """What struct {struct} of sumi.h holds: every member may be left out."""')
    for kind, member, _, comment in members:
        kind = python_type(kind, header)
        if member == "size" or member in counts or kind is None or (struct, member) in PARAMETERS:
            continue
        out(f"    {in_python(member)}: {kind}")
        lines = documented(comment)
        if lines:
            out('    """' + "\n    ".join(lines) + '"""')


def write(header, out):
    out('"""What sumi.h declares. Written by make_abi.py from the header; not to be changed by hand."""')
    out("from __future__ import annotations")
    out("from ctypes import CDLL, CFUNCTYPE, POINTER, Structure")
    out("from ctypes import c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_ubyte, c_uint64, c_void_p")
    out("from enum import IntEnum")
    out("from typing import Any, Sequence, TypedDict")
    out("from ._types import ImageLike, Text")
    for name, values in header.enums.items():
        out(f"\n\nclass {camel(name)}(IntEnum):")
        number = -1
        for value, given in values:
            number = int(given) if given else number + 1
            out(f"    {value.removeprefix('SUMI_')} = {number}")
    for name in [*header.opaque, *header.structs]:
        out(f"\n\nclass {name}(Structure):")
        if name in header.opaque:
            out("    pass")
        for kind, member, array, _ in header.structs.get(name, []):
            c = ctype(kind, header)
            out(f"    {in_python(member)}: {'bytes' if array else IN_PYTHON.get(c, 'Any')}")
    out("\n")
    for result, name, text in header.callbacks:
        out(f"{name} = {callback(result, text, header)}")
    for name, fields in header.structs.items():
        out(f"\n{name}._fields_ = [")
        for kind, member, array, _ in fields:
            out(f"    (\"{member}\", {ctype(kind, header)}{f' * {array}' if array else ''}),")
        out("]")
    for name in header.structs:
        if is_options(name, header):
            write_options(name, header, out)
    out("\n\n# Structs that have defaults, and the function that sets them.")
    out("DEFAULTS = {")
    for _, name, _ in header.functions:
        if name.endswith("_init") and name.removesuffix("_init") in header.structs:
            out(f"    {name.removesuffix('_init')}: \"{name}\",")
    out("}\n\n\ndef declare(library: CDLL) -> None:")
    out('    """Gives the library\'s functions their types."""')
    for result, name, text in header.functions:
        owned = result.strip() == "char *"  # its address is wanted, to free it
        out(f"    library.{name}.restype = {'c_void_p' if owned else ctype(result, header)}")
        out(f"    library.{name}.argtypes = [{', '.join(arguments(text, header))}]")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        header = Header(file.read())
    lines = []
    write(header, lines.append)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
