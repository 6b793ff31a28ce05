"""Stores: made, changed, used, expired, deleted, purged; and the projects, keys and usage around them."""

import pytest

from retrieval.catalog.account_rows import Scope, UsageRow
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.catalog.rows import FileCounts, StoreStatus
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import DAY_SECONDS, NewStore, StoreChanges
from retrieval.errors import InvalidInput, NotAllowedNow, NotFound
from retrieval.ids import KeyId, ProjectId, StoreId, new_key_id, new_project_id, new_store_id
from tests.support.catalogs import World

PEPPER = b"pepper"


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def test_a_new_store_is_empty_and_complete(world: World) -> None:
    fresh = NewStore(new_store_id(), "m", 384, "näme", "what for", {"k": "\x00v"}, expires_days=7)
    with world.catalog.transaction() as tx:
        row = tx.stores.add(world.project, fresh, world.now)
    assert row == world.row(fresh.id)
    assert (row.name, row.description, row.metadata) == ("näme", "what for", {"k": "\x00v"})
    assert (row.model, row.width, row.usage_bytes, row.counts) == ("m", 384, 0, FileCounts())
    assert row.expires_at == world.now + 7 * DAY_SECONDS
    assert row.last_active_at == row.created_at == world.now
    assert row.status_at(world.now) is StoreStatus.COMPLETED


def test_a_name_that_no_database_can_hold_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput) as refusal, world.catalog.transaction() as tx:
        tx.stores.add(world.project, NewStore(new_store_id(), "m", 8, name="\x00"), world.now)
    assert refusal.value.param == "name"


def test_only_what_is_named_changes(world: World) -> None:
    store = world.new_store(expires_days=3)

    def change(changes: StoreChanges) -> None:
        with world.catalog.transaction() as tx:
            tx.stores.change(world.project, store, changes, world.now)

    change(StoreChanges(name="new"))
    change(StoreChanges(metadata={"a": "b"}))
    row = world.row(store)
    assert (row.name, row.metadata, row.expires_days) == ("new", {"a": "b"}, 3)
    change(StoreChanges(expires_days=None))
    assert world.row(store).expires_at is None
    change(StoreChanges(expires_days=5, name="", metadata={}))
    row = world.row(store)
    assert (row.name, row.metadata, row.expires_at) == ("", {}, row.last_active_at + 5 * DAY_SECONDS)
    change(StoreChanges())
    assert world.row(store) == row


def test_use_is_noted_at_most_once_a_minute_and_moves_the_expiry(world: World) -> None:
    store = world.new_store(expires_days=1)

    def touch(now: int) -> bool:
        with world.catalog.transaction() as tx:
            return tx.stores.touch(store, now)

    assert touch(world.now + 59) is False
    assert touch(world.now + 60) is True
    assert world.row(store).expires_at == world.now + 60 + DAY_SECONDS
    assert touch(world.now) is False  # a clock that was set back moves nothing
    assert touch(world.now + 60 + DAY_SECONDS) is False  # too late
    assert world.row(store).last_active_at == world.now + 60


def test_attaching_counts_as_use(world: World) -> None:
    world.now += 10
    world.attach_new(1)
    assert world.row().last_active_at == world.now


def test_a_store_expires_by_itself_and_its_files_are_removed(world: World) -> None:
    store = world.new_store(expires_days=1)
    files = world.files(5)
    for file in files:
        world.attach(file, store=store)
    world.publish(world.claim(3, store=store))
    world.now += DAY_SECONDS
    assert world.row(store).status_at(world.now - 1) is StoreStatus.IN_PROGRESS
    assert world.row(store).status_at(world.now) is StoreStatus.EXPIRED
    with pytest.raises(NotAllowedNow):
        world.attach(files[0], store=store)
    with pytest.raises(NotAllowedNow), world.catalog.transaction() as tx:
        tx.stores.change(world.project, store, StoreChanges(expires_days=9), world.now)
    before = world.row(store).generation
    with world.catalog.transaction() as tx:
        assert store in tx.stores.expiring(world.now, 10_000)
        assert tx.stores.expire(store, world.now) is not None
        assert tx.stores.expire(store, world.now) is None
        assert store not in tx.stores.expiring(world.now, 10_000)
    assert world.manifest(store=store).segments == ()
    assert world.row(store).generation > before
    removed = 0
    while True:
        with world.catalog.transaction() as tx:
            slice_removed = tx.sweeps.purge_store(store, 2, world.now)
        assert slice_removed <= 2
        assert world.untruths() == []
        if not slice_removed:
            break
        removed += slice_removed
    row = world.row(store)
    assert (row.counts, row.usage_bytes) == (FileCounts(), 0)
    assert row.status_at(0) is StoreStatus.EXPIRED  # settled: a clock set back does not bring it back
    with world.catalog.reading() as tx:
        assert store not in tx.stores.purgeable(10_000)
    assert world.file_row(files[0]).id == files[0]


