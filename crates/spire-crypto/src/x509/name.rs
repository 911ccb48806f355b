use std::fmt;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::asn1::{PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Decode, Encode, Tag, Tagged};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{Name, RelativeDistinguishedName};

use super::certificate::X509Error;

/// A distinguished name in its encoded form.
#[derive(Clone, PartialEq, Eq)]
pub struct DistinguishedName {
    der: Arc<[u8]>,
}

/// The attributes from which names are made, in Go's order (CA-209).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub country: Vec<String>,
    pub organization: Vec<String>,
    pub organizational_unit: Vec<String>,
    pub locality: Vec<String>,
    pub province: Vec<String>,
    pub street_address: Vec<String>,
    pub postal_code: Vec<String>,
    pub common_name: String,
    pub serial_number: String,
    /// Dotted OID and value, after all others.
    pub extra: Vec<(String, String)>,
}

impl Subject {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Several values of one attribute share one RDN (CA-209).
    pub fn to_name(&self) -> Result<DistinguishedName, X509Error> {
        let one = |value: &String| if value.is_empty() { vec![] } else { vec![value.clone()] };
        let groups = [
            (rfc4519::COUNTRY_NAME, self.country.clone()),
            (rfc4519::ST, self.province.clone()),
            (rfc4519::LOCALITY_NAME, self.locality.clone()),
            (rfc4519::STREET, self.street_address.clone()),
            (rfc4519::POSTAL_CODE, self.postal_code.clone()),
            (rfc4519::ORGANIZATION_NAME, self.organization.clone()),
            (rfc4519::ORGANIZATIONAL_UNIT_NAME, self.organizational_unit.clone()),
            (rfc4519::COMMON_NAME, one(&self.common_name)),
            (rfc4519::SERIAL_NUMBER, one(&self.serial_number)),
        ];
        let mut content = Vec::new();
        for (oid, values) in groups {
            // An extra name of the same type takes the attribute's place.
            if values.is_empty() || self.extra.iter().any(|(extra, _)| *extra == oid.to_string()) {
                continue;
            }
            rdn(oid, &values)?.encode_to_vec(&mut content)?;
        }
        for (oid, value) in &self.extra {
            let oid =
                ObjectIdentifier::new(oid).map_err(|_| X509Error::Encode(format!("bad OID {oid:?}")))?;
            rdn(oid, std::slice::from_ref(value))?.encode_to_vec(&mut content)?;
        }
        let name = der::asn1::AnyRef::new(Tag::Sequence, &content)?;
        Ok(DistinguishedName { der: name.to_der()?.into() })
    }
}

fn rdn(oid: ObjectIdentifier, values: &[String]) -> Result<RelativeDistinguishedName, X509Error> {
    let mut set = SetOfVec::new();
    for value in values {
        let value = match is_printable(value) {
            true => der::Any::from(PrintableStringRef::new(value)?),
            false => der::Any::from(Utf8StringRef::new(value)?),
        };
        set.insert(AttributeTypeAndValue { oid, value })?;
    }
    Ok(RelativeDistinguishedName::from(set))
}

/// The characters that Go writes as PrintableString.
fn is_printable(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b))
}

impl DistinguishedName {
    pub(crate) fn from_der(der: &[u8]) -> Self {
        Self { der: der.into() }
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it has no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.der.len() <= 2
    }

    /// The standard attributes, as far as they are strings (CA-220).
    pub fn to_subject(&self) -> Subject {
        let mut subject = Subject::default();
        for (oid, value) in self.attributes() {
            let list = match oid {
                rfc4519::COUNTRY_NAME => &mut subject.country,
                rfc4519::ORGANIZATION_NAME => &mut subject.organization,
                rfc4519::ORGANIZATIONAL_UNIT_NAME => &mut subject.organizational_unit,
                rfc4519::LOCALITY_NAME => &mut subject.locality,
                rfc4519::ST => &mut subject.province,
                rfc4519::STREET => &mut subject.street_address,
                rfc4519::POSTAL_CODE => &mut subject.postal_code,
                rfc4519::COMMON_NAME => {
                    subject.common_name = value;
                    continue;
                }
                rfc4519::SERIAL_NUMBER => {
                    subject.serial_number = value;
                    continue;
                }
                _ => continue,
            };
            list.push(value);
        }
        subject
    }

