"""Slates: where work on a store is claimed and published. One is of the edition that searches find, one of the second.

Whoever works writes into one of them and need not know which.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.catalog.rows import Claim, Failure, Ingested, Publication, Reason, SegmentRow
from retrieval.catalog.transaction import Transaction
from retrieval.ids import FileId, LeaseToken, StoreId


@dataclass(frozen=True, slots=True)
class Asked:
    """What a claim asks for."""

    most: int
    most_bytes: int
    token: LeaseToken
    lease_seconds: int
    largest_bytes: int | None = None
    edition: int | None = None  # nothing, if that is no longer the one


class Claiming(Protocol):
    """What a token holds, and what becomes of it."""

    def renew(self, store: StoreId, token: LeaseToken, *, now: int, lease_seconds: int) -> frozenset[FileId]: ...

    def release(self, store: StoreId, token: LeaseToken, wanted: Collection[FileId] | None = None) -> int: ...

    def retry_later(
        self, store: StoreId, token: LeaseToken, wanted: Collection[FileId], *, until: int, reason: Reason | None = None
    ) -> int: ...

    def fail(
        self, store: StoreId, token: LeaseToken, failures: Sequence[Failure], *, now: int
    ) -> tuple[FileId, ...]: ...


class Slate(Protocol):
    def claim(self, tx: Transaction, store: StoreId, asked: Asked, now: int) -> list[Claim]: ...

    def claims(self, tx: Transaction) -> Claiming: ...

    def publish(
        self, tx: Transaction, store: StoreId, done: Sequence[Ingested], segment: SegmentRow | None, now: int
    ) -> Publication: ...


class ServingSlate:
    """Of the edition that searches find: files that were attached."""

    def claim(self, tx: Transaction, store: StoreId, asked: Asked, now: int) -> list[Claim]:
        return tx.claims.claim(
            store,
            most=asked.most,
            most_bytes=asked.most_bytes,
            token=asked.token,
            now=now,
            lease_seconds=asked.lease_seconds,
            largest_bytes=asked.largest_bytes,
            edition=asked.edition,
        )

    def claims(self, tx: Transaction) -> Claiming:
        return tx.claims

    def publish(
        self, tx: Transaction, store: StoreId, done: Sequence[Ingested], segment: SegmentRow | None, now: int
    ) -> Publication:
        return tx.publish(store, done, segment, now)


@dataclass(frozen=True, slots=True)
class EditionSlate:
    """Of the second edition: documents of the first that are made anew."""

    most_chunks: int | None = None  # of one claim

    def claim(self, tx: Transaction, store: StoreId, asked: Asked, now: int) -> list[Claim]:
        return tx.edition_claims.claim(
            store,
            most=asked.most,
            most_bytes=asked.most_bytes,
            most_chunks=self.most_chunks,
            token=asked.token,
            now=now,
            lease_seconds=asked.lease_seconds,
            edition=asked.edition,
        )

    def claims(self, tx: Transaction) -> Claiming:
        return tx.edition_claims

    def publish(
        self,
        tx: Transaction,
        store: StoreId,
        done: Sequence[Ingested],
        segment: SegmentRow | None,
        now: int,  # noqa: ARG002 - a second edition has no times
    ) -> Publication:
        return tx.publish_edition(store, done, segment)
