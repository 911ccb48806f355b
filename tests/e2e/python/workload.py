"""A workload that uses py-spiffe: it serves and dials mTLS, fetches and
validates tokens, and watches its own updates.

Every line it prints is one JSON object, for the test that started it.
"""

import json
import socket
import sys
import threading
import time

from OpenSSL import SSL
from spiffe import JwtSvid, SpiffeId, WorkloadApiClient, X509Source
from spiffetls import create_ssl_context
from spiffetls.tlsconfig.authorize import authorize_id

MUST_SHOW_ID = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


def say(**fields):
    print(json.dumps(fields), flush=True)


def connection(source, method, verify, peer, sock):
    """A context of the newest SVID for each connection, as a server has to do."""
    context = create_ssl_context(method, source, authorize_id(SpiffeId(peer)), verify, False)
    return SSL.Connection(context, sock)


def serve(address, peer):
    host, port = address.split(":")
    with X509Source() as source, socket.create_server((host, int(port)), backlog=64) as listener:
        say(listening="%s:%d" % listener.getsockname()[:2])
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=answer, args=(source, peer, sock), daemon=True).start()


def answer(source, peer, sock):
    tls = connection(source, SSL.TLS_SERVER_METHOD, MUST_SHOW_ID, peer, sock)
    tls.set_accept_state()
    try:
        tls.do_handshake()
        while True:
            tls.sendall(b"echo " + read_line(tls))
    except (SSL.Error, OSError):
        sock.close()


def read_line(tls):
    line = b""
    while not line.endswith(b"\n"):
        line += tls.recv(4096)
    return line


def dial(address, peer, seconds):
    host, port = address.split(":")
    own, theirs, issuers, handshakes = set(), set(), set(), 0
    with X509Source() as source:
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until:
            own.add(source.svid.leaf.serial_number)
            tls = connection(source, SSL.TLS_CLIENT_METHOD, SSL.VERIFY_PEER, peer, socket.create_connection((host, int(port))))
            tls.set_connect_state()
            tls.do_handshake()
            leaf = tls.get_peer_certificate()
            theirs.add(leaf.get_serial_number())
            issuers.add(str(leaf.to_cryptography().extensions.get_extension_for_class(authority_key_id()).value.key_identifier))
            tls.sendall(b"hello\n")
            line = read_line(tls)
            if line != b"echo hello\n":
                raise SystemExit("read %d: %r" % (handshakes, line))
            tls.shutdown()
            tls.close()
            handshakes += 1
            time.sleep(0.2)
    say(handshakes=handshakes, own=len(own), peer=len(theirs), issuers=len(issuers))


def authority_key_id():
    from cryptography.x509 import AuthorityKeyIdentifier

    return AuthorityKeyIdentifier


def x509():
    with WorkloadApiClient() as client:
        for svid in client.fetch_x509_svids():
            say(spiffe_id=str(svid.spiffe_id), serial=str(svid.leaf.serial_number))


def jwt(audience):
    with WorkloadApiClient() as client:
        svid = client.fetch_jwt_svid(audience={audience})
        say(spiffe_id=str(svid.spiffe_id), token=svid.token)


def validate(audience, token):
    with WorkloadApiClient() as client:
        remote = client.validate_jwt_svid(token=token, audience=audience)
        bundles = client.fetch_jwt_bundles()
        bundle = bundles.get_bundle_for_trust_domain(remote.spiffe_id.trust_domain)
        local = JwtSvid.parse_and_validate(token, bundle, {audience})
        say(remote=str(remote.spiffe_id), local=str(local.spiffe_id))


def watch(updates):
    seen, done = set(), threading.Event()
    with X509Source() as source:

        def look():
            serial = str(source.svid.leaf.serial_number)
            if serial not in seen:
                seen.add(serial)
                say(serial=serial)
            if len(seen) >= int(updates):
                done.set()

        source.subscribe_for_updates(look)
        look()
        if not done.wait(120):
            raise SystemExit("only %d of %s updates within 120 s" % (len(seen), updates))


if __name__ == "__main__":
    commands = {"serve": serve, "dial": dial, "x509": x509, "jwt": jwt, "validate": validate, "watch": watch}
    commands[sys.argv[1]](*sys.argv[2:])
