"""Inputs in an object store: found, read and known again, through fsspec and GDAL; nothing is ever written there.

Credentials and the endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, a
role of the machine), never from `district.toml`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from illegalmining.errors import ConfigurationError, InputError
from illegalmining.secrets import redacted

GDAL_PREFIXES = {"s3": "/vsis3/", "gs": "/vsigs/", "gcs": "/vsigs/", "az": "/vsiaz/", "abfs": "/vsiaz/"}
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
HTTP_OPTIONS = {"GDAL_HTTP_MAX_RETRY": "4", "GDAL_HTTP_RETRY_DELAY": "1", "GDAL_HTTP_TIMEOUT": "60"}
FACTS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated")
"""What stores say of an object that changes with it."""

Answer = TypeVar("Answer")


def in_store(address: str) -> bool:
    """Whether an address is one of an object store, and neither a path nor a web page."""
    return urlsplit(address).scheme in GDAL_PREFIXES


def asked(address: str, ask: Callable[[Any, str], Answer]) -> Answer:
    """What `ask` makes of the store's file system and a path in it.

    Raises
    ------
    ConfigurationError
        The package for this kind of store is not installed.
    InputError
        The store does not answer, or does not let us in.
    """
    import fsspec

    scheme = urlsplit(address).scheme
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ConfigurationError(f"{address}: needs the package {PACKAGES[scheme]}; install it") from error
    try:
        return ask(system, path)
    except FileNotFoundError as error:
        raise InputError(f"{redacted(address)}: no such object") from error
    except Exception as error:  # each store's client has errors of its own
        why = redacted(f"{type(error).__name__}: {error}")
        raise InputError(
            f"{redacted(address)}: cannot be read from the store ({why}); check the address, AWS_ENDPOINT_URL and the "
            "credentials in the environment"
        ) from error


def found(pattern: str) -> dict[str, str]:
    """Addresses a glob matches, in order, each with what tells its present content from another."""
    scheme = urlsplit(pattern).scheme

    def search(system: Any, path: str) -> dict[str, str]:
        system.invalidate_cache()
        matched = system.glob(path, detail=True)
        return {f"{scheme}://{name}": stamp(facts) for name, facts in sorted(matched.items()) if is_file(facts)}

    return asked(pattern, search)


def below(address: str) -> dict[str, str]:
    """Every object below an address, by its path from there, with what tells its present content from another."""

    def search(system: Any, path: str) -> dict[str, str]:
        system.invalidate_cache()
        start = path.rstrip("/") + "/"
        return {
            name.removeprefix(start): stamp(facts) for name, facts in sorted(system.find(path, detail=True).items())
        }

    return asked(address, search)


def is_file(facts: dict[str, Any]) -> bool:
    """Whether a store's entry is an object."""
    return facts.get("type") == "file"


def stamp(facts: dict[str, Any]) -> str:
    """What tells an object's content from another: its size and what the store says of it."""
    said = next((str(facts[name]).strip('"') for name in FACTS if facts.get(name)), "")
    return f"{facts.get('size')}:{said}"


def read_bytes(address: str) -> bytes:
    """An object's content."""
    return asked(address, lambda system, path: system.cat_file(path))


def opened(address: str) -> Any:
    """A file or an object, open for reading bytes anywhere in it."""
    if in_store(address):
        return asked(address, lambda system, path: system.open(path, "rb"))
    return Path(address).open("rb")


def file_system(address: str) -> Any:
    """The store's file system, for libraries that read by it."""
    return asked(address, lambda system, _: system)


def for_gdal(address: str) -> str:
    """An address as GDAL reads it: object stores by their own drivers."""
    parts = urlsplit(address)
    prefix = GDAL_PREFIXES.get(parts.scheme)
    return address if prefix is None else f"{prefix}{parts.netloc}{parts.path}"


def gdal_options(address: str) -> dict[str, str]:
    """How GDAL reads an address; for a store at an endpoint of its own, where that is."""
    if "://" not in address:
        return {}
    options = {**HTTP_OPTIONS, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if urlsplit(address).scheme == "s3" and endpoint:
        at = urlsplit(endpoint)
        options |= {"AWS_S3_ENDPOINT": at.netloc + at.path.rstrip("/"), "AWS_VIRTUAL_HOSTING": "FALSE"}
        options |= {"AWS_HTTPS": "YES" if at.scheme == "https" else "NO"}
    return options
