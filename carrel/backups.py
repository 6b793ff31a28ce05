"""`carrel backup` and `carrel restore`: an installation copied while it runs, looked at, and made anew."""

from pathlib import Path
from typing import Annotated

import typer

from carrel.backup import back_up
from carrel.exits import Exit
from carrel.options import ConfigOption, JsonOption
from carrel.output import Output, size
from carrel.restoring import restore, verify
from configs.settings import load_settings


def backup_command(
    target: Annotated[Path, typer.Argument(help="Folder for backups; one for each installation.")],
    check: Annotated[bool, typer.Option("--verify", help="Make none: look at every byte of those there.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Link files on the same disk instead of copying them.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the installation of the settings while it runs; copies only what is new."""
    output = Output(as_json=as_json)
    if check:
        reports = verify(target)
        bad = [report for report in reports if not report.whole]
        sentence = (
            f"{len(reports)} backups, {len(bad)} of them not whole"
            if bad
            else f"{len(reports)} backups, all whole, {reports[-1].objects:,} objects in the newest"
        )
        output.done({"object": "list", "data": [report.document() for report in reports]}, sentence)
        if bad:
            raise typer.Exit(Exit.INCOMPLETE)
        return
    report = back_up(load_settings(file=config), target, link=link)
    output.done(
        report.document(),
        f"Backup {report.backup}: {report.objects:,} objects, {size(report.bytes)}; "
        f"{report.copied:,} copied, {size(report.copied_bytes)}",
    )


def restore_command(
    target: Annotated[Path, typer.Argument(help="Folder with backups.")],
    into: Annotated[Path | None, typer.Option("--into", help="Empty data folder; else that of the settings.")] = None,
    name: Annotated[str | None, typer.Option("--backup", help="Which; else the newest.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an installation of a backup, looked at before."""
    data = into or load_settings(file=config).data_dir
    report = restore(target, data, name)
    Output(as_json=as_json).done(
        {**report.document(), "data_dir": str(data)},
        f"Backup {report.backup} is in {data}: {report.objects:,} objects, {size(report.bytes)}. Start it there.",
    )
