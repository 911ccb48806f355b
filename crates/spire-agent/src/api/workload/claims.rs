use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Json;
use spire_crypto::jose::Claims;

/// Numbers become doubles; a single audience becomes a list (AG-496).
pub(super) fn to_struct(claims: Claims) -> Struct {
    let fields = claims.into_iter().map(|(name, value)| match (name.as_str(), value) {
        ("aud", Json::String(one)) => (name, to_value(Json::Array(vec![Json::String(one)]))),
        (_, value) => (name, to_value(value)),
    });
    Struct { fields: fields.collect() }
}

fn to_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(to_value).collect() })
        }
        Json::Object(members) => {
            let fields = members.into_iter().map(|(name, value)| (name, to_value(value)));
            Kind::StructValue(Struct { fields: fields.collect() })
        }
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_audience_is_shown_as_a_list() {
        // AG-496
        let Json::Object(claims) = serde_json::json!({"aud": "a", "exp": 5, "x": {"y": [true, null]}}) else {
            panic!("not an object");
        };
        let fields = to_struct(claims).fields;
        let text = |value: &str| Value { kind: Some(Kind::StringValue(value.to_owned())) };
        let aud = Kind::ListValue(ListValue { values: vec![text("a")] });
        assert_eq!(fields["aud"].kind, Some(aud));
        assert_eq!(fields["exp"].kind, Some(Kind::NumberValue(5.0)));
        assert!(matches!(&fields["x"].kind, Some(Kind::StructValue(inner)) if inner.fields.len() == 1));
    }
}
