//! `spire-server upstreamauthority …` (SC-345).

pub(super) mod revoke;
pub(super) mod taint;

use spire_cli::Context;

use super::{client, localauthority};

fn subject_key_id(context: &Context<'_>) -> Result<String, String> {
    match context.flags.text("subjectKeyID") {
        "" => Err("the Subject Key ID of the X.509 upstream authority is required".to_owned()),
        id => Ok(id.to_owned()),
    }
}
