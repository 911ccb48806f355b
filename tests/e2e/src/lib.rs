//! Whole-system scenarios over real sockets.
