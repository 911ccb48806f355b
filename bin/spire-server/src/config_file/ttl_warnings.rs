//! SVIDs that would outlive their authority are cut short; the operator hears of it at start (SC-190 to SC-194).

use spire_config::duration::{GoDuration, short};

/// An authority signs during this part of its life only.
const PARTS: i64 = 6;
/// No SVID needs to live longer.
const MAX_SVID_TTL: GoDuration = GoDuration::from_secs(7 * 24 * 3600);

/// The warning for one key, if it needs one.
pub(super) fn warning(key: &str, ttl: GoDuration, ca_ttl: GoDuration) -> Option<String> {
    let max = GoDuration((ca_ttl.0 / PARTS).min(MAX_SVID_TTL.0));
    if ttl <= max {
        return None;
    }
    let times = |ttl: GoDuration| short(GoDuration(ttl.0.saturating_mul(PARTS)));
    Some(if ttl < MAX_SVID_TTL {
        format!(
            "{key} is too high for the configured ca_ttl value. SVIDs with shorter lifetimes may be issued. Please set \
             {key} to {} or less, or the ca_ttl to {} or more, to guarantee the full {key} lifetime when CA rotations \
             are scheduled.",
            short(max),
            times(ttl)
        )
    } else if ca_ttl.0 < MAX_SVID_TTL.0 * PARTS {
        format!(
            "{key} is too high and the ca_ttl is too low. SVIDs with shorter lifetimes may be issued. Please set {key} \
             to {} or less, and the ca_ttl to {} or more, to guarantee the full {key} lifetime when CA rotations are \
             scheduled.",
            short(MAX_SVID_TTL),
            times(MAX_SVID_TTL)
        )
    } else {
        format!(
            "{key} is too high. SVIDs with shorter lifetimes may be issued. Please set {key} to {} or less to guarantee \
             the full {key} lifetime when CA rotations are scheduled.",
            short(max)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: i64) -> GoDuration {
        GoDuration::from_secs(hours * 3600)
    }

    #[test]
    fn a_ttl_warns_when_rotation_would_cut_it_short() {
        // SC-190 to SC-193
        assert_eq!(warning("agent_ttl", hours(4), hours(24)), None);
        for (ttl, ca_ttl, start, contains) in [
            (
                5,
                24,
                "agent_ttl is too high for the configured ca_ttl value.",
                "to 4h or less, or the ca_ttl to 30h",
            ),
            (
                168,
                24,
                "agent_ttl is too high and the ca_ttl is too low.",
                "to 168h or less, and the ca_ttl to 1008h",
            ),
            (169, 1008, "agent_ttl is too high. SVIDs", "to 168h or less"),
        ] {
            let text = warning("agent_ttl", hours(ttl), hours(ca_ttl)).unwrap();
            assert!(text.starts_with(start) && text.contains(contains), "{text}");
        }
    }
}
