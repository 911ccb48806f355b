//! Getting an authenticated channel: TLS policy, SPIFFE mTLS, local sockets with pinned peers, typed API clients.
