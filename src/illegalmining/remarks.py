"""What could not be judged, in the reader's language: every input that is absent, and what that leaves unseen."""

from __future__ import annotations

import pandas as pd

from illegalmining.checkpoint import Watched
from illegalmining.detect.findings import Remark
from illegalmining.district import District
from illegalmining.hotspots import area_spread
from illegalmining.registers.read import Registers

WITHOUT_REGISTER = {
    "concessions": {
        "en": "No register of licences: every excavation counts as unlicensed, and no boundary could be checked.",
        "zh": "没有采矿许可登记：所有开挖均按无证处理，无法核查边界。",
    },
    "mines": {
        "en": "No register of mines: no offence could be attached to a mine.",
        "zh": "没有矿山登记：无法将违法行为对应到矿山。",
    },
    "mine_status": {
        "en": "No register of statuses: production while shut could not be judged.",
        "zh": "没有矿山状态登记：无法判断停产期间的生产。",
    },
    "working_faces": {
        "en": "No register of working faces: lawful faces could not be told from hidden ones.",
        "zh": "没有采煤工作面登记：无法区分合法与隐蔽工作面。",
    },
    "meters": {
        "en": "No register of meters: power could not be judged.",
        "zh": "没有电表登记：无法分析用电。",
    },
    "production": {
        "en": "No declared production: output on paper could not be judged.",
        "zh": "没有申报产量：无法判断虚报产量。",
    },
}

WITHOUT_SENSOR = {
    "surface": {
        "en": "No optical images: excavations show only where radar sees them, if at all.",
        "zh": "没有光学影像：开挖仅能由雷达发现（如有）。",
    },
    "radar": {
        "en": "No radar images: what clouds hid stayed hidden.",
        "zh": "没有雷达影像：被云遮挡处未能观测。",
    },
    "subsidence": {
        "en": "No displacement measurements: underground faces could not be seen.",
        "zh": "没有地表形变测量：无法发现井下工作面。",
    },
    "power": {
        "en": "No meter readings: production in shut mines shows only where the ground changes.",
        "zh": "没有电表读数：停产矿山的生产仅能从地表变化发现。",
    },
}

NIGHTLIGHT = {
    "en": "Night-light images are not used yet: {name} was left out.",
    "zh": "尚未使用夜间灯光影像：{name}未参与分析。",
}

UNEQUAL_CELLS = {
    "en": "Hot spot cells differ in area by {share:.1%} across the district: choose an equal-area or local CRS.",
    "zh": "热点网格面积在全区相差 {share:.1%}：宜改用等积或当地坐标系。",
}
MOST_UNEQUAL = 0.01
"""Cells may differ in area by this share before the map says so."""

SAID = {
    "few_dates": {
        "en": "Not judged: {history} dates of history and {new} to judge are too few.",
        "zh": "未作判断：历史影像{history}期、待判影像{new}期，数量不足。",
    },
    "no_band": {
        "en": "Not judged: none of the bands it could be judged by is there ({bands}).",
        "zh": "未作判断：缺少可用波段（{bands}）。",
    },
    "few_epochs": {
        "en": "Ground movement not judged: {epochs} epochs, at least {needed} are needed.",
        "zh": "未判断地表形变：仅有{epochs}期，至少需要{needed}期。",
    },
    "no_movement": {
        "en": "Ground movement not judged: almost no pixel has data.",
        "zh": "未判断地表形变：几乎没有像元有数据。",
    },
    "opposite_movement": {
        "en": "Left out in {tiles} tile(s): the ground rises where other sources see it sink. Check its sign.",
        "zh": "在{tiles}个分块中未予采用：其他来源显示下沉处，本来源显示抬升。请核对其正负号。",
    },
    "meters_without_mines": {
        "en": "Without a register of mines no meter can be judged.",
        "zh": "没有矿山登记，无法判断任何电表。",
    },
    "mines_without_meters": {
        "en": "{without} of {mines} mine(s) have no meter readings: their power could not be judged.",
        "zh": "{mines}座矿山中有{without}座没有电表读数：无法判断其用电。",
    },
    "no_status": {
        "en": "Without a register of status no mine is known to be shut: work in shut mines could not be judged.",
        "zh": "没有矿山状态登记，不知哪些矿山停产：无法判断停产期间的生产。",
    },
    "never_rested": {
        "en": "{mines} mine(s) never rested and have no safety load: declared output was judged loosely.",
        "zh": "{mines}座矿山从未停歇且无保安负荷登记：对申报产量的判断较为粗略。",
    },
    "meters_silent": {
        "en": "{mines} shut mine(s) draw less than ventilation and drainage take ({shown}): flooded and left, or "
        "supplied by generators or another's meter; power alone neither accuses nor clears them.",
        "zh": "{mines}座停产矿山的用电低于通风排水所需（{shown}）：或已淹没弃置，或由发电机、他人电表供电；"
        "仅凭用电既不能认定也不能排除。",
    },
}
"""What detectors say, by the key of the remark."""

NOTHING_SEEN = {
    "en": "{name}: {remark}",
    "zh": "{name}：{remark}",
}

REJUDGED = {
    "en": "Case {case_id} was re-judged: {verdict} ({changed}).",
    "zh": "案件{case_id}已重新判定：{verdict}（{changed}）。",
}


def turned(rejudged: pd.DataFrame, language: str) -> list[str]:
    """One sentence for each case whose verdict changed because the registers are known differently."""
    return [
        REJUDGED[language].format(case_id=row.case_id, verdict=row.verdict_now, changed=row.changed)
        for row in rejudged.itertuples()
    ]


def worded(remark: Remark, language: str) -> str:
    """A detector's remark as a sentence."""
    return SAID[remark.key][language].format(**remark.values)


def unjudged(district: District, registers: Registers, watched: list[Watched], only: frozenset[str]) -> list[str]:
    """One sentence for each thing this run could not judge."""
    language = district.configuration.district.language
    remarks = [words[language] for name, words in WITHOUT_REGISTER.items() if getattr(registers, name) is None]
    seen = {found.about["detector"] for found in watched}
    remarks += [words[language] for name, words in WITHOUT_SENSOR.items() if name in only and name not in seen]
    remarks += [
        NIGHTLIGHT[language].format(name=source.name)
        for source in district.configuration.imagery
        if source.sensor == "nightlight"
    ]
    remarks += [
        NOTHING_SEEN[language].format(name=found.about["name"], remark=worded(remark, language))
        for found in watched
        for remark in found.findings.remarks
    ]
    spread = area_spread(district.configuration.district.bounds, district.crs)
    return [*remarks, UNEQUAL_CELLS[language].format(share=spread)] if spread > MOST_UNEQUAL else remarks
