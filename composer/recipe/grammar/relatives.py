"""Which languages are related, and how closely: a small table of genealogical relations.

    nearest_relatives("uk", ["de", "pl", "ru"])      ['ru']          East Slavic, as Ukrainian is
    nearest_relatives("sv", ["de", "en", "fi"])      ['de', 'en']    Germanic

The groups are those of Glottolog 5 (Hammarström et al., https://glottolog.org, CC BY 4.0), cut to
the levels that tell the languages here apart. It says who descends from whom, and nothing of
word order, script or borrowed words: Persian stands nearer to Welsh than to Arabic.
"""

from collections.abc import Sequence
from functools import cache

_GROUPS = """
Afro-Asiatic
  Semitic
    Central Semitic: ar he mt
    Ethiosemitic: am ti
  Chadic: ha
  Cushitic: om so
Atlantic-Congo
  Volta-Congo
    Yoruboid: yo
    Igboid: ig
    Narrow Bantu: rw sn sw xh zu
Austroasiatic: km vi
Austronesian
  Malayo-Polynesian
    Malayic: id ms
    Philippine: tl ceb
    Javanesic: jv
    Malagasic: mg
    Polynesian: haw mi sm
Dravidian
  South Dravidian: kn ml ta
  Central Dravidian: te
Indo-European
  Albanian: sq
  Armenian: hy
  Balto-Slavic
    Eastern Baltic: lt lv
    Slavic
      East Slavic: be ru uk
      South Slavic
        Eastern South Slavic: bg mk
        Western South Slavic: bs hr sl sr
      West Slavic
        Czech-Slovak: cs sk
        Lechitic: pl
  Celtic
    Brythonic: br cy kw
    Goidelic: ga gd
  Germanic
    North Germanic
      East Scandinavian: da nb no sv
      West Scandinavian: fo is
    West Germanic
      Anglo-Frisian: en fy
      Franconian
        High Franconian: de lb yi
        Low Franconian: af nl
  Greek: el
  Indo-Iranian
    Indo-Aryan
      Central Indo-Aryan
        Hindustani: hi ur
        Gujarati-Rajasthani: gu
      Eastern Indo-Aryan: as bn or
      Northern Indo-Aryan: ne
      Northwestern Indo-Aryan: pa sd
      Southern Indo-Aryan: mr
      Dhivehi-Sinhala: si
    Iranian
      Western Iranian: fa ku tg
      Eastern Iranian: ps
  Romance
    Eastern Romance: ro
    Italo-Western Romance
      Italo-Dalmatian: it
      Western Romance
        Northwestern Shifted Romance: fr
        Southwestern Shifted Romance
          East Ibero-Romance: ca oc
          West Ibero-Romance: es gl pt
Japonic: ja
Kartvelian: ka
Koreanic: ko
Mongolic: mn
Sino-Tibetan
  Burmo-Qiangic: my
  Bodic: bo
  Sinitic: yue zh
Tai-Kadai: lo th
Turkic
  Common Turkic
    Kipchak: kk ky tt
    Karluk: ug uz
    Oghuz: az tk tr
  Bolgar: cv
Uralic
  Finnic: et fi
  Hungarian: hu
"""


def nearest_relatives(language: str, among: Sequence[str]) -> list[str]:
    """List the languages that share the smallest group with one; none if no family is shared.

    Tags are compared by their language alone, so that variants of one are nearest.

    Args:
        language: A tag, as "uk" or "zh-HK".
        among: Tags to choose from; their order is kept.

    >>> nearest_relatives("de-CH", ["de", "en", "nl"]), nearest_relatives("eu", ["es", "fr"])
    (['de'], [])
    """
    shared = {tag: _shared(_line(language), _line(tag)) for tag in among}
    closest = max(shared.values(), default=0)
    return [tag for tag, groups in shared.items() if groups == closest and closest]


def is_placed(language: str) -> bool:
    """Say whether the table knows a language.

    >>> is_placed("uk"), is_placed("eu")
    (True, False)
    """
    return language.partition("-")[0] in _lines()


def _line(language: str) -> tuple[str, ...]:
    """List the groups of a language from the family down, and last the language itself."""
    primary = language.partition("-")[0]
    return (*_lines().get(primary, ()), primary)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return next(
        (depth for depth, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


@cache
def _lines() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in _GROUPS.strip().splitlines():
        group, _, tags = line.strip().partition(": ")
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], group]
        found |= dict.fromkeys(tags.split(), tuple(above))
    return found
