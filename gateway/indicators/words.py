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
        "已接入的設施", "有設備送來數據的設施 ÷ 社區 13 類設施",
    ),
    "online": (
        "Devices online", "5 min windows in which devices were there, of all windows of all devices",
        "設備在線率", "設備在線的 5 分鐘段 ÷ 所有設備的全部 5 分鐘段",
    ),
    "completeness": (
        "Readings that came", "values stored, of the values due by the poll periods of polled devices",
        "數據完整率", "已存數值 ÷ 按輪詢週期應有的數值（僅輪詢設備）",
    ),
    "validity": (
        "Readings that are valid", "values that are not bad, of all values of raw samples",
        "數據有效率", "有效數值 ÷ 全部原始數值",
    ),
    "timely": (
        "Readings that came in time", "samples that arrived soon enough after they were measured, of those whose age is known",
        "數據及時率", "測量後及時到達的數據 ÷ 可知時延的數據",
    ),
    "clock": (
        "Clock was right", "samples taken with a trusted clock, of all samples",
        "時鐘可信", "時鐘可信時的數據 ÷ 全部數據",
    ),
    "alarms": ("Alarms", "alarms raised by devices and rules", "報警次數", "設備與規則發出的報警數"),
    "alarms_per_100": (
        "Alarms per 100 households", "alarms, by households that have a device (tags building and room)",
        "每百戶報警", "報警次數 ÷ 有設備的戶數（標籤 building 與 room）",
    ),
    "repeats": (
        "Alarms that came again", "alarms beyond the first of the same cause, of all alarms",
        "重複報警", "同一原因第二次及以後的報警 ÷ 全部報警",
    ),
    "flood": ("Most alarms in 10 min", "the largest number within 10 min", "10 分鐘內最多報警", "任意 10 分鐘內的最多報警數"),
    "notify": ("Time to notify", "from the alarm until the first recipient has it; count: alarms told, of alarms to be told", "通知用時", "從報警到首個接收方收到；計數：已通知 ÷ 應通知"),
    "notified": (
        "Notifications that arrived", "notifications that their recipient has, of those that ended",
        "通知送達率", "已送達的通知 ÷ 已結束的通知",
    ),
    "acknowledge": ("Time to acknowledge", "from the alarm until a person has seen it", "確認用時", "從報警到有人確認"),
    "close": (
        "Time to end", "from the alarm until it was over; count: alarms that ended, of alarms raised",
        "解除用時", "從報警到解除；計數：已解除 ÷ 已發生",
    ),
    "commands": (
        "Commands that worked", "commands confirmed by their device, of all but those overruled by others",
        "指令成功率", "設備已確認的指令 ÷ 全部指令（被取代的除外）",
    ),
    "reaction": (
        "Time to react", "from an alarm until the device confirmed what a rule did about it",
        "聯動用時", "從報警到聯動指令完成",
    ),
    "energy": ("Energy", "sum of the rises of the meters", "用電量", "電表讀數增量之和"),
    "peak": ("In peak hours", "energy in peak hours, of the energy whose hour is known", "峰時用電", "峰時電量 ÷ 可知時段的電量"),
    "valley": ("In valley hours", "energy in valley hours, of the energy whose hour is known", "谷時用電", "谷時電量 ÷ 可知時段的電量"),
    "night_load": (
        "Load at night", "energy in the night hours, by hours of meters: the mean load of one meter",
        "夜間基礎負荷", "夜間電量 ÷ 電表小時數：每表平均負荷",
    ),
    "energy_household": (
        "Energy of a household", "the middle household: half took less; count: households that are known",
        "每戶用電", "中位數：一半住戶低於此值；計數：戶數",
    ),
    "energy_meter": ("Energy of a common meter", "rise of the meter", "公共電表用電", "該表讀數增量"),
    "lit": (
        "Lights on when told to", "5 min windows in which a light burned, of those in which it was told to and is known",
        "亮燈率", "實際亮燈的 5 分鐘段 ÷ 應亮且已知的 5 分鐘段",
    ),
    "lamp_failures": ("Lights that failed", "lights with a failure at any time, of all lights", "路燈故障率", "期間有故障的路燈 ÷ 全部路燈"),
    "lamp_energy": ("Energy of a light", "energy of the lights, by hours they burned", "每燈小時用電", "路燈電量 ÷ 亮燈小時數"),
    "night_flow": (
        "Water at night", "the smallest hour of the night: water that runs while all sleep may be a leak",
        "夜間最小流量", "夜間用水最少的一小時：無人用水時仍流動，可能漏水",
    ),
    "link": ("Connection was up", "time without the down times that events tell", "連接可用率", "扣除事件記錄的中斷時間"),
    "repair": ("Time to come back", "down time, by outages", "恢復用時", "中斷時間 ÷ 中斷次數"),
    "delivered": (
        "Delivered", "records that the recipient has, of those made in this time for it",
        "送達率", "接收方已收記錄 ÷ 期間產生的記錄",
    ),
    "unsent": ("Waiting to be sent", "age of the oldest record that waits; count: records that wait", "待送", "最早待送記錄的時長；計數：待送記錄數"),
    "refused": ("Refused by the recipient", "records that it will not take", "接收方拒收", "接收方拒絕的記錄數"),
    "losses": ("Records lost", "what was dropped or deleted before it was delivered", "丟失的記錄", "送達前被丟棄或刪除的記錄數"),
    "loss": ("Records lost", "by reason", "丟失的記錄", "按原因"),
    "unreadable": (
        "Damaged records", "events and chunks of samples in the journal that cannot be read",
        "損壞的記錄", "日誌中無法讀取的事件與數據塊",
    ),
}  # fmt: skip

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Operation report", "運行報告"),
    "day": ("Day", "日報"), "week": ("Week", "週報"),
    "devices": ("Devices and data", "設備與數據"), "alarms": ("Alarms", "報警"),
    "actions": ("What the gateway did", "指令與聯動"), "energy": ("Electricity", "用電"),
    "lights": ("Street lights", "路燈"), "water": ("Water", "用水"),
    "delivery": ("Connections and delivery", "連接與送達"),
    "indicator": ("What", "指標"), "value": ("Value", "數值"), "target": ("Target", "目標"),
    "count": ("Count", "計數"), "known": ("Known", "已知"),
    "good": ("reached", "達標"), "bad": ("missed", "未達標"), "open": ("no value", "無數據"),
    "summary": ("{good} of {all} targets are reached.", "{all} 項目標中 {good} 項達標。"),
    "none": ("No target can be judged.", "沒有可評的目標。"),
    "period": ("{since} to {until}, {zone}", "{since} 至 {until}，{zone}"),
    "covered": (
        "The gateway knows {share} of this time.", "網關掌握了這段時間的 {share}。",
    ),
    "shipped": ("shipped", "出廠值"), "set": ("of this compound", "本社區設定"),
    "basis": (
        "Targets are no standard's: they stand in the gateway's configuration (`report`), as shipped or as set for this compound.",
        "目標值並非標準規定，來自網關配置（report）：出廠值或本社區設定值。",
    ),
    "meaning": (
        "Count: what the value was computed from. Known: the share of what should be known that is known.",
        "計數：計算所用的分子與分母。已知：應有數據中實際掌握的比例。",
    ),
    "hours": (
        "Peak {peak}; valley {valley}; night {night}. In time: within {timely} s.",
        "峰時 {peak}；谷時 {valley}；夜間 {night}。及時：{timely} 秒內。",
    ),
    "made": ("Made {made}", "生成於 {made}"),
    "chart_energy": ("Electricity, kWh", "用電量，kWh"), "chart_alarms": ("Alarms", "報警次數"),
    "chart_lights": ("Lights: hours they burned and should have", "路燈：實亮與應亮小時"),
    "peak": ("peak", "峰時"), "flat": ("other", "平時"), "valley": ("valley", "谷時"),
    "lit": ("burned", "實亮"), "commanded": ("should have", "應亮"),
    "life": ("danger to life", "危及生命"), "safety": ("safety", "安全"), "operational": ("operation", "運行"),
    "homes": ("households", "住戶"), "others": ("common and other meters", "公共及其他電表"),
    "p50": ("half of them within", "半數在此時間內"), "p95": ("95 of 100 within", "百分之九十五在此時間內"),
    "access": ("doors and gates", "門禁"), "lifts": ("lifts", "電梯"), "fire": ("fire safety", "消防"),
    "video": ("video", "視頻監控"), "pipes": ("underground pipes", "地下管網"),
    "environment": ("environment", "節能環保"), "utilities": ("meters", "水電氣設施"),
    "billboards": ("billboards", "廣告牌"), "parking": ("parking", "停車場"), "charging": ("charging", "充電樁"),
    "home": ("home alarms", "家居報警器"), "lights_facility": ("street lights", "智慧路燈"),
    "buildings": ("buildings", "智慧樓宇"),
    "nothing": ("nothing to count", "沒有可計的數據"), "not_polled": ("no polled devices", "沒有輪詢設備"),
    "no_households": ("no device is in a household", "沒有住戶設備"),
    "no_alarm": ("no alarm", "沒有報警"), "no_end": ("no alarm ended", "沒有報警解除"),
    "none_seen": ("nobody acknowledged one", "沒有人確認報警"),
    "no_notice": ("nobody was to be notified", "沒有通知"),
    "no_command": ("no command", "沒有指令"), "no_reaction": ("no rule acted", "沒有聯動"),
    "too_few": ("too few households: not shown, for privacy", "戶數太少，為保護隱私不顯示"),
    "no_night": ("no whole hour of the night is known", "沒有完整的夜間數據"), "dark": ("no light burned", "沒有亮燈"),
    "no_meter": ("no water meter", "沒有水表"), "no_outage": ("no outage", "沒有中斷"),
    "at_least": ("at least {limit}", "不低於 {limit}"), "at_most": ("at most {limit}", "不高於 {limit}"),
    "by": ("{numerator} ÷ {denominator}", "{numerator} ÷ {denominator}"),
    "of": ("{numerator} of {denominator}", "{denominator} 中 {numerator}"),
    "seconds": ("{n} s", "{n} 秒"), "minutes": ("{n} min", "{n} 分鐘"), "hours_long": ("{n} h", "{n} 小時"),
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
