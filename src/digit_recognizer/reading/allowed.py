"""What numbers may be: patterns such as ``dd.dd`` and lists of values, and the most probable text of these.

A number consists of N characters, each of which is one of `CHARACTERS` or, with the rest of the probability,
none at all. So a text is shorter than the number or as long, and its probability is the sum over all ways to
leave characters out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError
from digit_recognizer.reading.characters import CHARACTERS, DIGITS, Character
from digit_recognizer.reading.values import Alternative

MAX_REPEATS = 100  # of an element of a pattern
MAX_ELEMENTS = 200  # of a pattern, repeats included; the time to rank texts grows with their square
TEXTS_PER_STATE = 8  # most probable texts that are followed further, for each state of a pattern
INDICES = {character: index for index, character in enumerate(CHARACTERS)}
TOKEN = re.compile(rf"([d{re.escape(CHARACTERS)}])([?*]|\{{(\d+)(?:,(\d+))?\}})?")
EXPECTED = f"expected d for a digit, or one of {' '.join(CHARACTERS)}, and after it ?, *, {{n}} or {{n,m}}"

State = frozenset[int]  # the elements of a pattern that may come next


@dataclass(frozen=True, slots=True)
class Ranking:
    """The most probable allowed texts, and the probability of all allowed texts together."""

    texts: tuple[Alternative, ...]
    total: float


class Allowed(Protocol):
    """The texts that a number may be; never the empty one."""

    def rank(self, candidates: Sequence[Character], count: int) -> Ranking:
        """Return at least the `count` most probable allowed texts of candidates, as far as there are any."""


@dataclass(frozen=True, slots=True)
class _Element:
    """A set of characters at one place of a pattern, once or not at all, or any number of times."""

    characters: frozenset[str]
    optional: bool = False
    repeated: bool = False


class Pattern:
    """Texts of a form.

    Parameters
    ----------
    text
        ``d`` is a digit; digits and separators are themselves. After one of these, ``?`` makes it optional,
        ``*`` repeats it any number of times or never, ``{n}`` n times, and ``{n,m}`` n to m times.

    Raises
    ------
    DigitsError
        The text is empty, or has something else.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._elements = list(_elements(text))
        self._next: dict[tuple[State, str], State] = {}
        if not text or len(self._elements) > MAX_ELEMENTS:
            raise DigitsError(f"the pattern {text!r} is empty or too long; {EXPECTED}")

    def rank(self, candidates: Sequence[Character], count: int) -> Ranking:
        """Return the most probable texts that match; see `Allowed`."""
        kept = max(count, TEXTS_PER_STATE)
        texts: dict[State, dict[str, float]] = {self._start: {"": 1.0}}
        masses: dict[State, float] = {self._start: 1.0}
        for candidate in candidates:
            texts, masses = self._extend(texts, masses, candidate, kept)
        ends = [state for state in masses if len(self._elements) in state]
        found = [(text, p) for state in ends for text, p in texts[state].items() if text]
        is_optional = len(self._elements) in self._start
        nothing = prod(1 - each.is_character for each in candidates) if is_optional else 0.0
        total = max(sum(masses[state] for state in ends) - nothing, sum(p for _, p in found))
        return Ranking(_sorted(found), total)

    def _extend(
        self,
        texts: dict[State, dict[str, float]],
        masses: dict[State, float],
        candidate: Character,
        kept: int,
    ) -> tuple[dict[State, dict[str, float]], dict[State, float]]:
        """Return the texts and the probability of each state after one more character."""
        options = _options(candidate)
        longer: dict[State, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        sums: dict[State, float] = defaultdict(float)
        for state, mass in masses.items():
            for character, p in options:
                after = self._follow(state, character) if character else state
                if not after:
                    continue
                sums[after] += mass * p
                for text, probability in texts[state].items():
                    longer[after][text + character] += probability * p
        best = {state: dict(_most_probable(each, kept)) for state, each in longer.items()}
        return best, dict(sums)

    @cached_property
    def _start(self) -> State:
        return self._closure({0})

    def _follow(self, state: State, character: str) -> State:
        """Return the elements that may come after a character; none if it is not allowed."""
        if (state, character) not in self._next:
            after = set()
            for place in state:
                if place < len(self._elements) and character in self._elements[place].characters:
                    after.add(place if self._elements[place].repeated else place + 1)
            self._next[state, character] = self._closure(after)
        return self._next[state, character]

    def _closure(self, places: set[int]) -> State:
        """Return the places of a pattern, and those that can be reached by leaving elements out."""
        reached = set()
        for first in places:
            place = first
            reached.add(place)
            while place < len(self._elements) and self._elements[place].optional:
                place += 1
                reached.add(place)
        return frozenset(reached)


class Values:
    """The texts of a list.

    Parameters
    ----------
    texts
        At least one; each consists of `CHARACTERS`.

    Raises
    ------
    DigitsError
        There is none, or one has another character.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        by_length: dict[int, list[str]] = defaultdict(list)
        for text in dict.fromkeys(texts):
            if not text or any(each not in INDICES for each in text):
                raise DigitsError(f"the value {text!r} has another character than {' '.join(CHARACTERS)}")
            by_length[len(text)].append(text)
        if not by_length:
            raise DigitsError("there are no values; expected at least one")
        self._texts = dict(by_length)
        self._classes = {
            length: np.array([[INDICES[each] for each in text] for text in texts])
            for length, texts in by_length.items()
        }  # (values, length), by length

    def rank(self, candidates: Sequence[Character], count: int) -> Ranking:
        """Return the most probable values; see `Allowed`."""
        found: list[tuple[str, float]] = []
        total = 0.0
        for length, texts in self._texts.items():
            if length > len(candidates):
                continue
            probabilities = _probabilities(self._classes[length], candidates)
            total += float(probabilities.sum())
            best = np.argsort(-probabilities, kind="stable")[: count + 1]
            found += [(texts[row], float(probabilities[row])) for row in best if probabilities[row] > 0]
        return Ranking(_sorted(found), total)


def runners_up(candidates: Sequence[Character], count: int) -> list[Alternative]:
    """Return the `count` + 1 most probable texts of candidates, without the empty one.

    No text among these has a character at some place that is not among the most probable `count` + 2 there.
    """
    texts = {"": 1.0}
    for candidate in candidates:
        longer: dict[str, float] = defaultdict(float)
        for character, p in sorted(_options(candidate), key=lambda each: -each[1])[: count + 2]:
            for text, probability in texts.items():
                longer[text + character] += probability * p
        texts = dict(_most_probable(longer, count + 2))
    return list(_sorted([(text, p) for text, p in texts.items() if text]))[: count + 1]


def align(text: str, candidates: Sequence[Character]) -> tuple[Character, ...]:
    """Return the candidates that most probably are the characters of a text, with these as their texts."""
    paths: dict[int, tuple[float, tuple[int, ...]]] = {0: (1.0, ())}  # by the length that is reached
    for number, candidate in enumerate(candidates):
        extended: dict[int, tuple[float, tuple[int, ...]]] = {}
        for length, (p, chosen) in paths.items():
            options = [(length, p * (1 - candidate.is_character), chosen)]
            if length < len(text):
                p_character = candidate.is_character * candidate.probabilities[INDICES[text[length]]]
                options.append((length + 1, p * p_character, (*chosen, number)))
            for reached, probability, places in options:
                if reached not in extended or probability > extended[reached][0]:
                    extended[reached] = (probability, places)
        paths = extended
    _, places = paths[len(text)]
    return tuple(_named(candidates[place], character) for place, character in zip(places, text, strict=True))


def _named(candidate: Character, text: str) -> Character:
    return Character(text, candidate.box, candidate.probabilities, candidate.is_character, candidate.image)


def _options(candidate: Character) -> list[tuple[str, float]]:
    """Return what a candidate may be, with probabilities; the empty text is none at all."""
    p = candidate.is_character
    options = [(each, p * q) for each, q in zip(CHARACTERS, candidate.probabilities, strict=True)]
    options = [each for each in options if each[1] > 0]
    return [*options, ("", 1 - p)] if p < 1 else options


def _probabilities(classes: NDArray[np.intp], candidates: Sequence[Character]) -> NDArray[np.float64]:
    """Return the probability of each of many texts of one length, (values, length), by all alignments."""
    reached = np.zeros((len(classes), classes.shape[1] + 1))  # that so many characters of a text are written
    reached[:, 0] = 1
    for candidate in candidates:
        p = candidate.is_character * np.array(candidate.probabilities)[classes]  # (values, length)
        longer = reached[:, :-1] * p
        reached *= 1 - candidate.is_character
        reached[:, 1:] += longer
    return reached[:, -1]


def _most_probable(texts: dict[str, float], count: int) -> list[tuple[str, float]]:
    return sorted(texts.items(), key=lambda each: (-each[1], each[0]))[:count]


def _sorted(found: Iterable[tuple[str, float]]) -> tuple[Alternative, ...]:
    return tuple(Alternative(*each) for each in sorted(found, key=lambda each: (-each[1], each[0])))


def _elements(text: str) -> Iterator[_Element]:
    """Yield the elements of a pattern; one that may occur n to m times is as many elements."""
    place = 0
    while place < len(text):
        token = TOKEN.match(text, place)
        if token is None:
            raise DigitsError(f"the pattern {text!r} has {text[place]!r} at place {place + 1}; {EXPECTED}")
        name, repeat, least, most = token.groups()
        characters = frozenset(CHARACTERS[:DIGITS] if name == "d" else name)
        if repeat == "*":
            yield _Element(characters, optional=True, repeated=True)
        else:
            first, last = (0, 1) if repeat == "?" else (int(least or 1), int(most or least or 1))
            if not 0 < last <= MAX_REPEATS or first > last:
                raise DigitsError(f"the pattern {text!r} repeats {name} {first} to {last} times; {EXPECTED}")
            yield from [_Element(characters)] * first
            yield from [_Element(characters, optional=True)] * (last - first)
        place = token.end()
