"""Loopback servers that misbehave on purpose, one thread per connection."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Handler = Callable[[socket.socket], None]


@dataclass
class Server:
    """What a test may know of a running server."""

    port: int
    scheme: str = "http"
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def read_request(self, conn: socket.socket) -> bytes:
        """One request with its body, b"" when the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = conn.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while lengths and len(body) < int(lengths[0].split(b":")[1]):
            body += conn.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


@contextmanager
def serving(
    handler: Callable[[Server, socket.socket], None], *, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Runs a handler for each connection to a port on loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1], "https" if tls else "http")
    threads: list[threading.Thread] = []
    open_sockets: list[socket.socket] = []

    def one(conn: socket.socket) -> None:
        try:
            conn.settimeout(10)
            with tls.wrap_socket(conn, server_side=True) if tls else conn as wrapped:
                open_sockets.append(wrapped)
                handler(server, wrapped)
        except OSError:
            conn.close()  # the client hung up, which is what many tests are about

    def accept() -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            threads.append(threading.Thread(target=one, args=(conn,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopping.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
        for conn in open_sockets:
            with suppress(OSError):  # closed already
                conn.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def reply(
    body: bytes = b"ok", *, status: str = "200 OK", headers: str = ""
) -> Callable[[Server, socket.socket], None]:
    """A proper keep-alive server that always answers the same."""

    def handler(server: Server, conn: socket.socket) -> None:
        while server.read_request(conn):
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
            conn.sendall(head.encode() + body)

    return handler


def dripping(start: bytes, drop: bytes, every: float) -> Callable[[Server, socket.socket], None]:
    """Reads a request, sends `start`, then one `drop` after another until the client has had enough."""

    def handler(server: Server, conn: socket.socket) -> None:
        server.read_request(conn)
        conn.sendall(start)
        while not server.stopping.wait(every):
            conn.sendall(drop)

    return handler


def certificate(folder: Path, *, name: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for an address: the file that trusts it, and the server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return cert_file, context
