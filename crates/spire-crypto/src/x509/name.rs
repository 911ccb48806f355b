use std::fmt;
use std::sync::Arc;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519;
use der::asn1::{PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Encode, Tag};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::RelativeDistinguishedName;

use super::certificate::X509Error;
use super::strings::{is_printable, text};
use crate::elements::{Asn1Error, Elements, OBJECT_IDENTIFIER, SEQUENCE, SET, is_object_identifier};

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
        let value = match value.bytes().all(is_printable) {
            true => der::Any::from(PrintableStringRef::new(value)?),
            false => der::Any::from(Utf8StringRef::new(value)?),
        };
        set.insert(AttributeTypeAndValue { oid, value })?;
    }
    Ok(RelativeDistinguishedName::from(set))
}

/// An attribute as it stands in a name.
struct Attribute<'a> {
    oid: ObjectIdentifier,
    /// Nothing of a value that is no string or breaks the rules of its type.
    text: Option<String>,
    /// With tag and length.
    value: &'a [u8],
}

impl DistinguishedName {
    pub(crate) fn from_der(der: &[u8]) -> Self {
        Self { der: der.into() }
    }

    /// The subject of a request, which Go reads with `encoding/asn1`.
    pub(super) fn of_request(der: &[u8]) -> Result<Self, X509Error> {
        let mut rdns = Elements::of(der).expect(SEQUENCE, "RDNSequence")?.inside();
        while !rdns.is_empty() {
            let mut rdn = rdns.member(Some(SET))?.inside();
            while !rdn.is_empty() {
                let mut attribute = rdn.member(Some(SEQUENCE))?.inside();
                let oid = attribute.expect(OBJECT_IDENTIFIER, "ObjectIdentifier")?;
                if !is_object_identifier(oid.content) {
                    return Err(Asn1Error::new("syntax error: truncated base 128 integer").into());
                }
                let value = attribute.expect_any()?;
                text(value.tag, value.content).map_err(|bad| X509Error::refused(bad.in_request()))?;
            }
        }
        Ok(Self::from_der(der))
    }

