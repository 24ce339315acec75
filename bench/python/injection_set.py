# SPDX-License-Identifier: Apache-2.0
"""Prints the attacks of fray's lists and paragraphs of Python's own documentation, one JSON object a line."""

import glob
import json
import os
import pydoc_data.topics

import fray

FOLDERS = {"sqli": "sqli", "xss": "xss", "ssti": "template"}
root = os.path.join(os.path.dirname(fray.__file__), "payloads")
seen = set()
for folder, kind in FOLDERS.items():
    for path in sorted(glob.glob(os.path.join(root, folder, "*.json"))):
        entries = json.load(open(path))
        for entry in entries["payloads"] if isinstance(entries, dict) else entries:
            text = str(entry.get("payload", ""))
            # Some lists hold pieces of the programs that they were collected from, which are no attacks of one line.
            if "\n" in text or not 4 <= len(text) <= 400 or text in seen or entry.get("category", folder) != folder:
                continue
            seen.add(text)
            print(json.dumps({"kind": kind, "text": text}))
for topic in sorted(pydoc_data.topics.topics):
    for text in pydoc_data.topics.topics[topic].split("\n\n"):
        text = " ".join(text.split())
        if len(text) > 60 and text not in seen:
            seen.add(text)
            print(json.dumps({"kind": None, "text": text}))
