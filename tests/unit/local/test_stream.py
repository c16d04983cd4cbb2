"""Many processes' lines in one readable stream."""

import io
import json

from local.stream import Stream


def shown(line: str) -> str:
    output = io.StringIO()
    Stream(output).child("billing", line)
    return output.getvalue()


def test_a_json_line_becomes_its_time_its_words_and_what_it_adds() -> None:
    entry = {"ts": "2026-01-31T08:59:59.123+00:00", "level": "INFO", "service": "billing", "msg": "Paid.", "invoice": 7}
    assert shown(json.dumps(entry)) == "billing         08:59:59.123 Paid. invoice=7\n"


def test_a_warning_says_so_and_an_action_can_be_followed() -> None:
    correlation = "0198c0de-0000-7000-8000-00000000beef"
    entry = {"ts": "2026-01-31T08:59:59.123+00:00", "level": "WARNING", "msg": "Slow.", "correlation_id": correlation}
    assert shown(json.dumps(entry)) == "billing         08:59:59.123 WARNING Slow. ~0000beef\n"


def test_an_exception_keeps_its_lines() -> None:
    entry = {"ts": "", "level": "ERROR", "msg": "Broken.", "exception": "Traceback\n  here"}
    assert shown(json.dumps(entry)).endswith("ERROR Broken.\nTraceback\n  here\n")


def test_anything_else_is_shown_as_it_is() -> None:
    assert shown("plain words") == "billing         plain words\n"
    assert shown('["a", "list"]') == 'billing         ["a", "list"]\n'
    assert shown('{"no": "message"}') == 'billing         {"no": "message"}\n'


def test_a_reader_that_went_away_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    Stream(Gone()).say("hello")
