"""A web server that takes dumps, and fails as asked."""
import http.server
import socket
import threading


class Server(http.server.ThreadingHTTPServer):
    """Takes PUTs into `files`. `trouble(path)` may return a status, or "cut" to close the connection in the middle."""
    daemon_threads = True

    def __init__(self, trouble=lambda path: None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.trouble, self.mkcol = {}, [], trouble, 405
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/crash"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_MKCOL(self):
        self.answer(self.server.mkcol)

    def do_PUT(self):
        self.server.requests.append((self.path, dict(self.headers)))
        size = int(self.headers["Content-Length"])
        trouble = self.server.trouble(self.path)
        if trouble == "cut":
            self.rfile.read(size // 2)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        content = self.rfile.read(size)
        if trouble is None:
            self.server.files[self.path] = content
        self.answer(trouble or 201)
