"""A zarr store at a remote address."""

from __future__ import annotations

import io
import math
import os
import re
import threading
import time
from datetime import timedelta
from typing import Any, BinaryIO, cast

from napari_liverdx.core.errors import SlideReadError
from napari_liverdx.slides.formats.ngff.source import (
    MOST_BYTES,
    ByteRange,
    gone,
    stays_inside,
    too_large,
)

__all__ = ["ATTEMPTS", "TIMEOUT_SECONDS", "RemoteSource"]

ATTEMPTS = 4
"""How often a request to a server is made that fails for no lasting reason."""

TIMEOUT_SECONDS = 20.0
"""How long a server may take for one answer."""

_AT_ONCE = 8
_REST_SECONDS = 5.0


class RemoteSource:
    """A zarr store at an http, S3, Google or Azure address.

    Requests that fail for no lasting reason are repeated a few times; few are made at once. For
    some seconds after one that failed all the same none is made: an image of many tiles must not
    wait for each of them.
    Credentials come from the environment, as ``AWS_ACCESS_KEY_ID``; without any, requests are not
    signed, which is right for what is public.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        _check_process(self._url)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._store = _object_store(self._url)
        self._anchor = ""
        self._rests_until = -math.inf
        self._problem = ""

    @property
    def address(self) -> str:
        """The address."""
        return self._url

    def read(self, key: str, part: ByteRange | None = None) -> bytes | None:
        """Fetch a file or a part of it."""
        if not stays_inside(key):
            return None
        _check_process(self._url)
        import obstore
        from obstore import exceptions

        if time.monotonic() < self._rests_until:
            raise SlideReadError(self._problem)
        options: Any = None if part is None else {"range": _request_range(part)}
        try:
            with self._slots:
                answer = obstore.get(self._store, key, options=options)
                start, end = answer.range
                if end - start > MOST_BYTES:
                    raise too_large(f"{self._url}/{key}", end - start)
                data = bytes(answer.bytes())
        except FileNotFoundError:
            self._check_still_there()
            return None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            # Storage that may not be listed answers so for what is not there.
            if self._anchor:
                self._check_still_there()
                return None
            raise SlideReadError(
                f"{self._url}: access is refused; give credentials in the environment "
                "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3), or ask for access"
            ) from error
        except exceptions.NotSupportedError as error:
            raise SlideReadError(
                f"{self._url}: this server does not send parts of files, which is needed here; "
                "download the slide"
            ) from error
        except exceptions.BaseError as error:
            problem = _unreachable(self._url, error)
            self._problem, self._rests_until = str(problem), time.monotonic() + _REST_SECONDS
            raise problem from error
        self._anchor = self._anchor or key
        return data

    def _check_still_there(self) -> None:
        """Tell a slide that is gone, or a server that lost it, from one with gaps."""
        import obstore
        from obstore import exceptions

        if not self._anchor:
            return
        try:
            with self._slots:
                obstore.head(self._store, self._anchor)
        except (FileNotFoundError, exceptions.BaseError) as error:
            raise gone(self._url) from error

    def open_file(self) -> BinaryIO:
        """Return the file at the address itself, read in parts as they are asked for."""
        return cast("BinaryIO", io.BufferedReader(_RemoteFile(self._url), 1 << 20))

    def has_folder(self, key: str) -> bool:
        """Return True: servers do not tell."""
        return True

    def close(self) -> None:
        """Do nothing, as connections end by themselves."""


class _RemoteFile(io.RawIOBase):
    """A remote file, read in parts."""

    def __init__(self, url: str) -> None:
        import obstore

        folder, _, self._name = url.rpartition("/")
        self._source = RemoteSource(folder)
        self._place = 0
        try:
            self._size = int(obstore.head(self._source._store, self._name)["size"])
        except FileNotFoundError as error:
            raise SlideReadError(f"{url}: there is no such file; check the address") from error
        except obstore.exceptions.BaseError as error:
            raise _unreachable(url, error) from error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._size, self._place + len(buffer))
        if end <= self._place:
            return 0
        data = self._source.read(self._name, (self._place, end)) or b""
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


_process: int | None = None
"""Where obstore's threads run; a fork of that process has none and would wait for them forever."""


def _check_process(url: str) -> None:
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise SlideReadError(
            f"{url}: remote slides cannot be read in a process that was forked from one that read "
            "some; start processes by 'spawn'"
        )


def _object_store(url: str) -> Any:
    """Return obstore's client for an address."""
    from obstore.store import HTTPStore, from_url

    scheme = url.partition(":")[0]
    options: Any = {
        "client_options": {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=min(5.0, TIMEOUT_SECONDS)),
            "timeout": timedelta(seconds=TIMEOUT_SECONDS),
        },
        "retry_config": {
            "max_retries": ATTEMPTS - 1,
            "retry_timeout": timedelta(seconds=2 * TIMEOUT_SECONDS),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    }
    if re.search(r"[?#]|://[^/]*@", url):
        raise SlideReadError(
            f"{re.split('[?#]', url)[0].rpartition('@')[2]}: the address holds a password or a "
            "signature, which results would carry on; give the plain address, and credentials in "
            "the environment"
        )
    try:
        if scheme in ("http", "https"):
            return HTTPStore.from_url(url, **options)
        if not _has_credentials(scheme):
            # Else the address of a cloud's own machines is asked, and waited for.
            options["skip_signature"] = True
        return from_url(url, **options)
    except Exception as error:
        raise SlideReadError(
            f"{url}: this address cannot be used ({_first_line(error)}); check its spelling"
        ) from error


_CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS"),
    "gs": ("GOOGLE_",),
    "az": ("AZURE_",),
    "abfs": ("AZURE_",),
}


def _has_credentials(scheme: str) -> bool:
    return any(name.startswith(_CREDENTIALS[scheme]) for name in os.environ)


def _request_range(part: ByteRange) -> Any:
    start, end = part
    if start is not None and start < 0:
        return {"suffix": -start}
    return {"offset": start or 0} if end is None else (start or 0, end)


def _unreachable(url: str, error: Exception) -> SlideReadError:
    said = str(error)
    if "LOCATION" in said:
        return SlideReadError(
            f"{url}: the bucket lies in another region; name it in the environment (AWS_REGION)"
        )
    if found := re.search(r"status code: ([^:\n]+)", said):
        return SlideReadError(
            f"{url}: the server answers {found[1].strip()!r}, also when asked again; try it later"
        )
    kind = found[1].lower() if (found := re.search(r"kind: (\w+),\s+source", said)) else ""
    reasons = {"timeout": "it does not answer in time", "connect": "no connection"}
    return SlideReadError(
        f"{url}: the server cannot be reached ({reasons.get(kind, 'no answer')}); check the "
        "address and the network, and try again"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
