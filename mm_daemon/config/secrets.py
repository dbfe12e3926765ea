"""Secrets: named in the file, kept in the environment or in files of their own, and never shown.

`secrets: {api_key: {env: NAME}}` or `{file: PATH}`. A literal secret in the file is an error,
and no message repeats it.
"""

import re
from collections.abc import Iterator, Mapping

_LOOKS_SECRET = re.compile(
    r"secret|token|passw|passphrase|private|mnemonic|api_?key|credential|signature", re.IGNORECASE
)

REDACTED = "***"


def looks_secret(key: str) -> bool:
    """Whether a key's name says that its value should not be repeated."""
    return _LOOKS_SECRET.search(key) is not None


class Secrets(Mapping[str, str]):
    """Resolved secrets by name. Only indexing gives a value away; printing, logging and comparing do not."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(f'{name}={REDACTED}' for name in self._values)})"

    def __reduce__(self) -> str:
        raise TypeError("secrets are not written anywhere")


class Secret:
    """One resolved secret. Only `reveal` gives it away; printing, logging and comparing do not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __eq__(self, other: object) -> bool:
        from hmac import compare_digest  # brings OpenSSL along, and few processes compare secrets

        return isinstance(other, Secret) and compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(Secret)

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __reduce__(self) -> str:
        raise TypeError("secrets are not written anywhere")
