"""Secrets stay where they are: no message, log or result repeats what the environment or an address keeps secret."""

from __future__ import annotations

import logging
import os
import re

NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|ACCESS_KEY|CREDENTIAL|SAS", re.I)
"""Environment variables whose values are secret."""
SHORTEST = 6
"""Characters of a secret; shorter values stand in too many words."""
SIGNED = re.compile(r"(?i)([?&](?:x-amz-[a-z-]+|sig|signature|token|access_token|key|se|sp|sv)=)[^&\s'\")]+")
USER = re.compile(r"(?<=://)[^/\s@]+@")
HIDDEN = "***"


def redacted(text: str) -> str:
    """The text without secrets of the environment, signatures of addresses, and users in them."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and NAMES.search(name) and value in text:
            text = text.replace(value, HIDDEN)
    return USER.sub("", SIGNED.sub(rf"\g<1>{HIDDEN}", text))


class Redacting(logging.Filter):
    """Takes secrets out of every line a handler writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return True
