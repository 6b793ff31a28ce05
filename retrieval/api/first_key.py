"""What an installation has from its first start on: a secret of its own, a project, and a key. Quick to import."""

import os
import secrets
from pathlib import Path
from typing import Final

from retrieval.api.secret_files import KEY_FILE, PEPPER_FILE
from retrieval.catalog.account_rows import Scope
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.catalog.transaction import Catalog
from retrieval.ids import ProjectId, new_key_id, new_project_id

DEFAULT_PROJECT: Final = "default"
ALL_SCOPES: Final = (Scope.READ, Scope.WRITE, Scope.ADMIN)


def pepper_of(given: str, folder: Path) -> bytes:
    """The installation's own secret; without it stored hashes cannot be tried against guessed keys. One that is not
    given is made once and kept in the folder."""
    return (given or _kept_once(folder / PEPPER_FILE, secrets.token_hex(32))).encode()


def first_project(catalog: Catalog) -> ProjectId:
    with catalog.transaction() as tx:
        known = tx.projects.named(DEFAULT_PROJECT)
        if known is not None:
            return known.id
        return tx.projects.add(new_project_id(), DEFAULT_PROJECT, catalog.now()).id


def ensure_key(
    given: str, folder: Path, catalog: Catalog, project: ProjectId, pepper: bytes, *, required: bool
) -> str | None:
    """The first key: the one that is given, else, if keys are required, one minted at the first start and kept in the
    folder. Returns it when it was minted just now, to be shown once."""
    secret, minted = given, None
    if not secret:
        if not required:
            return None
        fresh = f"sk-carrel-{secrets.token_urlsafe(32)}"
        secret = _kept_once(folder / KEY_FILE, fresh)
        minted = secret if secret == fresh else None
    hashed = hash_of(secret, pepper)
    with catalog.transaction() as tx:
        if tx.keys.find(hashed) is None:
            tx.keys.add(NewKey(new_key_id(), project, "first key", hashed, hint_of(secret), ALL_SCOPES), catalog.now())
    return minted


def _kept_once(path: Path, fresh: str) -> str:
    """The file's content; the first of several processes that start at once writes it, whole, for its owner's eyes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(fresh)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.read_text().strip()
        return fresh
    finally:
        temporary.unlink()
