"""default.toml -> the page of all settings. `python -m configs.page > docs/configuration.md` writes it anew."""

import sys
from importlib import resources

from configs.settings import PREFIX

HEAD = """# Configuration

Written from `configs/default.toml` by `python -m configs.page`; do not edit by hand.

A setting is taken from the environment, else from the TOML file that `CARREL_CONFIG` names, else it has the
default below. An unknown key or a value that does not fit stops the start with one line for each.
"""


def page(toml: str) -> str:
    lines = [HEAD]
    section = ""
    comment: list[str] = []
    for line in toml.splitlines()[4:]:  # the first lines speak to the reader of the file
        if line.startswith("["):
            section = line.strip("[]")
            lines.append(f"\n## [{section}]\n")
            if comment:  # before a table: of the table
                lines.append(" ".join(comment))
                comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        elif " = " in line:
            key, value = line.split(" = ", 1)
            name = PREFIX + (f"{section}_{key}" if section else key).upper()
            lines.append(f"- `{key}` / `{name}`, default `{value}`. {' '.join(comment)}".rstrip())
            comment = []
    return "\n".join(lines) + "\n"


def main() -> None:
    sys.stdout.write(page(resources.files("configs").joinpath("default.toml").read_text("utf-8")))


if __name__ == "__main__":
    main()
