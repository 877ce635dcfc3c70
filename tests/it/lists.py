"""A web server for lists, well behaved and not. usage: lists.py PORT [CERTIFICATE]

/list serves the file `list` of this directory with an ETag and answers 304; each request is a line of `requests`.
"""
import hashlib
import http.server
import ssl
import sys
import time


class Lists(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        getattr(self, "answer_" + self.path.strip("/"), self.answer_missing)()

    def head(self, status, **headers):
        # Before the answer: whoever is sent on asks again, in another thread, before this one goes on.
        with open("requests", "a") as requests:
            requests.write(f"{self.path} {status}\n")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return status

    def answer_list(self):
        with open("list", "rb") as file:
            body = file.read()
        tag = '"%s"' % hashlib.sha256(body).hexdigest()
        if self.headers["If-None-Match"] == tag:
            return self.head(304, ETag=tag)
        self.head(200, ETag=tag, Content_Length=len(body))
        self.wfile.write(body)
        return 200

    def answer_missing(self):
        return self.head(404, Content_Length=0)

    def answer_broken(self):
        return self.head(500, Content_Length=0)

    def answer_moved(self):
        return self.head(302, Location="/list", Content_Length=0)

    def answer_loop(self):
        return self.head(302, Location="/loop", Content_Length=0)

    def answer_downgrade(self):
        return self.head(302, Location="http://127.0.0.1:8080/list", Content_Length=0)

    def answer_page(self):
        self.head(200)
        self.wfile.write(b"<!DOCTYPE html><title>Captive portal</title>\n")

    def answer_everything(self):
        self.head(200)
        self.wfile.write(b"192.0.2.1\n0.0.0.0/0\n")

    def answer_short(self):
        self.head(200, Content_Length=1000)
        self.wfile.write(b"192.0.2.1\n")

    def answer_hang(self):
        time.sleep(1000)

    def answer_endless(self):
        self.head(200)
        try:
            while True:
                self.wfile.write(b"192.0.2.1\n" * 100_000)
        except ConnectionError:
            return 200

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Lists)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
