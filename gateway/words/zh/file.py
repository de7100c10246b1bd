"""What is said about YAML files, in Chinese."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "file.unreadable": ("无法读取：{why}", "请给出可读的 YAML 文件路径"),
    "file.syntax": ("不是 YAML：{why}", "{fix}"),
    "file.large": ("超过 {most} 字节", "请缩短：2,000 台设备约占 400 KB"),
    "file.bom": ("以字节顺序标记（BOM）开头", "请存为不带 BOM 的 UTF-8"),
    "file.encoding": ("不是 UTF-8", "请把文件存为 UTF-8"),
    "file.character": ("不允许字符 U+{code}", "请删除"),
    "file.tabs": "请用空格缩进，不用制表符",
    "file.punctuation": "请检查此处和上一行的引号、括号与缩进",
    "file.second": ("出现第二个文档", "每个文件只放一个文档"),
    "file.alias": ("别名 *{name}", "请直接写出值"),
    "file.deep": ("嵌套超过 {most} 层", "请减少层次"),
    "file.anchor": ("锚点 &{name}", "请直接写出值"),
    "file.tag": ("标签 {tag}", "请删除该标签"),
    "file.duplicate": ("键重复", "第 {line} 行已有"),
    "file.merge": ("合并键 <<", "请直接写出各键"),
    "file.key": ("键不是普通文本", "请在冒号前写名称"),
}  # fmt: skip
