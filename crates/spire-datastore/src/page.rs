//! Page tokens are row ids, valid across servers of both kinds (SA-019, SA-020, SA-404).

use spire_types::Page;

use crate::Result;
use crate::error::{Code, DatastoreError};

/// A page request that was checked: at most `limit` rows with an id above `after`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) after: Option<i64>,
    pub(crate) limit: u32,
}

/// Which text a bad token gets: raw list queries wrap the status once more (SA-015).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenError {
    Plain,
    Wrapped,
}

pub(crate) fn cut(page: Option<&Page>, style: TokenError) -> Result<Option<Cut>> {
    let Some(page) = page else { return Ok(None) };
    if page.size == 0 {
        return Err(DatastoreError::status(Code::InvalidArgument, "cannot paginate with pagesize = 0"));
    }
    let after = match page.token.as_str() {
        "" => None,
        token => Some(parse(token).ok_or_else(|| bad_token(token, style))?),
    };
    Ok(Some(Cut { after, limit: page.size }))
}

/// Digits only, 32 bits, as upstream reads it.
fn parse(token: &str) -> Option<i64> {
    token.bytes().all(|b| b.is_ascii_digit()).then(|| token.parse::<u32>().ok()).flatten().map(i64::from)
}

fn bad_token(token: &str, style: TokenError) -> DatastoreError {
    let text = format!("could not parse token '{token}'");
    match style {
        TokenError::Plain => DatastoreError::status(Code::InvalidArgument, text),
        TokenError::Wrapped => {
            DatastoreError::sql(format!("rpc error: code = InvalidArgument desc = {text}"))
                .with_code(Code::InvalidArgument)
        }
    }
}

/// The token of a page that ended with row `last`; empty if the page was.
pub(crate) fn next_token(paged: bool, last: Option<i64>) -> String {
    match last {
        Some(id) if paged => id.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_unsigned_32_bit_numbers_and_page_size_zero_is_refused() {
        // SA-020, SA-003, SA-334
        let page = |size, token: &str| Page { size, token: token.into() };
        assert_eq!(cut(Some(&page(5, "17")), TokenError::Plain).unwrap().unwrap().after, Some(17));
        for bad in ["x", "-1", "+1", "4294967296", " 1"] {
            let error = cut(Some(&page(5, bad)), TokenError::Plain).unwrap_err();
            assert_eq!(error.to_string(), format!("could not parse token '{bad}'"));
        }
        let error = cut(Some(&page(5, "x")), TokenError::Wrapped).unwrap_err();
        assert_eq!(
            error.to_string(),
            "datastore-sql: rpc error: code = InvalidArgument desc = could not parse token 'x'"
        );
        let error = cut(Some(&page(0, "")), TokenError::Plain).unwrap_err();
        assert_eq!(error.to_string(), "cannot paginate with pagesize = 0");
        assert!(cut(None, TokenError::Plain).unwrap().is_none());
    }
}