def test_a_store_that_was_used_in_time_does_not_expire(world: World) -> None:
    store = world.new_store(expires_days=1)
    with world.catalog.transaction() as tx:
        tx.stores.touch(store, world.now + 100)
        assert tx.stores.expire(store, world.now + DAY_SECONDS) is None
        assert tx.stores.expire(world.store, world.now + 10**9) is None


def test_a_deleted_store_is_nowhere_and_then_nothing(world: World) -> None:
    files = world.files(4)
    world.batch(files)
    world.publish(world.claim(2))
    (segment,) = world.manifest().segments
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    with pytest.raises(NotFound) as refusal, world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    assert refusal.value.param == "vector_store_id"
    for act in (
        world.row,
        world.manifest,
        lambda: world.entry(files[0]),
        lambda: world.attach(files[0]),
    ):
        with pytest.raises(NotFound):
            act()
    for _ in range(20):
        with world.catalog.transaction() as tx:
            if not tx.sweeps.purge_store(world.store, 2, world.now):
                break
    with world.catalog.transaction() as tx:
        assert world.store in tx.stores.purgeable(10_000)
        assert tx.sweeps.unknown_stores([world.store]) == set()
        assert segment.id in {row.id for row in tx.sweeps.removed_segments(world.now, 10_000)}
        assert tx.sweeps.forget_segment(segment.id)
        assert tx.sweeps.purge_store(world.store, 2, world.now) == 1
        assert world.store not in tx.stores.purgeable(10_000)
        assert tx.sweeps.unknown_stores([world.store]) == {world.store}
        assert tx.sweeps.purge_store(world.store, 2, world.now) == 0
    assert world.untruths() == []


def test_a_store_in_use_is_never_purged(world: World) -> None:
    world.attach_new(2)
    with world.catalog.transaction() as tx:
        assert tx.sweeps.purge_store(world.store, 100, world.now) == 0
        assert world.store not in tx.stores.purgeable(10_000)
    assert world.counts() == FileCounts(in_progress=2)


def test_another_projects_store_is_not_found(world: World) -> None:
    other = World(world.catalog)
    for project, store in (
        (other.project, world.store),
        (world.project, StoreId("vs_x")),
        (world.project, StoreId("\x00")),
    ):
        with pytest.raises(NotFound), world.catalog.reading() as tx:
            tx.stores.get(project, store)
        with pytest.raises(NotFound), world.catalog.transaction() as tx:
            tx.stores.change(project, store, StoreChanges(name="mine"), world.now)
        with pytest.raises(NotFound), world.catalog.transaction() as tx:
            tx.stores.delete(project, store, world.now)


# What is left behind on purpose


def test_removed_segments_are_remembered_until_their_files_are_gone(world: World) -> None:
    world.attach_new(1)
    world.publish(world.claim())
    (old,) = world.manifest().segments
    new = world.segment()
    with world.catalog.transaction() as tx:
        tx.replace_segments(world.store, [old.id], new, dropped=[], now=world.now)
    with world.catalog.transaction() as tx:
        assert tx.sweeps.known_segments(world.store) == {old.id, new.id}
        assert old.id not in {row.id for row in tx.sweeps.removed_segments(world.now - 1, 10_000)}
        assert old.id in {row.id for row in tx.sweeps.removed_segments(world.now, 10_000)}
        assert tx.sweeps.forget_segment(new.id) is False  # live
        assert tx.sweeps.forget_segment(old.id) is True
        assert tx.sweeps.forget_segment(old.id) is False
        assert tx.sweeps.known_segments(world.store) == {new.id}


def test_places_of_deleted_elements_are_forgotten_in_time(world: World) -> None:
    file = world.file()
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, file, world.now)
    with world.catalog.transaction() as tx:
        tx.sweeps.forget_departed(world.now - 1, 10_000)
        assert tx.sweeps.forget_departed(world.now, 10_000) >= 1
        assert tx.sweeps.forget_departed(world.now, 10_000) == 0


# Projects, keys, usage


