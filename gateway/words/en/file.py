"""What is said about YAML files, in English."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "file.unreadable": ("{why}", "give the path of a readable YAML file"),
    "file.syntax": ("not YAML: {why}", "{fix}"),
    "file.large": ("larger than {most} bytes", "make it shorter: 2,000 devices take about 400 KB"),
    "file.bom": ("starts with a byte order mark", "save it as UTF-8 without BOM"),
    "file.encoding": ("not UTF-8", "save the file as UTF-8"),
    "file.character": ("character U+{code} is not allowed", "remove it"),
    "file.tabs": "indent with spaces, not tabs",
    "file.punctuation": "check the quotes, brackets and indentation here and in the line above",
    "file.second": ("a second document", "keep one document per file"),
    "file.alias": ("alias *{name}", "write the value out"),
    "file.deep": ("nested deeper than {most} levels", "flatten it"),
    "file.anchor": ("anchor &{name}", "write the value out"),
    "file.tag": ("tag {tag}", "remove the tag"),
    "file.duplicate": ("duplicate key", "it stands in line {line} already"),
    "file.merge": ("merge key <<", "write the keys out"),
    "file.key": ("key is not a plain text", "write a name before the colon"),
}  # fmt: skip
