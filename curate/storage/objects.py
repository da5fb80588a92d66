"""A store below a prefix of a bucket: S3, Google Cloud Storage, Azure Blob Storage, or a server that speaks like one.

Credentials, region and endpoint come from the environment under the names that obstore reads: ``AWS_*``, ``GOOGLE_*``,
``AZURE_*``; for other servers ``AWS_ENDPOINT_URL`` and ``AWS_ALLOW_HTTP``. Create-if-absent is a conditional PUT:
``If-None-Match: *`` (S3, Azure), ``x-goog-if-generation-match: 0`` (Google).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from curate.errors import Misconfigured
from curate.storage.requests import WHOLE_FOR_PART, Client, Patience, ask, connect, is_whole_for_part, status_of
from curate.storage.store import key_parts

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Part = TypeVar("Part")

_WHOLE_BYTES = 4 << 20  # an object up to this size is opened by reading it
_BUFFER_BYTES = 1 << 20


class ObjectStore:
    """Holds a URL alone, so it may be pickled and shared between threads. Objects have at most 5 GiB (one PUT)."""

    def __init__(self, url: str) -> None:
        """``url``: as ``plain_url`` of ``opening`` gives it."""
        scheme, _, place = url.partition("://")
        bucket, _, self._prefix = place.partition("/")
        self._bucket = f"{scheme}://{bucket}"

    @property
    def url(self) -> str:
        return f"{self._bucket}/{self._prefix}".rstrip("/")

    def put_new(self, key: str, content: bytes | memoryview) -> bool:
        patience = Patience("write")
        while (refusal := ask("write", key, lambda: self._create(key, content))) is not None:
            # S3 answers 409 while another writer's request is under way, and obstore takes that for an object that
            # exists; but that writer may still fail.
            if self.exists(key):
                return False
            patience.wait(refusal)
        return True

    def put(self, key: str, content: bytes | memoryview) -> None:
        ask("write", key, lambda: self._put(key, content, "overwrite"))

    def get(self, key: str) -> bytes:
        import obstore

        path = self._path(key)
        return ask("read", key, lambda: bytes(obstore.get(self._client, path).bytes()))

    def open(self, key: str) -> BinaryIO:
        head = self._head(key)
        if head["size"] <= _WHOLE_BYTES:
            return io.BytesIO(self.get(key))
        parts = _Parts(lambda start, length: self._get_part(key, start, length, head["e_tag"]), head["size"])
        return cast(BinaryIO, io.BufferedReader(parts, _BUFFER_BYTES))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        if length <= 0:
            self._head(key)
            return b""
        if start < 0 and self._bucket.startswith("az:"):  # Azure has no ranges from the end
            start = max(0, self.size(key) + start)
        return self._get_part(key, start, length, None)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        import obstore

        path, starts, lengths = self._path(key), [start for start, _ in ranges], [length for _, length in ranges]
        request = self._part_request(
            lambda: [
                memoryview(part)
                for part in obstore.get_ranges(self._client, path, starts=starts, lengths=lengths, coalesce=0)
            ]
        )
        found = ask("read", key, request)
        if found is None:
            return [b""] * len(ranges)
        return list(found)

    def exists(self, key: str) -> bool:
        try:
            self._head(key)
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        return int(self._head(key)["size"])

    def modified(self, key: str) -> float:
        return float(self._head(key)["last_modified"].timestamp())

    def list(self, prefix: str = "") -> Iterator[str]:
        import obstore
        from obstore.exceptions import BaseError

        folder = self._path(prefix) if prefix else self._prefix
        own = len(self._prefix) + 1 if self._prefix else 0
        patience, last = Patience("list"), ""
        while True:
            try:
                for page in obstore.list(self._client, folder or None, offset=last or None):
                    for entry in page:
                        if entry["path"] <= last:
                            raise Misconfigured(f"{self.url}: this object store lists its objects in no order")
                        last = entry["path"]
                        yield last[own:]
                    patience = Patience("list")
                return
            except BaseError as error:
                patience.wait(error)  # and go on behind the last one

    def delete(self, key: str) -> None:
        import obstore

        path = self._path(key)
        try:
            ask("remove", key, lambda: obstore.delete(self._client, path))
        except FileNotFoundError:  # S3 does not say so, others do
            return

    def _create(self, key: str, content: bytes | memoryview) -> Exception | None:
        """None, or that the object is said to exist."""
        from obstore.exceptions import AlreadyExistsError

        try:
            self._put(key, content, "create")
        except AlreadyExistsError as error:
            return error
        return None

    def _put(self, key: str, content: bytes | memoryview, mode: Any) -> None:
        import obstore

        try:
            # In parts, an upload that is cut short would leave them in the bucket, unseen and paid for.
            obstore.put(self._client, self._path(key), content, mode=mode, use_multipart=False)
        except FileNotFoundError:
            raise Misconfigured(f"{self.url}: there is no such bucket") from None

    def _head(self, key: str) -> Any:
        import obstore

        path = self._path(key)
        return ask("read", key, lambda: obstore.head(self._client, path))

    def _get_part(self, key: str, start: int, length: int, e_tag: str | None) -> bytes:
        import obstore

        path = self._path(key)
        part: Any = (start, start + length) if start >= 0 else {"suffix": -start}
        options: Any = {"range": part} | ({"if_match": e_tag} if e_tag else {})
        request = self._part_request(lambda: bytes(obstore.get(self._client, path, options=options).bytes()))
        return ask("read", key, request) or b""

    def _part_request(self, request: Callable[[], Part]) -> Callable[[], Part | None]:
        """The same request, that gives None where the object has ended before the part begins."""
        from obstore.exceptions import BaseError

        def get() -> Part | None:
            try:
                return request()
            except BaseError as error:
                if status_of(error) == 416:  # Range Not Satisfiable
                    return None
                if is_whole_for_part(error):
                    raise Misconfigured(f"{self.url}: {WHOLE_FOR_PART}") from None
                raise

        return get

    @property
    def _client(self) -> Client:
        return connect(self._bucket)

    def _path(self, key: str) -> str:
        path = "/".join(key_parts(key))
        return f"{self._prefix}/{path}" if self._prefix else path


class _Parts(io.RawIOBase):
    """An object as a file, each read a request."""

    def __init__(self, get: Callable[[int, int], bytes], size: int) -> None:
        self._get = get
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._position)
        if length <= 0:
            return 0
        found = self._get(self._position, length)
        view[: len(found)] = found
        self._position += len(found)
        return len(found)

    def readall(self) -> bytes:
        rest = self._size - self._position  # in one request: the inherited way would be one for every 8 KiB
        found = self._get(self._position, rest) if rest > 0 else b""
        self._position += len(found)
        return found
