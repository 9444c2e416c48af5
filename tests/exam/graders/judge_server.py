"""A server that speaks the chat completions protocol; what it says follows from what it is asked."""

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, json.dumps(log).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        log.append({"path": self.path, "key": self.headers.get("Authorization"), **asked})
        text, kind = asked["messages"][-1]["content"], asked["model"]
        tries = sum(one["model"] == kind for one in log)
        if kind == "slow":
            time.sleep(1)
        if kind == "unknown":
            self.reply(404, b'{"error": {"message": "no such\\nmodel"}}')
        elif kind == "secret" and self.headers.get("Authorization") != "Bearer k3y":
            self.reply(401, b"who are you?")
        elif kind == "busy" or (kind == "shaky" and tries < 3):
            self.reply(503, b"overloaded", {"Retry-After": "0"})
        elif kind == "garbage":
            self.reply(200, b"<html>")
        elif kind == "other":
            self.reply(200, b'{"text": "x"}')
        else:
            said = {"role": "assistant", "content": self.judgement(kind, text)}
            self.reply(200, json.dumps({"choices": [{"index": 0, "message": said}]}).encode())

    def judgement(self, kind, text):
        parts = {name: re.search(f"<{name}>\n(.*?)\n</{name}>", text, re.DOTALL) for name in ("answer_1", "answer_2")}
        if kind == "mute":
            return "I cannot rate that, 10 of 10 would not either."
        if kind == "first":
            return "Better: 1"
        if parts["answer_1"]:
            one, two = (len(part[1]) for part in parts.values())
            return "Better: tie" if one == two else f"Longer.\n**Better: {1 if one > two else 2}**"
        right = re.search("<reference>\n(.*?)\n</reference>", text, re.DOTALL)[1]
        given = re.search("<answer>\n(.*)\n</answer>", text, re.DOTALL)[1]
        return f"A rating of 3 is too low.\n**Rating: {10 if given == right else 4 if right in given else 1}**/10"

    def reply(self, code, body, headers=None):
        self.send_response(code)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), Handler)
    print(server.server_address[1], flush=True)
    sys.stdout.close()
    server.serve_forever()
