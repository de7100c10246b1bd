"""The catalogue of messages: everything that people read in the report, in English and Chinese."""

from typing import Literal

Language = Literal["en", "zh"]

# Groups of the page, in their order, with the ids of their indicators.
GROUPS = {
    "devices": ("facilities", "online", "completeness", "validity", "timely", "clock"),
    "alarms": (
        "alarms",
        "alarms_per_100",
        "repeats",
        "flood",
        "notify",
        "notified",
        "acknowledge",
        "close",
    ),
    "actions": ("commands", "reaction"),
    "energy": ("energy", "peak", "valley", "night_load", "energy_household", "energy_meter"),
    "lights": ("lit", "lamp_failures", "lamp_energy"),
    "water": ("night_flow",),
    "delivery": (
        "link",
        "repair",
        "delivered",
        "unsent",
        "refused",
        "losses",
        "loss",
        "unreadable",
    ),
}

# id: name and how it is computed, first in English, then in Chinese.
INDICATORS: dict[str, tuple[str, str, str, str]] = {
    "facilities": (
        "Facilities served", "facilities with a device that gave a value, of the 13 of a compound",
        "已接入的设施", "有设备送来数据的设施 ÷ 社区 13 类设施",
    ),
    "online": (
        "Devices online", "5 min windows in which devices were there, of all windows of all devices",
        "设备在线率", "设备在线的 5 分钟段 ÷ 所有设备的全部 5 分钟段",
    ),
    "completeness": (
        "Readings that came", "values stored, of the values due by the poll periods of polled devices",
        "数据完整率", "已存数值 ÷ 按轮询周期应有的数值（仅轮询设备）",
    ),
    "validity": (
        "Readings that are valid", "values that are not bad, of all values of raw samples",
        "数据有效率", "有效数值 ÷ 全部原始数值",
    ),
    "timely": (
        "Readings that came in time", "samples that arrived soon enough after they were measured, of those whose age is known",
        "数据及时率", "测量后及时到达的数据 ÷ 可知时延的数据",
    ),
    "clock": (
        "Clock was right", "samples taken with a trusted clock, of all samples",
        "时钟可信", "时钟可信时的数据 ÷ 全部数据",
    ),
    "alarms": ("Alarms", "alarms raised by devices and rules", "报警次数", "设备与规则发出的报警数"),
    "alarms_per_100": (
        "Alarms per 100 households", "alarms, by households that have a device (tags building and room)",
        "每百户报警", "报警次数 ÷ 有设备的户数（标签 building 与 room）",
    ),
    "repeats": (
        "Alarms that came again", "alarms beyond the first of the same cause, of all alarms",
        "重复报警", "同一原因第二次及以后的报警 ÷ 全部报警",
    ),
    "flood": ("Most alarms in 10 min", "the largest number within 10 min", "10 分钟内最多报警", "任意 10 分钟内的最多报警数"),
    "notify": ("Time to notify", "from the alarm until the first recipient has it; count: alarms told, of alarms to be told", "通知用时", "从报警到首个接收方收到；计数：已通知 ÷ 应通知"),
    "notified": (
        "Notifications that arrived", "notifications that their recipient has, of those that ended",
        "通知送达率", "已送达的通知 ÷ 已结束的通知",
    ),
    "acknowledge": ("Time to acknowledge", "from the alarm until a person has seen it", "确认用时", "从报警到有人确认"),
    "close": (
        "Time to end", "from the alarm until it was over; count: alarms that ended, of alarms raised",
        "解除用时", "从报警到解除；计数：已解除 ÷ 已发生",
    ),
    "commands": (
        "Commands that worked", "commands confirmed by their device, of all but those overruled by others",
        "指令成功率", "设备已确认的指令 ÷ 全部指令（被取代的除外）",
    ),
    "reaction": (
        "Time to react", "from an alarm until the device confirmed what a rule did about it",
        "联动用时", "从报警到联动指令完成",
    ),
    "energy": ("Energy", "sum of the rises of the meters", "用电量", "电表读数增量之和"),
    "peak": ("In peak hours", "energy in peak hours, of the energy whose hour is known", "峰时用电", "峰时电量 ÷ 可知时段的电量"),
    "valley": ("In valley hours", "energy in valley hours, of the energy whose hour is known", "谷时用电", "谷时电量 ÷ 可知时段的电量"),
    "night_load": (
        "Load at night", "energy in the night hours, by hours of meters: the mean load of one meter",
        "夜间基础负荷", "夜间电量 ÷ 电表小时数：每表平均负荷",
    ),
    "energy_household": (
        "Energy of a household", "the middle household: half took less; count: households that are known",
        "每户用电", "中位数：一半住户低于此值；计数：户数",
    ),
    "energy_meter": ("Energy of a common meter", "rise of the meter", "公共电表用电", "该表读数增量"),
    "lit": (
        "Lights on when told to", "5 min windows in which a light burned, of those in which it was told to and is known",
        "亮灯率", "实际亮灯的 5 分钟段 ÷ 应亮且已知的 5 分钟段",
    ),
    "lamp_failures": ("Lights that failed", "lights with a failure at any time, of all lights", "路灯故障率", "期间有故障的路灯 ÷ 全部路灯"),
    "lamp_energy": ("Energy of a light", "energy of the lights, by hours they burned", "每灯小时用电", "路灯电量 ÷ 亮灯小时数"),
    "night_flow": (
        "Water at night", "the smallest hour of the night: water that runs while all sleep may be a leak",
        "夜间最小流量", "夜间用水最少的一小时：无人用水时仍流动，可能漏水",
    ),
    "link": ("Connection was up", "time without the down times that events tell", "连接可用率", "扣除事件记录的中断时间"),
    "repair": ("Time to come back", "down time, by outages", "恢复用时", "中断时间 ÷ 中断次数"),
    "delivered": (
        "Delivered", "records that the recipient has, of those made in this time for it",
        "送达率", "接收方已收记录 ÷ 期间产生的记录",
    ),
    "unsent": ("Waiting to be sent", "age of the oldest record that waits; count: records that wait", "待送", "最早待送记录的时长；计数：待送记录数"),
    "refused": ("Refused by the recipient", "records that it will not take", "接收方拒收", "接收方拒绝的记录数"),
    "losses": ("Records lost", "what was dropped or deleted before it was delivered", "丢失的记录", "送达前被丢弃或删除的记录数"),
    "loss": ("Records lost", "by reason", "丢失的记录", "按原因"),
    "unreadable": (
        "Damaged records", "events and chunks of samples in the journal that cannot be read",
        "损坏的记录", "日志中无法读取的事件与数据块",
    ),
}  # fmt: skip

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Operation report", "运行报告"),
    "day": ("Day", "日报"), "week": ("Week", "周报"),
    "devices": ("Devices and data", "设备与数据"), "alarms": ("Alarms", "报警"),
    "actions": ("What the gateway did", "指令与联动"), "energy": ("Electricity", "用电"),
    "lights": ("Street lights", "路灯"), "water": ("Water", "用水"),
    "delivery": ("Connections and delivery", "连接与送达"),
    "indicator": ("What", "指标"), "value": ("Value", "数值"), "target": ("Target", "目标"),
    "count": ("Count", "计数"), "known": ("Known", "已知"),
    "good": ("reached", "达标"), "bad": ("missed", "未达标"), "open": ("no value", "无数据"),
    "summary": ("{good} of {all} targets are reached.", "{all} 项目标中 {good} 项达标。"),
    "none": ("No target can be judged.", "没有可评的目标。"),
    "period": ("{since} to {until}, {zone}", "{since} 至 {until}，{zone}"),
    "covered": (
        "The gateway knows {share} of this time.", "网关掌握了这段时间的 {share}。",
    ),
    "shipped": ("shipped", "出厂值"), "set": ("of this compound", "本社区设定"),
    "basis": (
        "Targets are no standard's: they stand in the gateway's configuration (`report`), as shipped or as set for this compound.",
        "目标值并非标准规定，来自网关配置（report）：出厂值或本社区设定值。",
    ),
    "meaning": (
        "Count: what the value was computed from. Known: the share of what should be known that is known.",
        "计数：计算所用的分子与分母。已知：应有数据中实际掌握的比例。",
    ),
    "hours": (
        "Peak {peak}; valley {valley}; night {night}. In time: within {timely} s.",
        "峰时 {peak}；谷时 {valley}；夜间 {night}。及时：{timely} 秒内。",
    ),
    "made": ("Made {made}", "生成于 {made}"),
    "chart_energy": ("Electricity, kWh", "用电量，kWh"), "chart_alarms": ("Alarms", "报警次数"),
    "chart_lights": ("Lights: hours they burned and should have", "路灯：实亮与应亮小时"),
    "peak": ("peak", "峰时"), "flat": ("other", "平时"), "valley": ("valley", "谷时"),
    "lit": ("burned", "实亮"), "commanded": ("should have", "应亮"),
    "life": ("danger to life", "危及生命"), "safety": ("safety", "安全"), "operational": ("operation", "运行"),
    "homes": ("households", "住户"), "others": ("common and other meters", "公共及其他电表"),
    "p50": ("half of them within", "半数在此时间内"), "p95": ("95 of 100 within", "百分之九十五在此时间内"),
    "access": ("doors and gates", "门禁"), "lifts": ("lifts", "电梯"), "fire": ("fire safety", "消防"),
    "video": ("video", "视频监控"), "pipes": ("underground pipes", "地下管网"),
    "environment": ("environment", "节能环保"), "utilities": ("meters", "水电气设施"),
    "billboards": ("billboards", "广告牌"), "parking": ("parking", "停车场"), "charging": ("charging", "充电桩"),
    "home": ("home alarms", "家居报警器"), "lights_facility": ("street lights", "智慧路灯"),
    "buildings": ("buildings", "智慧楼宇"),
    "nothing": ("nothing to count", "没有可计的数据"), "not_polled": ("no polled devices", "没有轮询设备"),
    "no_households": ("no device is in a household", "没有住户设备"),
    "no_alarm": ("no alarm", "没有报警"), "no_end": ("no alarm ended", "没有报警解除"),
    "none_seen": ("nobody acknowledged one", "没有人确认报警"),
    "no_notice": ("nobody was to be notified", "没有通知"),
    "no_command": ("no command", "没有指令"), "no_reaction": ("no rule acted", "没有联动"),
    "too_few": ("too few households: not shown, for privacy", "户数太少，为保护隐私不显示"),
    "no_night": ("no whole hour of the night is known", "没有完整的夜间数据"), "dark": ("no light burned", "没有亮灯"),
    "no_meter": ("no water meter", "没有水表"), "no_outage": ("no outage", "没有中断"),
    "at_least": ("at least {limit}", "不低于 {limit}"), "at_most": ("at most {limit}", "不高于 {limit}"),
    "by": ("{numerator} ÷ {denominator}", "{numerator} ÷ {denominator}"),
    "of": ("{numerator} of {denominator}", "{denominator} 中 {numerator}"),
    "seconds": ("{n} s", "{n} 秒"), "minutes": ("{n} min", "{n} 分钟"), "hours_long": ("{n} h", "{n} 小时"),
}  # fmt: skip


def text(key: str, language: Language, **values: object) -> str:
    """A key that the catalogue does not have is a name, and stays as it is."""
    pair = TEXTS.get(key)
    if pair is None:
        return key
    return pair[language == "zh"].format(**values) if values else pair[language == "zh"]


def name_of(id_: str, language: Language) -> str:
    return INDICATORS[id_][2 if language == "zh" else 0]


def formula_of(id_: str, language: Language) -> str:
    return INDICATORS[id_][3 if language == "zh" else 1]
