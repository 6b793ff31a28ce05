"""Attributes by template, and front matter however it is written."""

import pytest

from retrieval.errors import InvalidInput
from retrieval.sources.selection import Selection, checked_patterns
from retrieval.sources.templates import Facts, attributes_of, check_template, front_matter

FACTS = Facts("guides/deep/Intro.tar.GZ", 12, 1_700_000_000)


def test_a_lone_placeholder_keeps_its_type_and_a_mixture_is_text() -> None:
    templates = {"n": "{front.n}", "label": "v{front.n} of {stem}", "when": "{modified}", "size": "{bytes}"}
    assert attributes_of(templates, FACTS, {"n": 3}) == {
        "n": 3,
        "label": "v3 of Intro.tar",
        "when": 1_700_000_000,
        "size": 12,
    }


def test_parts_of_the_path() -> None:
    templates = {name: f"{{{name}}}" for name in ("path", "name", "stem", "folder", "extension")}
    assert attributes_of(templates, FACTS, {}) == {
        "path": "guides/deep/Intro.tar.GZ",
        "name": "Intro.tar.GZ",
        "stem": "Intro.tar",
        "folder": "guides/deep",
        "extension": "gz",
    }
    assert attributes_of(templates, Facts("top", 1, None), {})["folder"] == ""


def test_what_is_missing_leaves_its_attribute_out_and_long_text_is_cut() -> None:
    templates = {"a": "{front.none}", "b": "by {front.none}", "m": "{modified}", "c": "{path}"}
    assert attributes_of(templates, Facts("x" * 600, 1, None), {}) == {"c": "x" * 512}


def test_front_matter_cannot_put_words_into_a_templates_mouth() -> None:
    assert attributes_of({"a": "{front.x} {name}"}, FACTS, {"x": "{path}"}) == {"a": "{path} Intro.tar.GZ"}


@pytest.mark.parametrize("template", ["{}", "{front}", "{front.}", "{Path}", "{a b}"])
def test_unknown_placeholders_are_refused(template: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_template(template, "attributes.x")
    assert caught.value.param == "attributes.x"


@pytest.mark.parametrize("template", ["", "plain", "{path}", "{front.a b}", "{ {path} }", "}{"])
def test_everything_else_is_text(template: str) -> None:
    check_template(template, "attributes.x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "---\na: 1\nb: [x, 2]\nc: 2026-01-02\nd: yes\ne: {f: 1}\n---\nText",
            {"a": 1, "b": "x, 2", "c": "2026-01-02", "d": True},
        ),
        ("\ufeff---\r\na: x\r\n---\r\nText", {"a": "x"}),
        ("---\na: 1\n...\nText", {"a": 1}),
        ("---\n---\n", {}),
        ("Text\n---\na: 1\n---\n", {}),
        ("---\na: 1\nno end", {}),
        ("---\n- a\n- b\n---\n", {}),
        ("---\na: [unclosed\n---\n", {}),
        ("---\na: !!python/object/apply:os.system ['true']\n---\n", {}),
        ("---\na: .nan\nb: .inf\nc: 99999999999999999999\n---\n", {}),
        ("---\n" + "[" * 3000 + "\n---\n", {}),
        ("---\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n---\n", {"a": "x, x", "b": "", "c": ""}),
    ],
)
def test_front_matter_is_what_stands_between_two_lines_of_dashes(text: str, found: dict[str, object]) -> None:
    assert front_matter(text.encode()) == found


def test_patterns_are_those_of_gitignore() -> None:
    selection = Selection(("*.md", "!draft*.md", "docs/"), (".*", "build/"))
    taken = ["a.md", "deep/b.md", "docs/c.txt"]
    left = ["draft1.md", "a.txt", ".git/x.md", "deep/.hidden.md", "build/d.md", "deep/build/e.md"]
    assert [path for path in taken + left if selection.takes(path)] == taken
    assert selection.enters("deep")
    assert not selection.enters("deep/build")
    assert not selection.enters(".git")
    assert Selection((), ()).takes(".git/config")
    with pytest.raises(InvalidInput):
        checked_patterns(["fine", "!"], "include")


@pytest.mark.parametrize(
    "line",
    ["!!int ''", "!!float ''", "!!bool maybe", "!!timestamp soon", "[" * 5_000, "2026-13-45", "!!python/name:os"],
)
def test_what_yaml_stumbles_over_is_no_front_matter(line: str) -> None:
    assert front_matter(f"---\nx: {line}\n---\n".encode()) == {}


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9223372036854775808", ".inf", "-.inf", ".nan"])
def test_numbers_beyond_all_bounds_are_left_out(number: str) -> None:
    assert front_matter(f"---\nx: {number}\ny: 1\n---\n".encode()) == {"y": 1}