def test_projects_have_names_of_their_own(world: World) -> None:
    project = new_project_id()
    with world.catalog.transaction() as tx:
        row = tx.projects.add(project, f"only {project}", 5, {"requests_per_minute": 60})
        assert tx.projects.named(f"only {project}") == row == tx.projects.get(project)
        assert row.limits == {"requests_per_minute": 60}
        assert project in {one.id for one in tx.projects.all()}
        assert tx.projects.set_limits(project, {}).limits == {}
    with pytest.raises(InvalidInput, match="exists already"), world.catalog.transaction() as tx:
        tx.projects.add(new_project_id(), f"only {project}", 6)
    with pytest.raises(NotFound), world.catalog.reading() as tx:
        tx.projects.get(ProjectId("proj_x"))
    with world.catalog.reading() as tx:
        assert tx.projects.named("nobody") is None


def new_key(
    world: World, secret: str, *, expires_at: int | None = None, routes: tuple[str, ...] | None = None
) -> NewKey:
    scopes = {Scope.READ, Scope.WRITE}
    name = "laptop"
    digest = hash_of(secret, PEPPER)
    return NewKey(new_key_id(), world.project, name, digest, hint_of(secret), scopes, routes, {"a": 1}, expires_at)


def test_a_key_is_found_by_its_hash_only(world: World) -> None:
    secret = f"sk-{world.project}"
    key = new_key(world, secret, routes=("/v1/files",))
    with world.catalog.transaction() as tx:
        made = tx.keys.add(key, world.now)
        assert tx.keys.find(hash_of(secret, PEPPER)) == made == tx.keys.get(world.project, key.id)
        assert tx.keys.find(hash_of(secret, b"other pepper")) is None
        assert tx.keys.find(secret) is None
        assert tx.keys.all(world.project) == (made,)
    assert made.scopes == {Scope.READ, Scope.WRITE}
    assert (made.routes, made.limits, made.name) == (("/v1/files",), {"a": 1}, "laptop")
    assert secret not in repr(made)
    with pytest.raises(InvalidInput), world.catalog.transaction() as tx:
        tx.keys.add(new_key(world, secret), world.now)


def test_a_key_is_valid_until_it_expires_or_is_revoked(world: World) -> None:
    key = new_key(world, f"a{world.project}", expires_at=world.now + 10)
    with world.catalog.transaction() as tx:
        made = tx.keys.add(key, world.now)
    assert made.valid_at(world.now + 9)
    assert not made.valid_at(world.now + 10)
    with world.catalog.transaction() as tx:
        revoked = tx.keys.revoke(world.project, key.id, world.now + 1)
        assert tx.keys.revoke(world.project, key.id, world.now + 5) == revoked
    assert revoked.revoked_at == world.now + 1
    assert not revoked.valid_at(world.now)
    other = World(world.catalog)
    for project, name in ((other.project, key.id), (world.project, KeyId("key_x"))):
        with pytest.raises(NotFound), world.catalog.transaction() as tx:
            tx.keys.revoke(project, name, world.now)


def test_a_keys_use_is_noted_now_and_then(world: World) -> None:
    key = new_key(world, f"b{world.project}")
    with world.catalog.transaction() as tx:
        tx.keys.add(key, world.now)
        tx.keys.note_use(key.id, world.now)
        tx.keys.note_use(key.id, world.now + 10)
        assert tx.keys.get(world.project, key.id).last_used_at == world.now
        tx.keys.note_use(key.id, world.now + 3600)
        assert tx.keys.get(world.project, key.id).last_used_at == world.now + 3600


def test_a_hint_never_gives_a_key_away() -> None:
    assert hint_of("sk-0123456789abcdefgh") == "sk-0…efgh"
    assert hint_of("short") == "…"


def test_usage_adds_up(world: World) -> None:
    key = KeyId("key_1")
    rows = [
        UsageRow(world.project, key, 10, "tokens", 5),
        UsageRow(world.project, None, 10, "tokens", 7),
        UsageRow(world.project, key, 11, "tokens", 100),
        UsageRow(world.project, key, 10, "searches", 1),
    ]
    for _ in range(2):
        with world.catalog.transaction() as tx:
            tx.usage.add(rows)
            tx.usage.add([])
    with world.catalog.reading() as tx:
        assert tx.usage.total(world.project, "tokens", 10, 10) == 24
        assert tx.usage.total(world.project, "tokens", 0, 99) == 224
        assert tx.usage.total(world.project, "nothing", 0, 99) == 0
        assert {(row.key_id, row.kind, row.quantity) for row in tx.usage.of(world.project, 10, 10)} == {
            (key, "tokens", 10),
            (None, "tokens", 14),
            (key, "searches", 2),
        }
