"""Chinese of what views and `lode assess report` say in English: reasons, warnings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reporting.phrases import VALUES_ZH
from reporting.prospect_reasons import PARTS_ZH, PROSPECT_PATTERNS

AT_LEAST = "at least; "
"""What restoration_rate puts before a reason where figures are the least they can be."""

REASONS_ZH: dict[str, str] = {
    "nobody looked for damage in this year": "该年度未作损毁解译",
    "no damage was ever seen": "从未观测到损毁",
    "no scene of this year covers it": "该年度没有覆盖该矿山的影像",
    "no scene of this year covers any of it": "该年度没有覆盖该区域的影像",
    "a scene of this year covers it, but no current run observed it": "该年度有影像覆盖，但没有现行解译结果",
    "a scene of this year covers a part of it, but no current run observed it": (
        "该年度有影像覆盖其一部分，但没有现行解译结果"
    ),
    "the models of this year do not map this class": "该年度所用模型不识别此地类",
    "the models of a part do not map this class": "部分区域所用模型不识别此地类",
    "the models of this year do not map every class of damage": "该年度所用模型未识别全部损毁地类",
    "only what interpreters drew is known: no current run observed it": "仅有人工解译部分，没有现行解译结果",
    "a part was not observed; a scene that no current run interpreted covers the mine": (
        "部分未观测；另有覆盖该矿山的影像尚无现行解译结果"
    ),
    "the rest is under cloud or outside the scenes": "其余部分被云遮挡或在影像范围之外",
    "scenes of this year cover it, but only cloud or nodata was seen there": "该年度影像在此处仅有云或无数据",
    "the draw is not over: the sum of design, strata and points is kept when its transaction ends": (
        "抽样尚未完成：事务结束时才保存设计、层和样点的校验和"
    ),
    "no licence boundary of this mine is stored": "数据库中没有该矿山的采矿权边界",
    "no protected region is stored": "数据库中没有敏感区图层",
    "the map shows no such ground: no user's accuracy": "分类图上没有此类，无用户精度",
    "no point was found to be such ground: no producer's accuracy": "没有样点属于此类，无生产者精度",
    "the map has changed since the points were drawn: the figures are of the map as it was; draw a new "
    "sample for the map of today": "抽样之后分类图已变化：以下为抽样时分类图的数值；如需现状，请重新抽样",
}
"""Sentences without numbers and names."""

_PATTERNS: tuple[tuple[str, str], ...] = (
    *PROSPECT_PATTERNS,
    (
        r"the design, the strata or the points are no longer those that were drawn: their SHA-256 is "
        r"(?P<found>\w+), at the draw it was (?P<drawn>\w+)",
        "抽样设计、层或样点已不是抽样时的：现SHA-256为{found}，抽样时为{drawn}",
    ),
    (
        r"fewer than two points with a reference class in stratum (?P<names>.+)",
        "有参考类别的样点不足两个的层：{names}",
    ),
    (
        r"points without an answer yet: (?P<count>\d+); the figures will change",
        "{count}个样点尚无判读：数值还会变化",
    ),
    (
        r"points without a reference class: (?P<count>\d+) \((?P<unknown>\d+) where nobody can tell, "
        r"(?P<tie>\d+) where they disagree evenly\); they are left out, as if never drawn",
        "{count}个样点没有参考类别（{unknown}个无法判读，{tie}个意见各半）：视同未抽取",
    ),
    (
        r"(?P<names>\w+): none of (?P<count>\d+) points was found to be wrong; its standard error 0 does not "
        r"say that nothing is: up to (?P<share>[\d.]+%) may be \(95 %\)",
        "{names}：{count}个样点均判读正确；标准误为0并不表示没有错误：错误比例最高可达{share}（95%）",
    ),
)
_STRATUM = re.compile(r"(?P<key>[a-z_]+)(?: \((?P<answered>\d+) of (?P<drawn>\d+)\))?")


def chinese(english: str, classes: Mapping[str, str]) -> str | None:
    """A sentence in Chinese; None where its Chinese is not known.

    Args:
        english: as a view gives it.
        classes: Chinese names of classes by key.

    """
    if english.startswith(AT_LEAST):
        rest = chinese(english.removeprefix(AT_LEAST), classes)
        return f"至少；{rest}" if rest else None
    if english in REASONS_ZH:
        return REASONS_ZH[english]
    for pattern, template in _PATTERNS:
        found = re.fullmatch(pattern, english)
        if found:
            values = found.groupdict()
            if "names" in values:
                strata = _STRATUM.finditer(values["names"])
                values["names"] = "、".join(_stratum(each, classes) for each in strata)
            if "channels" in values:
                values["channels"] = re.sub(r" and (\d+) more$", r"，另有\1个", values["channels"])
            if "part" in values:
                values["part"] = PARTS_ZH[values["part"]]
            return template.format(**values)
    return None


def _stratum(found: re.Match[str], classes: Mapping[str, str]) -> str:
    """A class or kind by its Chinese name, with how many of its points were answered."""
    key = found["key"]
    name = classes.get(key) or VALUES_ZH.get(key) or key
    return f"{name}（{found['drawn']}个中{found['answered']}个）" if found["drawn"] else name
