"""Mines named in lists without ids: how alike two names, counties and capacities are. Candidates, never a decision.

A name is compared as written, by its pinyin (another script, a homophone), by the part that is its own (company and
place names before it are shared by a whole coalfield), and by the names it had before. Mines of one company that
differ in nothing but their number are not alike.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from rapidfuzz import fuzz, process


@dataclass(frozen=True)
class LinkParameters:
    """What counts how much, and from where on it is worth a look (studied on a real two-script register).

    county_weight, capacity_weight: beside the name's own weight of 1; each counts only where both sides state it.
    company_part: how much the match of a part other than the last counts. within: how much a name found inside a
    longer one counts. homophone: how much equal sound counts against equal writing. other_number: what is left of a
    score where both are numbered and the numbers differ; one_number: where only one is. least: score from which a
    candidate is shown, 0-100. most: candidates a row. screened: mines whose names are compared in full. shortest:
    letters a name needs to be looked for inside another.
    """

    county_weight: float = 0.15
    capacity_weight: float = 0.10
    company_part: float = 0.9
    within: float = 0.9
    homophone: float = 0.95
    other_number: float = 0.3
    one_number: float = 0.85
    least: float = 65.0
    most: int = 5
    screened: int = 40
    shortest: int = 4


CORPORATE = re.compile(
    "有限责任公司|股份有限公司|有限公司|分公司|子公司|总公司|公司|（集团）|\\(集团\\)|集团|股份|煤矿|煤业|矿业|煤电|煤炭|精煤|煤焦|"
    "能源|开发|矿井|实业|控股|矿务局|矿$"
)
ENGLISH_WORDS = re.compile(
    r"\b(coal|mine|mines|mining|colliery|co|ltd|limited|company|corporation|corp|group|inc|industry|industrial|energy|"
    r"resources?|well|shaft|no)\b\.?",
    re.IGNORECASE,
)
FORMER = re.compile(r"[（(]\s*(?:原|曾用名|formerly)[:：\s]*([^（）()]+)[）)]", re.IGNORECASE)
NUMERALS = {"〇": 0, "零": 0, "一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
CHINESE_NUMBER = "[〇零一二三四五六七八九十百\\d]+"
NUMBERED = re.compile(
    f"第({CHINESE_NUMBER})|({CHINESE_NUMBER})号|({CHINESE_NUMBER})(?=矿|井)|({CHINESE_NUMBER})(?=煤矿$)"
)
ENGLISH_NUMBERED = re.compile(r"\bno\.?\s*(\d+)|#\s*(\d+)|\b(\d+)\b", re.IGNORECASE)
COUNTY_SUFFIX = re.compile("(自治县|县|区|市|旗)$")


@dataclass(frozen=True)
class Name:
    """A name in parts. written: its own and its company's parts; sound: the same in letters, in that order; number."""

    written: tuple[str, ...]
    sound: tuple[str, ...]
    number: int | None

    @property
    def whole(self) -> str:
        """All of it in letters."""
        return "".join(self.sound)


def is_chinese(text: str) -> bool:
    """Whether a text has Chinese characters."""
    return any("一" <= letter <= "鿿" for letter in text)


@lru_cache(maxsize=65536)
def name_of(text: str) -> Name:
    """A name taken apart."""
    plain = FORMER.sub("", unicodedata.normalize("NFKC", text)).strip()
    chinese = is_chinese(plain)
    number = number_of(plain, chinese)
    if chinese:
        bare = re.sub(f"第?{CHINESE_NUMBER}号?(矿井|矿|井)", "", plain) if number is not None else plain
        parts = [ENGLISH_WORDS.sub(" ", part).strip(" ()") for part in CORPORATE.split(bare)]
    else:
        parts = [ENGLISH_WORDS.sub(" ", ENGLISH_NUMBERED.sub(" ", plain))]
    written = tuple(" ".join(part.split()) for part in parts if part and part.strip()) or (plain,)
    return Name(written, tuple(sound_of(part) for part in written), number)


def sound_of(text: str) -> str:
    """A text in letters: pinyin without tones, accents and blanks dropped."""
    from pypinyin import Style, lazy_pinyin  # half a second of tables, which a night without closures to link can spare

    spelled = "".join(lazy_pinyin(text, style=Style.NORMAL))
    folded = unicodedata.normalize("NFKD", spelled.casefold())
    return "".join(letter for letter in folded if letter.isalnum())


def number_of(text: str, chinese: bool) -> int | None:
    """The number a mine or shaft carries in its name."""
    found = (NUMBERED if chinese else ENGLISH_NUMBERED).search(text)
    if found is None and chinese:
        found = re.search(r"(\d+)", text)
    if found is None:
        return None
    return value_of(next(group for group in found.groups() if group))


def value_of(digits: str) -> int:
    """A number in Arabic or Chinese digits: 13, 十三, 二十, 二一三〇."""
    if digits.isdigit():
        return int(digits)
    if "十" not in digits and "百" not in digits:
        return int("".join(str(NUMERALS.get(letter, letter)) for letter in digits))
    value, current = 0, 0
    for letter in digits:
        if letter in "十百":
            value += max(current, 1) * (10 if letter == "十" else 100)
            current = 0
        else:
            current = NUMERALS[letter] if letter in NUMERALS else int(letter)
    return value + current