    /// Dotted OID and value of every attribute that is a string, in the order of the encoding.
    pub fn typed_values(&self) -> Vec<(String, String)> {
        self.attributes().into_iter().map(|(oid, value)| (oid.to_string(), value)).collect()
    }

    fn attributes(&self) -> Vec<(ObjectIdentifier, String)> {
        let Ok(name) = Name::from_der(&self.der) else { return Vec::new() };
        name.iter_rdn().flat_map(|rdn| rdn.iter()).filter_map(|a| Some((a.oid, text(a)?))).collect()
    }
}

fn text(attribute: &AttributeTypeAndValue) -> Option<String> {
    match attribute.value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String | Tag::TeletexString => {
            String::from_utf8(attribute.value.value().to_vec()).ok()
        }
        _ => None,
    }
}

/// As Go prints it: RFC 2253 order, last RDN first, `+` within one.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(name) = Name::from_der(&self.der) else { return f.write_str("(malformed name)") };
        let rdns: Vec<&RelativeDistinguishedName> = name.iter_rdn().collect();
        for (index, rdn) in rdns.iter().rev().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            for (place, attribute) in rdn.iter().enumerate() {
                if place > 0 {
                    f.write_str("+")?;
                }
                match (short_name(attribute.oid), text(attribute)) {
                    (Some(short), Some(value)) => write!(f, "{short}={}", escaped(&value))?,
                    (short, _) => {
                        let der = attribute.value.to_der().map_err(|_| fmt::Error)?;
                        let label = short.map_or_else(|| attribute.oid.to_string(), str::to_owned);
                        write!(f, "{label}=#{}", hex::encode(der))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn short_name(oid: ObjectIdentifier) -> Option<&'static str> {
    Some(match oid {
        rfc4519::COUNTRY_NAME => "C",
        rfc4519::ORGANIZATION_NAME => "O",
        rfc4519::ORGANIZATIONAL_UNIT_NAME => "OU",
        rfc4519::LOCALITY_NAME => "L",
        rfc4519::ST => "ST",
        rfc4519::STREET => "STREET",
        rfc4519::POSTAL_CODE => "POSTALCODE",
        rfc4519::COMMON_NAME => "CN",
        rfc4519::SERIAL_NUMBER => "SERIALNUMBER",
        _ => return None,
    })
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    for (index, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (index == 0 && matches!(c, ' ' | '#'))
            || (index == last && c == ' ');
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_printed_as_go_does() {
        // CA-209, CA-213
        let subject = Subject {
            country: vec!["US".into()],
            organization: vec!["SPIFFE".into()],
            serial_number: "12345".into(),
            ..Subject::default()
        };
        let name = subject.to_name().unwrap();
        assert_eq!(name.to_string(), "SERIALNUMBER=12345,O=SPIFFE,C=US");
        assert_eq!(name.to_subject(), subject);
        assert_eq!(
            hex::encode(name.der()),
            "302e310b3009060355040613025553310f300d060355040a1306535049464645310e300c060355040513053132333435"
        );
    }

    #[test]
    fn several_values_share_one_set() {
        let subject = Subject { organization: vec!["b".into(), "a".into()], ..Subject::default() };
        assert_eq!(subject.to_name().unwrap().to_string(), "O=a+O=b");
    }

    #[test]
    fn umlauts_are_utf8_and_commas_are_escaped() {
        let subject = Subject { common_name: "Bär, Inc".into(), ..Subject::default() };
        assert_eq!(subject.to_name().unwrap().to_string(), "CN=Bär\\, Inc");
    }
}
