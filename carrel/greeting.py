"""What a person sees when the service is up: where it is, the key, and three lines that use it."""

import typer

from configs.settings import Settings
from retrieval.api.secret_files import KEY_FILE


def greet(settings: Settings, url: str, minted: str | None) -> None:
    key_file = settings.data_dir / KEY_FILE
    if not settings.access.require_keys:
        key = "none is needed"
    elif settings.api_key:
        key = "the one in CARREL_API_KEY"
    elif minted:
        key = f"{minted}   (shown this once; kept in {key_file})"
    else:
        key = f"in {key_file}"
    shown = minted or "YOUR_KEY"
    typer.echo(
        f"\nCarrel is ready at {url}/v1\n"
        f"Key: {key}\n\n"
        "  from openai import OpenAI\n"
        f'  client = OpenAI(base_url="{url}/v1", api_key="{shown}")\n'
        '  print(client.vector_stores.create(name="first").id)\n\n'
        "Stop with Ctrl-C.\n"
    )