def alike(one: str, other: str, parameters: LinkParameters) -> float:
    """How alike two names are, 0-100."""
    if one.strip() == other.strip():
        return 100.0
    a, b = name_of(one), name_of(other)
    score = max(
        parts_alike(a.written, b.written, parameters),
        parameters.homophone * parts_alike(a.sound, b.sound, parameters),
        parameters.homophone * parameters.within * inside(a.whole, b.whole, parameters),
    )
    if a.number == b.number:
        return score
    return score * (parameters.one_number if a.number is None or b.number is None else parameters.other_number)


def parts_alike(one: tuple[str, ...], other: tuple[str, ...], parameters: LinkParameters) -> float:
    """The best match of two parts; those that are not the last of their name count less. Or of the names as a whole."""
    best = fuzz.ratio("".join(one), "".join(other))
    for i, a in enumerate(reversed(one)):
        for j, b in enumerate(reversed(other)):
            weight = 1.0 if i == j == 0 else parameters.company_part
            best = max(best, weight * fuzz.ratio(a, b))
    return float(best)


def inside(one: str, other: str, parameters: LinkParameters) -> float:
    """How well the shorter name is found within the longer one."""
    short, long = sorted((one, other), key=len)
    return float(fuzz.partial_ratio(short, long)) if len(short) >= parameters.shortest else 0.0


def names_of(row: dict[str, Any]) -> list[str]:
    """Every name a row goes by: the present one, those in brackets after 原, and those listed as former."""
    name = str(row["name"])
    former = row.get("former_names")
    listed = re.split(r"[;；]", former) if isinstance(former, str) else []
    return [text.strip() for text in (name, *FORMER.findall(name), *listed) if text.strip()]


def county_alike(one: Any, other: Any) -> float | None:
    """How alike two counties are, 0-100, the second with the units around it (`a / b`); None where one is missing."""
    if not isinstance(one, str) or not isinstance(other, str) or not one.strip() or not other.strip():
        return None
    asked = COUNTY_SUFFIX.sub("", one.strip())
    best = 0.0
    for unit in other.split("/"):
        known = COUNTY_SUFFIX.sub("", unit.strip())
        within = len(asked) > 1 and asked in known
        best = max(best, 100.0 if within else fuzz.ratio(asked, known), fuzz.ratio(sound_of(asked), sound_of(known)))
    return float(best)


def capacity_alike(one: Any, other: Any) -> float | None:
    """How alike two capacities are, 0-100: 100 when equal, 0 from a factor of e apart; None where one is not stated."""
    if pd.isna(one) or pd.isna(other) or one <= 0 or other <= 0:
        return None
    return 100.0 * max(0.0, 1.0 - abs(float(np.log(one / other))))


def candidates(wanted: pd.DataFrame, mines: pd.DataFrame, parameters: LinkParameters | None = None) -> pd.DataFrame:
    """Mines that rows known by name may be.

    Parameters
    ----------
    wanted : name, county?, capacity_t?. mines : mine_id, name, former_names?, county?, capacity_t?.

    Returns
    -------
    row (label in `wanted`), mine_id, mine_name, score (0-100), because; the best first within each row.
    """
    parameters = parameters or LinkParameters()
    columns = ["row", "mine_id", "mine_name", "score", "because"]
    if wanted.empty or mines.empty:
        return pd.DataFrame(columns=columns)
    known = mines.to_dict("records")
    every = {(row["mine_id"], name): place for place, row in enumerate(known) for name in names_of(row)}
    called = [(place, name) for (_, name), place in every.items()]
    sounds = [name_of(name).whole for _, name in called]
    found: list[dict[str, Any]] = []
    for label, row in zip(wanted.index, wanted.to_dict("records"), strict=True):
        near: dict[str, tuple[float, str, int]] = {}
        for asked in names_of(row):
            hits = process.extract(name_of(asked).whole, sounds, scorer=fuzz.partial_ratio, limit=parameters.screened)
            for _, _, hit in hits:
                place, name = called[hit]
                mine_id, likeness = known[place]["mine_id"], alike(asked, name, parameters)
                if mine_id not in near or likeness > near[mine_id][0]:
                    near[mine_id] = (likeness, name, place)
        proposed = [proposal(row, known[place], score, name, parameters) for score, name, place in near.values()]
        proposed = [one for one in proposed if one["score"] >= parameters.least]
        proposed.sort(key=lambda one: (-one["score"], one["mine_id"]))
        found += [{"row": label, **one} for one in proposed[: parameters.most]]
    return pd.DataFrame(found, columns=columns)


def proposal(
    row: dict[str, Any], mine: dict[str, Any], score: float, name: str, parameters: LinkParameters
) -> dict[str, Any]:
    """One candidate: its score, and what it rests on."""
    total, weight, because = score, 1.0, [f"name {score:.0f}" + ("" if name == mine["name"] else f" (as {name})")]
    judged = (
        ("county", county_alike(row.get("county"), mine.get("county")), parameters.county_weight),
        ("capacity", capacity_alike(row.get("capacity_t"), mine.get("capacity_t")), parameters.capacity_weight),
    )
    for what, likeness, share in judged:
        if likeness is not None:
            total, weight = total + share * likeness, weight + share
            because.append(f"{what} {likeness:.0f}")
    return {
        "mine_id": mine["mine_id"],
        "mine_name": mine["name"],
        "score": round(total / weight, 1),
        "because": ", ".join(because),
    }
