from ingest.document import BlockKind, Document
from ingest.parsing.limits import Limits
from ingest.parsing.source_code import parse_source_code

PYTHON = '''\
"""Module."""

import os


class Store:
    """Holds."""

    @property
    def size(self) -> int:
        one = 1

        return one

    async def load(self) -> None:
        pass


def main() -> None:
    a()

    b()


main()
'''


def read(text: str, language: str) -> Document:
    return parse_source_code(text.encode(), Limits(), language)


def paths(document: Document) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (document.text[block.start : block.end].strip().splitlines()[0].strip(), block.heading_path)
        for block in document.blocks
    ]


def test_python_stands_under_its_classes_and_functions() -> None:
    document = read(PYTHON, "python")
    assert document.text == PYTHON
    assert {block.kind for block in document.blocks} == {BlockKind.CODE}
    assert paths(document) == [
        ('"""Module."""', ()),
        ("import os", ()),
        ("class Store:", ()),
        ("@property", ("class Store",)),
        ("return one", ("class Store", "def size")),
        ("async def load(self) -> None:", ("class Store",)),
        ("def main() -> None:", ()),
        ("b()", ("def main",)),
        ("main()", ()),
    ]


def test_indentation_belongs_to_the_block() -> None:
    document = read(PYTHON, "python")
    assert document.text[document.blocks[3].start :].startswith("    @property")


def test_braces_are_followed_by_their_indentation() -> None:
    java = (
        "public class A {\n\n    int a;\n\n    class In {\n\n        int b;\n\n    }\n\n    int c;\n}\n\n"
        "final class B {\n\n  int d;\n}\n"
    )
    assert paths(read(java, "java")) == [
        ("public class A {", ()),
        ("int a;", ("class A",)),
        ("class In {", ("class A",)),
        ("int b;", ("class A", "class In")),
        ("}", ("class A", "class In")),
        ("int c;", ("class A",)),
        ("final class B {", ()),
        ("int d;", ("class B",)),
    ]


def test_functions_of_c_go_and_rust_are_known() -> None:
    assert paths(read("static int *find(int a)\n{\n    x();\n\n    y();\n}\n", "c"))[1] == ("y();", ("find()",))
    assert paths(read("func (s *Server) Run(x int) {\n\ta()\n\n\tb()\n}\n", "go"))[1] == ("b()", ("func Run",))
    assert paths(read("pub(crate) async fn go<T>(x: T) {\n    a();\n\n    b();\n}\n", "rust"))[1] == (
        "b();",
        ("fn go",),
    )


def test_configuration_has_no_definitions() -> None:
    assert {path for _, path in paths(read("class x: 1\n\n  y: 2\n", "yaml"))} == {()}


def test_the_media_type_names_the_language() -> None:
    assert read("x", "c++").media_type == "text/x-cpp"
    assert read("x", "c#").media_type == "text/x-csharp"
    assert read("x", "").media_type == "text/x-source"


def test_lines_without_end_take_no_quadratic_time() -> None:
    lines = ["public " * 100_000, "a " * 300_000, "int*" * 200_000, "class " * 100_000]
    for text in (*lines, " " * 1_000_000 + "x", "\n \n" * 300_000 + "x"):
        for language in ("java", "c"):
            assert read(text, language).blocks
