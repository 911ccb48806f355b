//! Values of flags that need more than their flag's type (SC-230, SC-231).

use spire_config::duration::GoDuration;
use spire_proto::convert::id::spiffe_id_to_wire;
use spire_proto::types::{Selector, Spiffeid};
use spire_types::SpiffeId;

const SECOND: i64 = 1_000_000_000;

/// A SPIFFE ID; errors are the parser's own words.
pub(super) fn spiffe_id(text: &str) -> Result<Spiffeid, String> {
    let id: SpiffeId = text.parse().map_err(|error: spire_types::SpiffeIdError| error.to_string())?;
    Ok(spiffe_id_to_wire(&id))
}

/// `type:value`; values may hold colons themselves.
pub(super) fn selector(text: &str) -> Result<Selector, String> {
    match text.split_once(':') {
        Some((kind, value)) => Ok(Selector { r#type: kind.to_owned(), value: value.to_owned() }),
        None => Err(format!("selector \"{text}\" must be formatted as type:value")),
    }
}

/// What fits into 32 bits on the wire.
pub(super) fn int32(number: i64) -> Result<i32, String> {
    i32::try_from(number).map_err(|_| format!("overflow converting int({number}) to int32"))
}

/// Whole seconds, rounded up (SC-330).
pub(super) fn seconds(duration: GoDuration) -> Result<i32, String> {
    let seconds = duration.0.saturating_add(SECOND - 1) / SECOND;
    i32::try_from(seconds)
        .map_err(|_| format!("overflow converting time.Duration({}) to int32", GoDuration(seconds)))
}

/// How ids are shown; nothing for one that is not there.
pub(super) fn shown_id(id: Option<&Spiffeid>) -> String {
    id.map(|id| format!("spiffe://{}{}", id.trust_domain, id.path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_split_at_the_first_colon() {
        // SC-231
        let found = selector("unix:uid:0").unwrap();
        assert_eq!((found.r#type.as_str(), found.value.as_str()), ("unix", "uid:0"));
        assert_eq!(selector(":").unwrap(), Selector::default());
        assert_eq!(selector("unix").unwrap_err(), "selector \"unix\" must be formatted as type:value");
    }

    #[test]
    fn lifetimes_are_rounded_up_and_must_fit() {
        // SC-330
        for (nanos, expected) in
            [(0, 0), (1, 1), (SECOND, 1), (SECOND + 1, 2), (-SECOND, 0), (-5 * 60 * SECOND, -299)]
        {
            assert_eq!(seconds(GoDuration(nanos)).unwrap(), expected, "{nanos}");
        }
        let error = seconds(GoDuration::from_secs(7_200_000_000)).unwrap_err();
        assert_eq!(error, "overflow converting time.Duration(7.2s) to int32");
        assert_eq!(int32(1 << 31).unwrap_err(), "overflow converting int(2147483648) to int32");
    }
}
