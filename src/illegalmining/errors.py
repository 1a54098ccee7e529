"""Every error a user can meet; each says what was found, what was expected, where, and the way out."""

from __future__ import annotations

from typing import Any


class IllegalMiningError(Exception):
    """Base of all errors the product raises on purpose; the command line prints its text and no traceback.

    Examples
    --------
    >>> try:
    ...     im.read_district("nowhere.toml")
    ... except im.IllegalMiningError as error:
    ...     print(error.exit_code, "no such file" in str(error))
    2 True
    """

    exit_code = 1


class ConfigurationError(IllegalMiningError):
    """The command line or `district.toml` is wrong."""

    exit_code = 2


class InputError(IllegalMiningError):
    """An input file as a whole cannot be used (single bad rows are set aside instead)."""


class DiskError(IllegalMiningError):
    """Something cannot be written, most likely because the disk is full."""

    def __init__(self, path: Any, why: Any) -> None:
        super().__init__(
            f"{path}: cannot be written ({why}); make room on the disk and run the same command again: it goes on "
            "where it stopped"
        )


class TableError(IllegalMiningError):
    """A table the product made breaks its own contract: a bug."""
