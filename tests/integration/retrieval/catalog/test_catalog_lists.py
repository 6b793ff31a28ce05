"""Lists: pages that neither skip nor repeat, in either order, from either side."""

import pytest

from retrieval.catalog.account_rows import FileRow
from retrieval.catalog.paging import Order, PageQuery
from retrieval.catalog.rows import FileStatus, Page
from retrieval.catalog.transaction import Catalog
from retrieval.errors import InvalidInput, NotFound
from retrieval.ids import FileId, StoreId
from tests.support.catalogs import World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def listed(world: World, query: PageQuery) -> Page[FileRow]:
    with world.catalog.reading() as tx:
        return tx.files.page(world.project, query)


def ids(page: Page[FileRow]) -> list[FileId]:
    return [row.id for row in page.items]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_following_the_pages_shows_everything_once_in_order(world: World, order: Order, limit: int) -> None:
    files = world.files(4)  # all in the same second
    world.now += 1
    files += world.files(3)
    world.now -= 10  # a clock that was set back
    files = world.files(1) + files
    expected = files if order == "asc" else files[::-1]
    seen: list[FileId] = []
    while True:
        page = listed(world, PageQuery(limit, order, after=seen[-1] if seen else None))
        seen += ids(page)
        assert len(page.items) <= limit
        if not page.has_more:
            break
    assert seen == expected


def test_the_newest_come_first_unless_asked_otherwise(world: World) -> None:
    files = world.files(3)
    assert ids(listed(world, PageQuery())) == files[::-1]


def test_before_shows_the_elements_next_to_it_in_list_order(world: World) -> None:
    files = world.files(6)
    page = listed(world, PageQuery(2, "asc", before=files[4]))
    assert (ids(page), page.has_more) == (files[2:4], True)
    page = listed(world, PageQuery(2, "desc", before=files[1]))
    assert (ids(page), page.has_more) == ([files[3], files[2]], True)
    page = listed(world, PageQuery(10, "asc", before=files[2]))
    assert (ids(page), page.has_more) == (files[:2], False)


def test_after_and_before_together_show_what_lies_between(world: World) -> None:
    files = world.files(6)
    page = listed(world, PageQuery(2, "asc", after=files[0], before=files[5]))
    assert (ids(page), page.has_more) == (files[1:3], True)
    page = listed(world, PageQuery(9, "desc", after=files[5], before=files[0]))
    assert (ids(page), page.has_more) == (files[4:0:-1], False)
    assert ids(listed(world, PageQuery(9, "asc", after=files[5], before=files[0]))) == []


def test_an_empty_cursor_is_no_cursor(world: World) -> None:
    files = world.files(2)
    assert ids(listed(world, PageQuery(9, "asc", after="", before=""))) == files


def test_an_exact_fit_has_no_more(world: World) -> None:
    world.files(3)
    assert listed(world, PageQuery(3)).has_more is False
    assert listed(world, PageQuery(2)).has_more is True


@pytest.mark.parametrize("cursor", ["file-unknown", "\x00", "x" * 200, "\ud800", "a b"])
@pytest.mark.parametrize("side", ["after", "before"])
def test_an_unknown_cursor_is_refused_by_name(world: World, cursor: str, side: str) -> None:
    query = PageQuery(after=cursor) if side == "after" else PageQuery(before=cursor)
    with pytest.raises(InvalidInput) as refusal:
        listed(world, query)
    assert refusal.value.param == side


def test_another_projects_cursor_is_unknown(world: World) -> None:
    foreign = World(world.catalog).file()
    with pytest.raises(InvalidInput):
        listed(world, PageQuery(after=foreign))


def test_deleting_while_paging_goes_on_from_where_the_deleted_stood(world: World) -> None:
    files = world.files(7)
    seen: list[FileId] = []
    while True:
        page = listed(world, PageQuery(2, "asc", after=seen[-1] if seen else None))
        for file in ids(page):
            seen.append(file)
            with world.catalog.transaction() as tx:
                tx.files.delete(world.project, file, world.now)
        if not page.has_more:
            break
    assert seen == files


def test_files_are_listed_by_purpose(world: World) -> None:
    world.files(2)
    with world.catalog.reading() as tx:
        assert len(tx.files.page(world.project, PageQuery(), "assistants").items) == 2
        assert tx.files.page(world.project, PageQuery(), "vision").items == ()


def test_stores_are_listed_and_can_be_deleted_while_paging(world: World) -> None:
    stores = [world.store, *(world.new_store() for _ in range(4))]
    seen: list[StoreId] = []
    while True:
        with world.catalog.reading() as tx:
            page = tx.stores.page(world.project, PageQuery(2, after=seen[-1] if seen else None))
        seen += [row.id for row in page.items]
        with world.catalog.transaction() as tx:
            for row in page.items:
                tx.stores.delete(world.project, row.id, world.now)
        if not page.has_more:
            break
    assert seen == stores[::-1]


def test_files_of_a_store_are_listed_by_status_with_cursors(world: World) -> None:
    files = world.attach_new(6)
    world.publish(world.claim(4))

    def of(status: FileStatus, query: PageQuery) -> list[FileId]:
        with world.catalog.reading() as tx:
            return [entry.file_id for entry in tx.store_files.page(world.project, world.store, query, status).items]

    assert of(FileStatus.COMPLETED, PageQuery(order="asc")) == files[:4]
    assert of(FileStatus.IN_PROGRESS, PageQuery(order="asc", after=files[0])) == files[4:]  # a cursor of another status
    assert of(FileStatus.COMPLETED, PageQuery(2, "desc", before=files[0])) == files[2:0:-1]
    with world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, files[2], world.now)
    assert of(FileStatus.COMPLETED, PageQuery(order="asc", after=files[2])) == [files[3]]


def test_a_file_that_left_and_came_back_has_its_new_place(world: World) -> None:
    files = world.attach_new(3)
    for _ in range(2):
        with world.catalog.transaction() as tx:
            tx.store_files.delete(world.project, world.store, files[0], world.now)
        world.attach(files[0])
    with world.catalog.reading() as tx:
        page = tx.store_files.page(world.project, world.store, PageQuery(order="asc"))
        assert [entry.file_id for entry in page.items] == [files[1], files[2], files[0]]
        page = tx.store_files.page(world.project, world.store, PageQuery(order="asc", after=files[0]))
        assert page.items == ()


def test_the_list_of_a_store_that_is_not_there_is_not_an_empty_list(world: World) -> None:
    other = World(world.catalog)
    for store in (StoreId("vs_nowhere"), StoreId("\x00"), other.store):
        with pytest.raises(NotFound), world.catalog.reading() as tx:
            tx.store_files.page(world.project, store, PageQuery())
