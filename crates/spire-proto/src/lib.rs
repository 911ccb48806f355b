//! The wire: generated messages and the only message-to-domain conversions.
