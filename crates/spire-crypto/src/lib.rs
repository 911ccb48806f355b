//! Keys, X.509, JOSE, bundle documents; the one place that touches the crypto backend.
