"""What a person probably meant by a name we do not know. Used wherever names come from people: configuration and
registry.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'gamma'?)`, or nothing when no known name is near."""
    by_fold = {name.casefold(): name for name in known}
    nearest = get_close_matches(word.casefold(), list(by_fold), n=1, cutoff=0.6)
    return f" (did you mean {by_fold[nearest[0]]!r}?)" if nearest else ""
