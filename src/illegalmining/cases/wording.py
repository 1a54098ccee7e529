"""What a judgement says, in the reader's language: one template a finding, English and Chinese side by side."""

from __future__ import annotations

from string import Formatter

import pandas as pd

SAYS: dict[str, dict[str, str]] = {
    "excavation_unlicensed": {
        "en": "{sensor}: {area:.2f} ha of ground laid bare since {first}; no opencast licence in force there",
        "zh": "{sensor}：自{first}起{area:.2f}公顷地表被剥离，此处无有效露天采矿许可",
    },
    "excavation_expired": {
        "en": "{sensor}: {area:.2f} ha of ground laid bare since {first}; licence {licence} was not in force then",
        "zh": "{sensor}：自{first}起{area:.2f}公顷地表被剥离，许可证{licence}当时已失效",
    },
    "excavation_beyond": {
        "en": "{sensor}: {area:.2f} ha dug since {first}, {outside:.2f} ha of it outside licence {licence} "
        "(probability outside {p:.0%})",
        "zh": "{sensor}：自{first}起开挖{area:.2f}公顷，其中{outside:.2f}公顷在许可证{licence}边界之外（越界概率{p:.0%}）",
    },
    "excavation_shut": {
        "en": "{sensor}: {area:.2f} ha dug since {first} while the mine was {status}",
        "zh": "{sensor}：自{first}起开挖{area:.2f}公顷，当时矿山状态为{status}",
    },
    "face_hidden": {
        "en": "Ground movement since {first} fits an undeclared face of about {area:.2f} ha, peak {peak:.0f} mm{inside}",
        "zh": "自{first}起的地表移动与一处约{area:.2f}公顷的未申报工作面相符，最大下沉{peak:.0f}毫米{inside}",
    },
    "face_beyond": {
        "en": "Ground movement since {first} fits a face that leaves licence {licence} by {outside:.2f} ha "
        "(probability outside {p:.0%})",
        "zh": "自{first}起的地表移动与一处越出许可证{licence}边界{outside:.2f}公顷的工作面相符（越界概率{p:.0%}）",
    },
    "face_out_of_elevation": {
        "en": "Ground movement since {first} fits a face about {depth:.0f} m deep, outside the elevations of licence {licence} "
        "(probability outside {p:.0%})",
        "zh": "自{first}起的地表移动与一处深约{depth:.0f}米的工作面相符，超出许可证{licence}的开采标高（超层概率{p:.0%}）",
    },
    "face_unlicensed": {
        "en": "Ground movement since {first} fits an underground face of about {area:.2f} ha where no licence is in force",
        "zh": "自{first}起的地表移动与一处约{area:.2f}公顷的井下工作面相符，此处无有效许可证",
    },
    "face_past_stop": {
        "en": "The ground over declared face {face} kept sinking after its stop, beyond what decay allows",
        "zh": "已申报工作面{face}停采后地表仍持续下沉，超出残余下沉允许范围",
    },
    "face_never_moved": {
        "en": "Declared face {face} was to be extracted, yet the ground over it never moved",
        "zh": "已申报工作面{face}应在开采，但其上方地表从未移动",
    },
    "face_moved": {
        "en": "The ground over declared face {face} moves as declared: coal is being dug there",
        "zh": "已申报工作面{face}上方地表按申报移动：确有开采",
    },
    "power_forbidden": {
        "en": "Power on {nights} day(s) between {first} and {last} fits production, not the safety load, while {status}",
        "zh": "{first}至{last}间有{nights}天用电符合生产而非安全负荷，当时矿山状态为{status}",
    },
    "power_moved": {
        "en": "Meter {meter} near by draws on {nights} day(s) between {first} and {last} what its past does not know, "
        "while the mine was {status}",
        "zh": "附近电表{meter}在{first}至{last}间有{nights}天出现其历史所无的负荷，当时矿山状态为{status}",
    },
    "power_silent": {
        "en": "The meter draws less than ventilation and drainage take ({first} to {last}): left to flood, or supplied "
        "by generators or another's meter; power alone does not tell",
        "zh": "{first}至{last}电表用电低于通风排水所需：或已停排，或由自备电源或他人电表供电；仅凭用电无法判断",
    },
    "power_unregistered": {
        "en": "Meter {meter}, registered for no mine, draws like one since {first}",
        "zh": "电表{meter}未登记为矿山用电，但自{first}起用电特征与矿山相似",
    },
    "power_idle": {
        "en": "{tonnes:,.0f} t declared, but the load is that of a mine at rest",
        "zh": "申报产量{tonnes:,.0f}吨，但用电为停产水平",
    },
    "power_working": {
        "en": "The load agrees with production as declared",
        "zh": "用电与申报的生产相符",
    },
    "building": {
        "en": "{sensor}: {area:.2f} ha changed since {first}, but what stands there now looks like buildings, not a pit",
        "zh": "{sensor}：自{first}起{area:.2f}公顷地表改变，但现状更像建筑物而非采坑",
    },
    "excavation_lawful": {
        "en": "{sensor}: {area:.2f} ha dug inside the licence since {first}: the mine does work",
        "zh": "{sensor}：自{first}起许可范围内开挖{area:.2f}公顷：矿山确在生产",
    },
}

SENSORS = {"surface": {"en": "Optical images", "zh": "光学影像"}, "radar": {"en": "Radar images", "zh": "雷达影像"}}

STATUS_WORDS = {
    "producing": "生产",
    "building": "建设",
    "suspended": "停产",
    "long_term_shut": "长期停产",
    "closed": "关闭",
    "rectifying": "整改",
}


def says(key: str, language: str, values: pd.DataFrame) -> list[str]:
    """The sentences for many findings of one kind in `en` or `zh`; values: a column for every name in the template."""
    parts = list(Formatter().parse(SAYS[key][language]))
    names = [name for _, name, _, _ in parts if name]
    template = "".join(words + (f"{{:{form}}}" if name else "") for words, name, form, _ in parts)
    if not names:
        return [template] * len(values)
    columns = [
        values[name].map(translated(values[name], language)) if name == "status" else values[name] for name in names
    ]
    return list(map(template.format, *(column.tolist() for column in columns)))


def translated(statuses: pd.Series, language: str) -> dict[str, str]:
    """Each status as the register has it -> for the reader."""
    words = STATUS_WORDS if language == "zh" else {"_": " "}
    found = {}
    for status in statuses.unique():
        text = status
        for word, put in words.items():
            text = text.replace(word, put)
        found[status] = text
    return found
