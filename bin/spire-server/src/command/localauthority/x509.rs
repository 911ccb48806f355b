//! `spire-server localauthority x509 …` (SC-340 to SC-344).

pub(in crate::command) mod activate;
pub(in crate::command) mod prepare;
pub(in crate::command) mod revoke;
pub(in crate::command) mod show;
pub(in crate::command) mod taint;

use super::text::Kind;
use super::{authority_id, connect, id_flag, print_all, print_one};