    /// What Go says of the name of a certificate that it does not read.
    pub(super) fn check(&self) -> Result<(), X509Error> {
        let refused = |what: &str| X509Error::refused(format!("x509: invalid RDNSequence{what}"));
        let mut rdns = Elements::of(&self.der).inside(SEQUENCE).ok_or_else(|| refused(""))?;
        while !rdns.is_empty() {
            let mut rdn = rdns.inside(SET).ok_or_else(|| refused(""))?;
            while !rdn.is_empty() {
                let mut attribute = rdn.inside(SEQUENCE).ok_or_else(|| refused(": invalid attribute"))?;
                attribute.object_identifier().ok_or_else(|| refused(": invalid attribute type"))?;
                let value = attribute.any().ok_or_else(|| refused(": invalid attribute value"))?;
                let reason = match text(value.tag, value.content) {
                    Ok(Some(_)) => continue,
                    Ok(None) => format!("unsupported string type: {}", value.tag),
                    Err(bad) => bad.in_certificate().to_owned(),
                };
                return Err(refused(&format!(": invalid attribute value: {reason}")));
            }
        }
        Ok(())
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
        for attribute in self.attributes() {
            let Some(value) = attribute.text else { continue };
            let list = match attribute.oid {
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

    /// The subject that a request asks for. None if Go would print nothing of it; an attribute that [`Subject`]
    /// does not have is printed, and so its request is for a subject, be it without any attribute (CA-220).
    pub fn asked_for(&self) -> Option<Subject> {
        let subject = self.to_subject();
        let other = self.attributes().any(|attribute| short_name(attribute.oid).is_none());
        (other || !subject.is_empty()).then_some(subject)
    }

    /// Dotted OID and value of every attribute that is a string, in the order of the encoding.
    pub fn typed_values(&self) -> Vec<(String, String)> {
        self.attributes().filter_map(|a| Some((a.oid.to_string(), a.text?))).collect()
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.rdns().flatten()
    }

    /// As far as they can be read.
    fn rdns(&self) -> impl Iterator<Item = Vec<Attribute<'_>>> {
        let mut rdns = Elements::of(&self.der).inside(SEQUENCE);
        std::iter::from_fn(move || {
            let mut rdn = rdns.as_mut()?.inside(SET)?;
            Some(std::iter::from_fn(|| rdn.inside(SEQUENCE)).filter_map(attribute).collect())
        })
    }
}

fn attribute(mut parts: Elements<'_>) -> Option<Attribute<'_>> {
    let oid = ObjectIdentifier::from_bytes(parts.content(OBJECT_IDENTIFIER)?).ok()?;
    let value = parts.any()?;
    Some(Attribute { oid, text: text(value.tag, value.content).ok().flatten(), value: value.whole })
}

/// As Go prints it: RFC 2253 order, last RDN first, `+` within one.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rdns: Vec<Vec<Attribute<'_>>> = self.rdns().collect();
        for (index, rdn) in rdns.iter().rev().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            for (place, attribute) in rdn.iter().enumerate() {
                if place > 0 {
                    f.write_str("+")?;
                }
                match (short_name(attribute.oid), &attribute.text) {
                    (Some(short), Some(value)) => write!(f, "{short}={}", escaped(value))?,
                    (Some(short), None) => write!(f, "{short}=#{}", hex::encode(attribute.value))?,
                    (None, _) => write!(f, "{}=#{}", attribute.oid, hex::encode(attribute.value))?,
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
    /// A name of one attribute, from the hex of OID and value.
    fn name(attribute: &str) -> Vec<u8> {
        let tlv = |tag, content: &[u8]| der::asn1::AnyRef::new(tag, content).unwrap().to_der().unwrap();
        let attribute = tlv(Tag::Sequence, &hex::decode(attribute).unwrap());
        tlv(Tag::Sequence, &tlv(Tag::Set, &attribute))
    }

    #[test]
    fn an_attribute_that_is_lost_asks_for_a_subject_all_the_same() {
        // CA-220: SPIRE looks at what the name of the request prints.
        let asked = |der: &[u8]| DistinguishedName::of_request(der).unwrap().asked_for();
        assert_eq!(
            asked(&name("06092a864886f70d0109011603614062")),
            Some(Subject::default()),
            "emailAddress"
        );
        assert_eq!(asked(&name("06035504031300")), None, "an empty common name");
        assert_eq!(asked(&name("0603550403020101")), None, "a number");
        assert_eq!(asked(&[0x30, 0]), None);
        let serial = Subject { serial_number: "12".into(), ..Subject::default() };
        assert_eq!(asked(&name("060355040512023132")), Some(serial), "NumericString");
        let organization = Subject { organization: vec!["B".into()], ..Subject::default() };
        assert_eq!(asked(&name("060355040a1e020042")), Some(organization), "BMPString");
    }

    #[test]
    fn names_that_go_does_not_read_are_refused_in_its_words() {
        for (attribute, in_request, in_certificate) in [
            (
                "06035504031303614062",
                "asn1: syntax error: PrintableString contains invalid character",
                "x509: invalid RDNSequence: invalid attribute value: invalid PrintableString",
            ),
            (
                "06035504030c02fffe",
                "asn1: invalid UTF-8 string",
                "x509: invalid RDNSequence: invalid attribute value: invalid UTF-8 string",
            ),
        ] {
            let der = name(attribute);
            assert_eq!(DistinguishedName::of_request(&der).unwrap_err().to_string(), in_request);
            assert_eq!(DistinguishedName::from_der(&der).check().unwrap_err().to_string(), in_certificate);
        }
        let number = DistinguishedName::from_der(&name("0603550403020101")).check().unwrap_err();
        let text = "x509: invalid RDNSequence: invalid attribute value: unsupported string type: 2";
        assert_eq!(number.to_string(), text);
        let text = "asn1: structure error: sequence tag mismatch";
        assert_eq!(DistinguishedName::of_request(&[0x30, 2, 0x30, 0]).unwrap_err().to_string(), text);
    }
}
