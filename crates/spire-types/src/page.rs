/// A position in a long listing (SA-019).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most this many rows; never 0.
    pub size: u32,
    /// Empty, or what the previous page returned.
    pub token: String,
}
