#!/usr/bin/python3
"""What the installed fail2ban makes of lines: fail2ban_engine.py PACKAGES CONFIG < jobs > answers

A job is one JSON object a line: {"filter", "dir", "options", "all", "lines": [hex]}. Its answer is a list with an entry
for each line: a list of results [pattern, failure-id, time or null, attempts, captures], or the name of the exception
that fail2ban ran into. The clock stands, as in fail2ban's own tests.
"""
import datetime
import json
import logging
import os
import sys
import time

packages, config = sys.argv[1:3]
sys.path.insert(0, packages)
os.environ["FAIL2BAN_CONFIG_DIR"] = config
logging.disable(logging.CRITICAL)

from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
from fail2ban.server.mytime import MyTime

NOW = 1124013600
os.environ["TZ"] = "CET-01CEST-02,M3.5.0,M10.5.0"
time.tzset()
MyTime.setTime(NOW)
NOW_TEXT = datetime.datetime.utcfromtimestamp(NOW).isoformat()


def load(job):
    engine = Filter(None)
    engine.returnRawHost = True
    engine.checkAllRegex = job["all"]
    engine.checkFindTime = False
    engine.active = True
    reader = FilterReader(job["filter"], "jail", dict(job["options"]), basedir=job["dir"])
    reader.read()
    reader.getOptions({})
    for command in reader.convert():
        values = command[3] if command[0] == "multi-set" else [command[3]]
        for value in values:
            if command[2] == "prefregex":
                engine.prefRegex = value
            elif command[2] == "addfailregex":
                engine.addFailRegex(value)
            elif command[2] == "addignoreregex":
                engine.addIgnoreRegex(value)
            elif command[2] == "maxlines":
                engine.setMaxLines(value)
            elif command[2] == "datepattern":
                engine.setDatePattern(value)
    return engine


def shown(value):
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, tuple):
        return ["" if part is None else part for part in value]
    return str(value)


INTERNAL = ("matches", "nofail-matches", "mlfpending", "nofail", "mlfforget", "mlfgained", "ip")


def judged(engine, line, journal):
    try:
        if journal:
            results = engine.processLine(("", NOW_TEXT, line), NOW)
        else:
            results = engine.processLine(line)
    except Exception as error:
        return type(error).__name__
    answer = []
    for pattern, who, when, caught in results or []:
        if who is None or caught.get("nofail"):
            continue
        kept = {k: shown(v) for k, v in caught.items() if v is not None and k not in INTERNAL}
        answer.append([pattern, str(who), when, len(caught.get("matches", ())), kept])
    return answer


for text in sys.stdin:
    job = json.loads(text)
    engine = load(job)
    journal = job["options"].get("logtype") == "journal"
    lines = (bytes.fromhex(line).decode("utf-8", "replace") for line in job["lines"])
    print(json.dumps([judged(engine, line.rstrip("\r\n"), journal) for line in lines]))
