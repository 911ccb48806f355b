use std::collections::BTreeMap;

use super::*;

/// What Go and sprig made `golden.json` of.
fn data() -> Value {
    let subject = Record {
        kind: "pkix.Name",
        text: Some("CN=Node-1.example,O=Acme".to_owned()),
        fields: vec![
            ("CommonName", Value::from("Node-1.example")),
            ("Organization", Value::texts(&["Acme"])),
            ("OrganizationalUnit", Value::texts::<&str>(&[])),
        ],
    };
    let selectors =
        BTreeMap::from([("env".to_owned(), Value::from("prod")), ("zone".to_owned(), Value::from("eu/1"))]);
    Value::Record(Record {
        kind: "main.data",
        text: None,
        fields: vec![
            ("PluginName", Value::from("x509pop")),
            ("Fingerprint", Value::from("0beec7b5ea3f0fdbc95d0dd47f3c5bc275da8a33")),
            ("Subject", Value::Record(subject)),
            ("DNSNames", Value::texts(&["b.test", "a.test"])),
            ("IsCA", Value::Bool(false)),
            ("Version", Value::Int(3)),
            ("URISanSelectors", Value::Map(selectors)),
        ],
    })
}

/// NA-292 to NA-305: every template makes what Go makes of it.
#[test]
fn templates_make_what_go_makes_of_them() {
    let golden = include_str!("golden.json");
    let golden: BTreeMap<String, serde_json::Value> = serde_json::from_str(golden).unwrap();
    let mut wrong = Vec::new();
    for (text, expected) in &golden {
        let got = match PathTemplate::parse(text, &[]) {
            Ok(template) => template.render(&data()).map_err(|_| "execute"),
            Err(TemplateError::Malformed(_)) => Err("parse"),
            Err(TemplateError::NotBuilt(_)) => Err("not built"),
        };
        let got = match got {
            Ok(text) => serde_json::json!({ "text": text }),
            Err(stage) => serde_json::json!({ "error": stage }),
        };
        if got != *expected {
            wrong.push(format!("{text}\n  got  {got}\n  want {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), golden.len(), wrong.join("\n"));
}

#[test]
fn what_go_has_and_this_has_not_is_told_apart() {
    for text in [
        r#"{{ regexFind "a" .PluginName }}"#,
        "{{ uuidv4 }}",
        r#"{{ define "x" }}{{ end }}"#,
        "{{ 1.5 }}",
        "{{ .NotAfter }}",
        "{{ .Subject.CommonName | snakecase }}",
    ] {
        let error = PathTemplate::parse(text, &["NotAfter"]).unwrap_err();
        assert!(matches!(error, TemplateError::NotBuilt(_)), "{text}: {error:?}");
    }
}

#[test]
fn an_error_names_its_place_as_go_does() {
    let template = PathTemplate::parse("/{{ .PluginName }}\n/{{ lower .Subject.Nothing }}", &[]).unwrap();
    assert_eq!(
        template.render(&data()).unwrap_err(),
        "template: agent-path:2:10: executing \"agent-path\" at <.Subject.Nothing>: \
         can't evaluate field Nothing in type pkix.Name"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(PathTemplate::parse(&text, &[]).is_err());
    let text = "{{ if true }}".repeat(10_000);
    assert!(PathTemplate::parse(&text, &[]).is_err());
}

proptest::proptest! {
    #[test]
    fn no_template_makes_the_engine_panic(pieces in proptest::collection::vec(
        proptest::sample::select(&[
            "{{", "}}", "{{- ", " -}}", " ", "/", "|", "(", ")", ".", ".Subject", ".DNSNames", "$x", ":=", "=", ",",
            "\"a\"", "`b`", "if", "else", "end", "range", "with", "lower", "index", "slice", "trunc", "substr", "1",
            "-3", "nil", "true", "printf", "%5d", "/*", "*/", "ä",
        ][..]), 0..24))
    {
        if let Ok(template) = PathTemplate::parse(&pieces.concat(), &[]) {
            let _ = template.render(&data());
        }
    }
}
