"""What people call things, to what the API calls them."""

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.remote import Json, Remote


def store_named(remote: Remote, given: str) -> Json | None:
    """The store with that id, or else the only one with that name; None if there is neither."""
    if given.startswith("vs_"):
        try:
            return remote.get(f"vector_stores/{given}")
        except ServerError as error:
            if error.status != 404:
                raise
    found = [store for store in remote.pages("vector_stores") if store["name"] == given]
    if len(found) > 1:
        ids = ", ".join(store["id"] for store in found)
        raise ServerError(
            f"{len(found)} stores are named {given!r}: say which by its id: {ids}.",
            exit_code=Exit.USAGE,
            code="ambiguous_name",
        )
    return found[0] if found else None


def the_store(remote: Remote, given: str) -> Json:
    found = store_named(remote, given)
    if found is None:
        raise no_store(given)
    return found


def no_store(given: str) -> ServerError:
    return ServerError(
        f"There is no vector store {given!r}. `carrel stores list` shows those that there are.",
        exit_code=Exit.NOT_FOUND,
        code="not_found",
    )


def store_id(remote: Remote, given: str) -> str:
    """By id, or by a name that only one store has."""
    return str(the_store(remote, given)["id"])
