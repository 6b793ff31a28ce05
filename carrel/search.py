"""`carrel search`: a question to a store; hits with the question's words marked."""

import json
import math
import re
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from carrel.asking import Asking, StoreArgument, asking
from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.output import Output
from carrel.remote import Json

COMPARISONS: Final = (("!=", "ne"), (">=", "gte"), ("<=", "lte"), ("=", "eq"), (">", "gt"), ("<", "lt"))
PLAIN: Final = re.compile(r"\s*([^=<>!]+?)\s*(!=|>=|<=|=|>|<)\s*(.*)\Z", re.DOTALL)
SHOWN_CHARACTERS: Final = 600
SHORT_WORD: Final = 3


@asking()
def search(
    ask: Asking,
    store: StoreArgument,
    query: Annotated[list[str], typer.Argument(metavar="QUESTION...", help="What is asked; words are joined.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many hits.")] = 10,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            "-f",
            help="Only files with this attribute: key=value, also != > >= < <=, key=a,b,c for any of them; or a filter"
            " as JSON. Given more than once, all must hold.",
        ),
    ] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Only hits with at least this score.")] = None,
    ranker: Annotated[str | None, typer.Option(help="'none' is the order of the vectors alone.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show whole chunks, however long.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show scores by stage, timings and places in the file.")
    ] = False,
) -> None:
    """Search a store."""
    question = " ".join(query)
    body: Json = {"query": question, "max_num_results": limit}
    if filters:
        body["filters"] = parse_filters(filters)
    if threshold is not None or ranker is not None:
        options = {"score_threshold": threshold, "ranker": ranker}
        body["ranking_options"] = {name: value for name, value in options.items() if value is not None}
    page, output = ask.remote.post(f"{ask.store(store)}/search", body, trace=True if trace else None), ask.output
    if output.as_json:
        output.json(page)
    elif not output.out.is_terminal:
        rows = [[f"{hit['score']:.4f}", hit["file_id"], hit["filename"], text_of(hit)] for hit in page["data"]]
        output.table((), rows)
    else:
        _show(page, question, output, full=full)


def parse_filters(given: list[str]) -> Json:
    """One filter of the API's grammar from all that were given. Pure."""
    parts = [_parsed(one) for one in given]
    return parts[0] if len(parts) == 1 else {"type": "and", "filters": parts}


def _parsed(given: str) -> Json:
    if given.lstrip().startswith("{"):
        try:
            found: Json = json.loads(given, parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            raise ServerError(f"--filter: {given!r} is not JSON: {error}.", exit_code=Exit.USAGE) from error
        return found
    match = PLAIN.match(given)
    if match is None:
        raise ServerError(f"--filter: {given!r} is neither key=value nor JSON.", exit_code=Exit.USAGE)
    name, sign, text = match.groups()
    kind = dict(COMPARISONS)[sign]
    if kind in {"eq", "ne"} and "," in text and not text.startswith('"'):
        values = [typed(one.strip()) for one in text.split(",")]
        return {"type": "in" if kind == "eq" else "nin", "key": name, "value": values}
    return {"type": kind, "key": name, "value": typed(text.strip())}


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def typed(text: str) -> Any:
    """A value as JSON has it if it is a number, a boolean or in quotes, else as text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):  # Python reads `Infinity`, which no JSON can carry
        return text
    return value if isinstance(value, str | int | float | bool) else text


def text_of(hit: Json) -> str:
    return "\n".join(piece["text"] for piece in hit["content"])


def _show(page: Json, question: str, output: Output, *, full: bool) -> None:
    traced = page.get("trace", {})
    if not page["data"]:
        output.remark("Nothing was found.")
    for number, hit in enumerate(page["data"], 1):
        head = Text.assemble(
            (f"{number:2}. ", "bold"), (f"{hit['score']:.3f}", "green"), "  ", (hit["filename"], "bold cyan")
        )
        head.append(f"  {hit['file_id']}", "dim")
        for name, value in (hit["attributes"] or {}).items():
            head.append(f"  {name}={value}", "dim")
        output.say(head)
        if traced:
            output.say(_traced(traced["results"][number - 1]))
        text = text_of(hit).strip()
        if not full and len(text) > SHOWN_CHARACTERS:
            text = text[:SHOWN_CHARACTERS].rsplit(maxsplit=1)[0] + " …"
        output.say(marked(text, question), soft_wrap=False)
        output.out.print()
    if traced:
        stages = ", ".join(f"{stage} {spent:.1f} ms" for stage, spent in traced["milliseconds"].items())
        living, allowed = traced["rows_living"], traced["rows_allowed"]
        output.out.print(
            Text(f"generation {traced['generation']}; {allowed:,} of {living:,} chunks allowed; {stages}", "dim")
        )


def _traced(result: Json) -> Text:
    scores = "  ".join(f"{name} {value:.3f}" for name, value in result["scores"].items() if value is not None)
    place = f"chunk {result['ordinal']}, characters {result['start']:,} to {result['end']:,}"
    if result["page"] is not None:
        place += f", page {result['page']}"
    headings = " > ".join(result["heading_path"])
    return Text(f"    {scores}\n    {place}{'  ' + headings if headings else ''}", "dim")


def marked(text: str, question: str) -> Text:
    """The text with the question's words marked, also where they go on: 'index' marks 'indexes'."""
    shown = Text(text)
    words = {word for word in re.findall(r"\w+", question.casefold()) if len(word) >= SHORT_WORD}
    if words:
        longest = sorted(words, key=len, reverse=True)
        pattern = "|".join(re.escape(word) for word in longest)
        shown.highlight_regex(re.compile(rf"\b(?:{pattern})\w{{0,3}}\b", re.IGNORECASE), "bold yellow")
    return shown
