"""A small program against the API, for any release of the official SDK: run with the address and the key."""

import sys

import openai


def main(address: str, key: str) -> None:
    client = openai.OpenAI(base_url=address, api_key=key)
    assert [model.id for model in client.models.list()]
    store = client.vector_stores.create(name="SDK", metadata={"made": "by a program"})
    batch = client.vector_stores.file_batches.upload_and_poll(
        vector_store_id=store.id,
        files=[("tea.md", b"# Tea\n\nGreen tea is steamed in Japan."), ("ships.txt", b"The schooner left at dawn.")],
    )
    assert batch.status == "completed", batch
    assert batch.file_counts.completed == 2, batch
    single = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("n.txt", b"Nine sailors."))
    assert single.status == "completed", single
    client.vector_stores.files.update(single.id, vector_store_id=store.id, attributes={"count": 9})
    found = client.vector_stores.search(
        vector_store_id=store.id,
        query="sailors",
        filters={"type": "gte", "key": "count", "value": 9},
        max_num_results=3,
        ranking_options={"ranker": "auto", "score_threshold": 0.0},
    )
    assert [hit.file_id for hit in found] == [single.id], found
    page = client.vector_stores.files.content(single.id, vector_store_id=store.id)
    assert "".join(piece.text or "" for piece in page) == "Nine sailors."
    assert len([file.id for file in client.vector_stores.files.list(store.id, limit=1)]) == 3
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert len(vectors.data) == 2
    assert abs(sum(value * value for value in vectors.data[0].embedding) - 1) < 1e-3
    upload = client.uploads.create(filename="u.txt", purpose="assistants", bytes=6, mime_type="text/plain")
    part = client.uploads.parts.create(upload.id, data=b"joined")
    done = client.uploads.complete(upload.id, part_ids=[part.id])
    assert done.file is not None
    assert client.files.content(done.file.id).read() == b"joined"
    try:
        client.vector_stores.search(store.id, query="")
    except openai.BadRequestError as error:
        assert (error.param, error.code) == ("query", "empty_string"), error  # noqa: PT017 - no pytest here
    else:
        raise AssertionError("an empty query was answered")
    assert client.vector_stores.delete(store.id).deleted
    try:
        client.vector_stores.retrieve(store.id)
    except openai.NotFoundError as error:
        assert error.request_id  # noqa: PT017 - no pytest here
    else:
        raise AssertionError("a deleted store was answered")
    sys.stdout.write(f"done with {openai.__version__}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
