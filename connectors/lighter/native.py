"""The venue's native signer, called through ctypes on one worker thread of its own.

Every entry into the library costs 0.3 ms more on the main thread than on any other, and blocks the loop meanwhile: so
it is loaded, set up and called on one worker thread only, a batch at a time, and the loop waits for a future. More
threads gain nothing. The library starts threads of its own when it is loaded: a process that has loaded it must not
fork. It is never given an address, so it never opens a connection; nonces are always passed.
"""

import asyncio
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from connectors.lighter import transactions as tx
from mm_daemon.domain.errors import ConfigError

_NOT_SKIPPED, _SKIPPED = 0, 1
_NO_INTEGRATOR = (0, 0, 0)
_NO_SELF_TRADE_RULE = (0, 0)
_NO_VERSION = 0

T = TypeVar("T")

_longlong, _int, _byte = ctypes.c_longlong, ctypes.c_int, ctypes.c_uint8


class _SignedTransaction(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint8),
        ("info", ctypes.c_void_p),
        ("hash", ctypes.c_void_p),
        ("message", ctypes.c_void_p),
        ("error", ctypes.c_void_p),
    )


class _Text(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("error", ctypes.c_void_p))


_OWNER = (_byte, _longlong, _int, _longlong)
"""Whether nonces may be skipped, the nonce, the key and the account."""
_SIGNATURES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "CreateClient": ((ctypes.c_char_p, ctypes.c_char_p, _int, _int, _longlong), ctypes.c_void_p),
    "CreateAuthToken": ((_longlong, _int, _longlong), _Text),
    "SignCreateOrder": (
        (*(_longlong,) * 3, *(_int,) * 6, *(_longlong,) * 2, _int, _int, _byte, _byte, *_OWNER),
        _SignedTransaction,
    ),
    "SignCancelOrder": ((_longlong, _longlong, *_OWNER), _SignedTransaction),
    "SignCancelAllOrders": ((_int, _longlong, _longlong, *_OWNER), _SignedTransaction),
    "SignModifyOrder": (
        (*(_longlong,) * 6, _int, _int, _byte, _byte, _byte, _longlong, _longlong, _int, _longlong),
        _SignedTransaction,
    ),
    "SignUpdateLeverage": ((_longlong, _int, _int, *_OWNER), _SignedTransaction),
    "Free": ((ctypes.c_void_p,), None),
}


class NativeLibrary:
    """The library in this process. It knows keys by account and index alone, whatever their deployment: two that agree
    in these must be the same one."""

    _loaded: "dict[Path, NativeLibrary]" = {}  # noqa: RUF012 - one of each file in a process, whoever asks
    _lock = threading.Lock()

    def __init__(self, path: Path) -> None:
        """Use `at`. Raises ConfigError when the file is no library."""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="lighter-signer")
        self._keys: dict[tuple[int, int], tuple[int, str]] = {}
        try:
            self._functions = self._worker.submit(_load, path).result()
        except OSError as error:
            raise ConfigError(f"Lighter's signer library {path} cannot be loaded: {error}") from None

    @classmethod
    def at(cls, path: Path) -> "NativeLibrary":
        """The library of a file, loaded once in a process. Raises ConfigError when the file is no library."""
        with cls._lock:
            library = cls._loaded.get(path)
            if library is None:
                library = cls._loaded[path] = cls(path)
            return library

    def add_key(self, private_key: str, *, chain_id: int, account: int, key_index: int) -> None:
        """Make a key known. Raises ConfigError for what is no key, or when another key goes by the same numbers."""
        known = self._keys.setdefault((account, key_index), (chain_id, private_key))
        if known != (chain_id, private_key):
            raise ConfigError(
                f"account {account} with key {key_index} is used twice in this process, for different deployments or "
                "with different keys: Lighter's signer tells keys by account and index alone; run them as two processes"
            )
        arguments = (b"", private_key.encode(), chain_id, key_index, account)
        error = self._worker.submit(self._said, "CreateClient", arguments).result()
        if error is not None:
            del self._keys[account, key_index]
            raise ConfigError(f"Lighter's signer refuses the private key of account {account}: {error}")

    async def run(self, work: Callable[["NativeLibrary"], T]) -> T:
        """Do something on the worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, self)

    # On the worker thread

    def signed(self, name: str, arguments: tuple[Any, ...], nonce: int, key_index: int) -> tx.Signed:
        """Raises ConfigError with the signer's words when it refuses."""
        made = self._functions[name](*arguments)
        info, digest, _, error = (self._taken(each) for each in (made.info, made.hash, made.message, made.error))
        if error is not None or info is None or digest is None:
            raise ConfigError(f"Lighter's signer refuses: {error or 'it gives no reason'}")
        return tx.Signed(made.type, info, digest, nonce, key_index)

    def token(self, deadline_s: int, key_index: int, account: int) -> str:
        """Raises ConfigError with the signer's words when it refuses."""
        made = self._functions["CreateAuthToken"](deadline_s, key_index, account)
        text, error = self._taken(made.text), self._taken(made.error)
        if error is not None or text is None:
            raise ConfigError(f"Lighter's signer makes no auth token: {error or 'it gives no reason'}")
        return text

    def _said(self, name: str, arguments: tuple[Any, ...]) -> str | None:
        return self._taken(self._functions[name](*arguments))

    def _taken(self, pointer: int | None) -> str | None:
        """A text of the library's, which is then given back to it."""
        if not pointer:
            return None
        try:
            return ctypes.string_at(pointer).decode()
        finally:
            self._functions["Free"](pointer)


