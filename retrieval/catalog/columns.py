"""Columns that many tables have: made here, so that a kind of column is one thing everywhere."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Text, text

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself only in a column of this very type


def serial() -> Column[int]:
    return Column("serial", Serial, primary_key=True, autoincrement=True)


def text_column(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def number(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def numbered(name: str) -> Column[int]:
    """A number that came with a later step: rows of before have 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def identity() -> Column[str]:
    return Column("id", Text, nullable=False, unique=True)


def belongs(name: str, target: str) -> Column[str]:
    return Column(name, Text, ForeignKey(target), nullable=False)
