//! Server and agent in one process; its library part is the cluster that tests start.
