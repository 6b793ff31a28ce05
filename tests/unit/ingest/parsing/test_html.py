import pytest

from ingest.document import BlockKind, Document
from ingest.errors import DocumentError, DocumentTooLarge, EmptyDocument, HostileDocument
from ingest.parsing.html import parse_html
from ingest.parsing.limits import MEBIBYTE, Limits

H, P, L, T, C = (
    BlockKind.HEADING,
    BlockKind.PARAGRAPH,
    BlockKind.LIST_ITEM,
    BlockKind.TABLE_ROW,
    BlockKind.CODE,
)


def read(markup: str | bytes) -> Document:
    return parse_html(markup if isinstance(markup, bytes) else markup.encode(), Limits())


def shape(document: Document) -> list[tuple[BlockKind, str]]:
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


def test_what_a_reader_came_for_stays_and_page_furniture_goes() -> None:
    document = read("""
        <html><head><title>A &amp; B</title><style>p{}</style><script>var x = "<p>no</p>"</script></head><body>
        <nav><a href=/>Home</a></nav><header><a>Logo</a></header><div class="sidebar">Links</div>
        <div role=navigation>Menu</div><div aria-hidden=true>icon</div><p hidden>secret</p>
        <h1>Title</h1><p>Words <b>in</b> bold.</p><!-- comment --><noscript>no</noscript><button>Buy</button>
        <footer>Imprint</footer></body></html>""")
    assert document.title == "A & B"
    assert shape(document) == [(H, "Title"), (P, "Words in bold.")]


def test_the_header_of_an_article_belongs_to_it() -> None:
    document = read(
        "<header>site</header><article><header><h1>T</h1>by Ann</header><p>x</p><footer>note</footer></article>"
    )
    assert shape(document) == [(H, "T"), (P, "by Ann"), (P, "x"), (P, "note")]


def test_main_is_the_page_if_it_has_most_of_the_words() -> None:
    assert shape(read(f"<p>before</p><main><p>{'words ' * 50}</p></main><p>after</p>")) == [
        (P, ("words " * 50).strip())
    ]
    assert len(read(f"<p>{'words ' * 500}</p><main>app</main>").blocks) == 2


def test_a_page_that_is_all_furniture_is_read_whole() -> None:
    assert shape(read("<nav><ul><li>one</li><li>two</li></ul></nav>")) == [(L, "- one"), (L, "- two")]


def test_white_space_is_folded_as_browsers_do_but_not_in_code() -> None:
    document = read("<p>a\n   b&nbsp;c<br>d</p><pre><code>def f():\n    return 1\n</code></pre>")
    assert shape(document) == [(P, "a b c\nd"), (C, "def f():\n    return 1")]


def test_lists_nest_and_count() -> None:
    document = read("<ul><li>a<ol><li>b</li><li><p>c</p></li></ol></li><li>d</li></ul>")
    assert shape(document) == [(L, "- a"), (L, "1. b"), (L, "2. c"), (L, "- d")]
    assert [block.level for block in document.blocks] == [1, 2, 2, 1]


def test_tables_know_their_header() -> None:
    document = read(
        "<table><caption>Cap</caption><thead><tr><th>A<th>B</thead>"
        "<tr><td>1<td>2 <script>x</script><tr><td><td>4</table>"
    )
    assert shape(document) == [(P, "Cap"), (T, "A | B"), (T, "1 | 2"), (T, "| 4")]
    assert [block.table_header for block in document.blocks] == ["", "", "A | B", "A | B"]


def test_a_table_that_arranges_the_page_is_no_table() -> None:
    document = read("<table><tr><td><h2>Left</h2>one</td><td>two</td></tr></table>")
    assert shape(document) == [(H, "Left"), (P, "one"), (P, "two")]


def test_headings_open_paths() -> None:
    document = read("<h1>A<a href=#a>¶</a></h1><h2><a href=#b>§</a>B</h2><p>x</p><h2>C</h2><p>y</p>")
    assert document.blocks[2].heading_path == ("A", "B")
    assert document.blocks[4].heading_path == ("A", "C")


def test_pictures_leave_their_description() -> None:
    assert shape(read("<p>see <img src=x.png alt='a red door'> here</p>")) == [(P, "see a red door here")]


def test_the_page_s_own_word_on_its_encoding_counts() -> None:
    assert shape(read("<meta charset=windows-1251><p>Привет</p>".encode("cp1251"))) == [(P, "Привет")]
    assert shape(read("<meta charset=latin1><p>Größe</p>".encode("utf-16"))) == [(P, "Größe")]


def test_a_page_drawn_by_scripts_says_so() -> None:
    with pytest.raises(EmptyDocument, match="scripts"):
        read("<div id=root></div><script>render()</script>")


@pytest.mark.parametrize(
    "markup",
    ["<p>x", "</div></div>x", "<table><p>x", "<b><p>x</b>", "x<", "x<!--", "x<![CDATA[", "x&#xD800;", "<a href='x>y"],
)
def test_broken_markup_is_read_as_browsers_do(markup: str) -> None:
    try:
        assert "x" in read(markup).text
    except EmptyDocument:
        assert markup == "<a href='x>y"  # an attribute that never ends holds all there is


def test_unclosed_elements_in_their_hundreds_are_sloppy_and_no_attack() -> None:
    assert "last" in read("<p>x <b>y<font color=red>" * 300 + "last").text


@pytest.mark.parametrize(
    ("markup", "error"),
    [
        ("<div>" * 1_000_000, HostileDocument),
        ("<span><i>" * 50_000 + "x", HostileDocument),
        ("".join(f"<font size={n}>" for n in range(1900)) + "<p>x" * 100_000, HostileDocument),
        ("<p a=1 b=2 c=3>" * 2_000_000, DocumentTooLarge),
        ("<table>" + "<td>x" * 30_000, DocumentTooLarge),
    ],
    ids=["deep", "deep formatting", "formatting copied", "attributes", "columns"],
)
def test_pages_built_to_exhaust_the_reader_are_refused_before_they_do(markup: str, error: type[DocumentError]) -> None:
    with pytest.raises(error):
        read(markup)


def test_large_pages_are_read_without_their_ballast() -> None:
    picture = f"<img src='data:image/png;base64,{'QUJD' * 500_000}'>"
    ballast = f"<script>{'a=b;' * 500_000}</script>{picture}<!-- {'=' * 500_000} -->"
    document = parse_html(f"<p>first</p>{ballast}<p>last</p>".encode(), Limits(memory_bytes=64 * MEBIBYTE))
    assert shape(document) == [(P, "first"), (P, "last")]