def _load(path: Path) -> dict[str, Any]:
    library = ctypes.CDLL(str(path))
    functions: dict[str, Any] = {}
    for name, (arguments, result) in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
        functions[name] = function
    return functions


class NativeSigner:
    """Signs for one account with the venue's library."""

    def __init__(self, library: NativeLibrary, *, account: int) -> None:
        self._library = library
        self._account = account

    async def sign(self, transactions: list[tuple[tx.Transaction, int]], key_index: int) -> list[tx.Signed]:
        """See `SignsTransactions`."""
        for transaction, nonce in transactions:
            tx.check(transaction, nonce)
        calls = [(*_call(each, nonce, key_index, self._account), nonce, key_index) for each, nonce in transactions]
        return await self._library.run(lambda library: [library.signed(*call) for call in calls])

    async def auth_token(self, deadline_s: int, key_index: int) -> str:
        """See `SignsTransactions`."""
        return await self._library.run(lambda library: library.token(deadline_s, key_index, self._account))


def _call(transaction: tx.Transaction, nonce: int, key_index: int, account: int) -> tuple[str, tuple[Any, ...]]:
    """The library's function and its arguments."""
    owner = (_NOT_SKIPPED, nonce, key_index, account)
    if isinstance(transaction, tx.CreateOrder):
        each = transaction
        kind = (int(each.ask), each.order_type, each.time_in_force, int(each.reduce_only), 0, each.expiry_ms)
        order = (each.market, each.client_index, each.base, each.price, *kind)
        return "SignCreateOrder", (*order, *_NO_INTEGRATOR, *_NO_SELF_TRADE_RULE, *owner)
    if isinstance(transaction, tx.CancelOrder):
        return "SignCancelOrder", (transaction.market, transaction.index, *owner)
    if isinstance(transaction, tx.ModifyOrder):
        changed = (transaction.market, transaction.index, transaction.base, transaction.price, 0)
        rules = (*_NO_INTEGRATOR, *_NO_SELF_TRADE_RULE, _NOT_SKIPPED, nonce, _NO_VERSION)
        return "SignModifyOrder", (*changed, *rules, key_index, account)
    if isinstance(transaction, tx.CancelAllOrders):
        return "SignCancelAllOrders", (transaction.when, transaction.time_ms, tx.ALL_MARKETS, *owner)
    if isinstance(transaction, tx.ShutOut):
        return "SignCancelAllOrders", (tx.ABORT, 0, tx.ALL_MARKETS, _SKIPPED, *owner[1:])
    margin = (transaction.market, transaction.margin_fraction, int(transaction.isolated))
    return "SignUpdateLeverage", (*margin, *owner)
