"""Compare texts: letter by letter, or word by word as question answering does."""

import re
import unicodedata

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_GROUPS = re.compile(r"(?<![0-9])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9])")
# A sign, a point or a slash belongs to the number beside it: without it, 1.5 would be 15, and -5 would be 5.
_IN_NUMBERS = re.compile(r"(?<!\S)-(?=[.]?[0-9])|(?<=[0-9])[./:^*+-](?=[0-9])|(?<![0-9a-z])\.(?=[0-9])")


def same_text(answer: str, gold: str) -> bool:
    """Return whether two texts are equal, case and outer white space ignored.

    >>> same_text(" paris", "Paris"), same_text("Paris.", "Paris")
    (True, False)
    """
    return answer.strip().casefold() == gold.strip().casefold()


def same_words(answer: str, gold: str) -> bool:
    """Return whether two texts have the same words in the same order: SQuAD's exact match (1606.05250).

    Case, punctuation, white space and the articles a, an, the are ignored. Unlike SQuAD's, punctuation within a number
    counts: there 1.5 equals 15. Texts of nothing else than what is ignored are compared letter by letter.

    >>> same_words("The Beatles!", "beatles"), same_words("1.5", "15"), same_words("1,000", "1000")
    (True, False, True)
    >>> same_words("Lennon or McCartney", "Lennon")
    False
    """
    wanted = words(gold)
    return words(answer) == wanted if wanted else same_text(answer, gold)


def words(text: str) -> list[str]:
    """Return the words of a text by which `same_words` compares.

    >>> words("The U.S.A., -1,250.5 km")
    ['usa', '-1250.5', 'km']
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("−", "-")
    text = _GROUPS.sub(lambda match: match[1].replace(",", ""), text)
    kept = {match.start() for match in _IN_NUMBERS.finditer(text)}
    text = "".join(c if i in kept or not _is_punctuation(c) else "" for i, c in enumerate(text))
    return _ARTICLES.sub(" ", text).split()


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] == "P" or char in "$+<=>^`|~"
