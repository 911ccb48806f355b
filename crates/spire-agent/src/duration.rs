use std::time::Duration;

use spire_config::duration::GoDuration;
use spire_runtime::logging::LogValue;

/// As Go logs it: `1m5s` in text, nanoseconds in JSON.
pub fn logged(duration: Duration) -> LogValue {
    let go = GoDuration::from(duration);
    LogValue::shown(go.to_string(), go.0)
}
