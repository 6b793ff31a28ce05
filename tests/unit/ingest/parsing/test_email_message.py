from email.message import EmailMessage

import pytest

from ingest.document import Document
from ingest.errors import EmptyDocument, HostileDocument
from ingest.parsing.email_message import parse_email
from ingest.parsing.limits import Limits


def read(source: bytes) -> Document:
    return parse_email(source, Limits())


def texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def letter(subject: str = "Grüße", words: str = "Hello\n\nworld\n") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <ann@example.org>", "bob@example.org", subject
    message.set_content(words)
    return message


def test_headers_and_paragraphs() -> None:
    document = read(letter().as_bytes())
    assert texts(document) == ["From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: Grüße", "Hello", "world"]
    assert document.title == "Grüße"


def test_of_alternatives_the_plain_one_is_read() -> None:
    message = letter(words="plain")
    message.add_alternative("<p>rich</p>", subtype="html")
    assert texts(read(message.as_bytes()))[1:] == ["plain"]


def test_html_alone_is_read_as_html() -> None:
    message = letter()
    message.set_content("<h1>Big</h1><p>rich<script>x</script></p>", subtype="html")
    assert texts(read(message.as_bytes()))[1:] == ["Big", "rich"]


def test_attachments_are_named_and_left_out() -> None:
    message = letter()
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    document = read(message.as_bytes())
    assert "Rechnung März.pdf" in document.warnings[0]
    assert "PDF-1.7" not in document.text


def test_a_forwarded_message_stands_under_its_subject() -> None:
    message = letter()
    message.add_attachment(letter("Inner", "inner words"))
    document = read(message.as_bytes())
    assert document.blocks[-1].heading_path == ("Inner",)
    assert texts(document)[-1] == "inner words"


@pytest.mark.parametrize("charset", ["nonsense", "utf-8", '""', "base64"])
def test_a_wrong_charset_is_no_hindrance(charset: str) -> None:
    source = f"Subject: x\r\nContent-Type: text/plain; charset={charset}\r\n\r\ncafé\r\n".encode()
    assert texts(read(source))[-1] == "café"


@pytest.mark.parametrize(
    "headers",
    [
        b"From: <<<>>>@@\r\nSubject: =?utf-8?q?broken\r\n",
        b"To: \xff\xfe\r\nDate: yesterday\r\nSubject: s\r\n",
        b"Content-Type: text/plain; charset\r\nSubject: " + b"x" * 100_000 + b"\r\n",
        b"Content-Type: ;;;\r\nContent-Disposition: ===\r\nSubject: a\r\n",
        b"Content-Transfer-Encoding: base64\r\nSubject: s\r\n",
    ],
)
def test_broken_headers_are_shown_as_they_stand(headers: bytes) -> None:
    assert read(headers + b"\r\nbody\r\n").text


def test_messages_in_messages_without_end_are_refused() -> None:
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(1000))
    with pytest.raises(HostileDocument):
        read(nested.encode())
    with pytest.raises(HostileDocument):
        read(b"Content-Type: message/rfc822\n\n" * 1000 + b"Subject: x\n\ny")


def test_nothing_in_it_is_an_empty_document() -> None:
    with pytest.raises(EmptyDocument):
        read(b"X-Nothing: x\n\n \n")
