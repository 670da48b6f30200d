"""Measure a reader on sets of pictures: rows of results, contact sheets of errors, calibration."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from _bench import say
from _contact_sheet import Error, write_errors
from _layouts import LAYOUTS, form, two_rows, with_line
from _number_sets import PICTURES_OF_A_LAYOUT, SETS, PictureSet, Sources
from _readers import Reader, SingleReader
from _result_rows import Row, at_least, at_most, proportion
from _scores import Confidences, PlacedScore, changed_digits, compare
from _views import VIEWS, plain_page

FORMS, FORM_DEGREES = 204, (0, 3, 6, 10)  # 17 of each view and rotation
LINES = 200  # pictures of two rows, with one line
MAX_TRIES = 4  # pictures composed for each that is read right without the line
PLACED_SECTION, LINES_SECTION = "Numbers at their places", "One line added to two rows that were read right"
CALIBRATION_SECTION = "Expected calibration error of a number's confidence, 15 bins"
SINGLE_SECTION = "The same, by read_single"
SECTIONS = (
    *dict.fromkeys(each.section for each in SETS.values()),
    SINGLE_SECTION,
    PLACED_SECTION,
    LINES_SECTION,
    CALIBRATION_SECTION,
)
NAMES = (*SETS, "forms", *LAYOUTS, "lines")


class Measurement:
    """Measures one reader on the chosen sets, and keeps rows, errors and confidences."""

    def __init__(self, reader: Reader, single: SingleReader | None, sources: Sources, errors: Path | None):
        self.rows: list[Row] = []
        self.confidences: dict[str, Confidences] = {}
        self._reader, self._single, self._sources, self._errors = reader, single, sources, errors
        self._alike: list[bool] = []  # of pictures of one digit: read and read_single agree

    def measure(self, name: str) -> None:
        """Measure one set, of `NAMES`."""
        started = time.perf_counter()
        if name in SETS:
            self._pictures(name, SETS[name])
        elif name in LAYOUTS:
            self._layout(name)
        else:
            {"forms": self._forms, "lines": self._lines}[name]()
        say(f"{name}: {time.perf_counter() - started:.0f} s")

    def finish(self) -> list[Row]:
        """Return all rows, with those over several sets."""
        rows = sorted(self.rows, key=lambda row: SECTIONS.index(row.section))
        if self._alike:
            rows.append(proportion(SINGLE_SECTION, "all, the same answer as read", self._alike))
        pooled = Confidences()
        for each in self.confidences.values():
            pooled.extend(each)
        shown = {**self.confidences, "all": pooled}
        rows += [_calibration(name, each) for name, each in shown.items() if each.confidence]
        return sorted(rows, key=lambda row: SECTIONS.index(row.section))

    def _pictures(self, name: str, pictures: PictureSet) -> None:
        right: dict[str, list[bool]] = {measure: [] for measure in pictures.measures}
        single: list[bool] = []
        errors: list[Error] = []
        confidences = self.confidences.setdefault(name, Confidences())
        for case in pictures.cases(self._sources):
            answer, found, error = compare(self._reader, case.name, case.page, case.expected, right)
            for measure, each in found.items():
                right[measure].append(each)
            errors += [] if error is None else [error]
            if not pictures.single:
                confidences.add(answer.confidence, list(found.values())[-1])
            elif self._single is not None:
                digit = self._single(case.page)
                read = "" if digit is None else str(digit)
                single.append(read == case.expected)
                self._alike.append(read == answer.text)
        if not next(iter(right.values())):
            return  # the folder of real pictures is not at hand
        for measure, target in pictures.measures.items():
            label = name if measure in ("digits", "refused") else f"{name}, {measure}"
            self.rows.append(proportion(pictures.section, label, right[measure], target))
        if single:
            target = next(iter(pictures.measures.values()))
            self.rows.append(proportion(SINGLE_SECTION, name, single, target))
        self._write(name, errors)

    def _layout(self, name: str) -> None:
        write, show, degrees = LAYOUTS[name]
        score = PlacedScore()
        for number in range(self._sources.count(PICTURES_OF_A_LAYOUT)):
            rng = self._rng(number)
            view = show(write(self._sources.hand, rng), rng.uniform(-degrees, degrees), rng)
            score.add(str(number), view, self._reader(view.page))
        self._placed(name, score)

    def _forms(self) -> None:
        scores = {name: PlacedScore() for name in (*VIEWS, *map(_degrees_name, FORM_DEGREES), "all")}
        for number in range(self._sources.count(FORMS)):
            rng = self._rng(number)
            kind = list(VIEWS)[number % len(VIEWS)]
            degrees = FORM_DEGREES[number // len(VIEWS) % len(FORM_DEGREES)]
            view = VIEWS[kind](form(self._sources.hand, rng), degrees * rng.choice([-1, 1]), rng)
            answer = self._reader(view.page)
            for group in (kind, _degrees_name(degrees), "all"):
                scores[group].add(f"{number}, {kind}, {degrees}°", view, answer)
        self._placed("forms", scores.pop("all"))
        for name, score in scores.items():
            if score.exactly:
                self.rows.append(
                    proportion(PLACED_SECTION, f"forms, {name}, exactly", score.exactly, at_least(95))
                )

    def _placed(self, name: str, score: PlacedScore) -> None:
        self.rows += [
            proportion(PLACED_SECTION, f"{name}, exactly", score.exactly, at_least(95)),
            proportion(PLACED_SECTION, f"{name}, digits only", score.digits),
            proportion(PLACED_SECTION, f"{name}, rows of which nothing was read", score.unread),
            proportion(PLACED_SECTION, f"{name}, rows lost without a word", score.lost, at_most(0)),
            Row(PLACED_SECTION, f"{name}, numbers read where none is", "numbers", score.invented),
        ]
        self.confidences[name] = score.confidences
        self._write(name, score.errors)

    def _lines(self) -> None:
        """Add a line to pictures that are read right without it."""
        wanted, changed, of, touched = self._sources.count(LINES), 0, 0, []
        errors: list[Error] = []
        for number in range(MAX_TRIES * wanted):
            rng = self._rng(number)
            view = plain_page(two_rows(self._sources.hand, rng), 0.0, rng)
            before = self._reader(view.page)
            lined = with_line(view.page, rng)
            if before.text != "\n".join(each.text for each in view.numbers):
                continue
            after = self._reader(lined)
            lost = changed_digits(before, after)
            changed, of = changed + lost, of + sum(len(each.text) for each in view.numbers)
            touched.append(after.text != before.text)
            if touched[-1]:
                errors.append(Error(str(number), lined, before.text, after.text))
            if len(touched) == wanted:
                break
        if touched:
            share = np.arange(of) < min(changed, of)
            self.rows.append(proportion(LINES_SECTION, "digits changed", share, at_most(1)))
            self.rows.append(proportion(LINES_SECTION, "pictures changed", touched))
        self._write("lines", errors)

    def _write(self, name: str, errors: Sequence[Error]) -> None:
        if self._errors is not None:
            write_errors(self._errors, name, errors)

    def _rng(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self._sources.seed, number])


def _degrees_name(degrees: int) -> str:
    return f"{degrees}°"


def _calibration(name: str, confidences: Confidences) -> Row:
    target = at_most(3) if name == "all" else None
    return Row(CALIBRATION_SECTION, name, "%", confidences.error(), of=len(confidences.right), bar=target)
