use super::*;

fn value(text: &str) -> Value {
    parse(&format!("k = {text}")).unwrap().items.remove(0).value
}

#[test]
fn literals_read_as_hcl_1_reads_them() {
    // SC-020
    for (text, expected) in [
        (r#""a\tb\"\\""#, "a\tb\"\\"),
        (r#""\x41\u00e9\101""#, "AéA"),
        (r#""${var("x")}""#, "${var(\"x\")}"),
        ("<<EOF\na\n  b\nEOF\n", "a\n  b\n"),
        ("<<EOF\r\na\r\n  EOF\r\n", "a\n  "),
        ("<<-EOF\n    a\n      b\n    EOF\n", "a\n  b\n"),
        ("<<-EOF\n  a\n b\n  EOF\n", "  a\n b\n"),
    ] {
        assert!(matches!(value(text), Value::String(found, _) if found == expected), "{text}");
    }
    for text in ["12", "-3", "0x1F", "017", "08", "1.5", "1e3", ".5"] {
        assert!(matches!(value(text), Value::Number(found, _) if found == text), "{text}");
    }
}

#[test]
fn blocks_may_be_written_in_several_ways() {
    // SC-021
    for text in ["a { b = 1 }", "a = { b = 1 }", "a {\n b = 1,\n}", "a{b=1}"] {
        let document = parse(text).unwrap();
        assert!(matches!(&document.items[0].value, Value::Object(o, _) if o.items.len() == 1), "{text}");
    }
    assert_eq!(parse("a \"l\" { }").unwrap().items[0].keys.len(), 2);
    assert!(parse("a \"l\" = { }").is_err());
}

#[test]
fn errors_name_the_line() {
    for (text, start) in [
        ("a = \"x", "At 1:"),
        ("a = 1\nb = [1 2]", "At 2:"),
        ("a {\n b = 1\n", "At 3:"),
        ("{ // no\n}", "1:3: illegal char: /"),
        ("\n a = = 1", "At 2:"),
        ("a = 1\nb = \"x\n\"", "At 3:"),
        ("a = 24h\nb = 1", "At 2:"),
        ("a = [\n1,\n{ b\n= = 1 }]", "At 3:"),
        ("true = 1", "At 1:"),
        ("a = 1 '\nb = ?", "At 1:"),
        ("a = <<-EOF\n x\nEOF\n", "At 4:"),
        (r#"{"a": [null]}"#, "unexpected token while parsing list: NULL"),
        (r#"{"a": , "b": 1}"#, "Expected object value, got unknown token: 1:7 COMMA ,"),
        (r#"{"a": 01}"#, "1:8: numbers cannot start with 0"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}

#[test]
fn json_is_lenient_where_upstream_is() {
    // SC-026
    let document = parse(r#"{"a": [{"x": 1}, {"y": 2},], "b": null, "c": [true, 1],}"#).unwrap();
    assert_eq!(document.items.len(), 4);
    assert!(matches!(&document.items[2].value, Value::String(text, _) if text.is_empty()));
    assert!(matches!(&document.items[3].value, Value::List(list, _) if list.len() == 1));
    assert!(parse(r#"{"a": "\/"}"#).is_err());
}

#[test]
fn printed_hcl_reads_back() {
    let document = parse("a = \"x\\n\"\nb { c = [1, \"2\"] d \"l\" { e = true } }").unwrap();
    let again = parse(&document.to_hcl()).unwrap();
    assert_eq!(again.to_hcl(), document.to_hcl());
    assert_eq!(again.items.len(), 2);
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    assert!(parse(&"a {".repeat(100_000)).is_err());
    assert!(parse(&format!("a = {}", "[".repeat(100_000))).is_err());
    assert!(parse(&"{\"a\":".repeat(100_000)).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n{}\\[\\]\"=<$\\\\é]{0,120}") {
        let _ = parse(&text);
        let _ = parse(&format!("{{{text}"));
    }
}

#[test]
fn json_that_ends_too_early_or_too_late_is_read_as_far_as_it_goes() {
    // SC-026; recorded from SPIRE 1.15.3
    let whole = parse(r#"{"a": {"b": 1}, "c": ["x", "y"]}"#).unwrap().to_hcl();
    for text in [
        r#"{"a": {"b": 1}, "c": ["x", "y"]"#,
        r#"{"a": {"b": 1}, "c": ["x" "y"]}} garbage"#,
        r#"{"a": {"b": 1]}, "c": [,"x",,"y",]"#,
        r#"{"a": {"b": 1}, "c": ["x", "y"], "d""#,
        r#"{"a": {"b": 1}, "c": ["x", "y"], "d":"#,
    ] {
        let found = parse(text).unwrap().to_hcl();
        let expected =
            if text.contains("1]") { parse(r#"{"a": {"b": 1}}"#).unwrap().to_hcl() } else { whole.clone() };
        assert_eq!(found, expected, "{text}");
    }
    assert!(parse(r#"{"a": ["x""#).is_err());
    assert!(parse(r#"{"a": 1 # no"#).is_err());
}

#[test]
fn a_key_that_the_text_ends_behind_is_left_out() {
    // SC-020; recorded from SPIRE 1.15.3
    assert_eq!(parse("a = 1\nb = \n").unwrap().to_hcl(), "a = 1");
    assert!(parse("a { b = \n").is_err());
    assert!(parse("a = 1\nb").is_err());
}

#[test]
fn lists_may_have_commas_too_many_and_lists_in_lists_none() {
    // SC-020
    for (text, same) in [("[,1,,2,]", "k = [1, 2]"), ("[[1] [2]]", "k = [[1], [2]]")] {
        assert_eq!(parse(&format!("k = {text}")).unwrap().to_hcl(), same);
    }
}

#[test]
fn mistakes_are_told_in_upstreams_words_at_upstreams_place() {
    // SC-003
    for (text, error) in [
        ("x", "At 1:3: key 'x' expected start of object ('{') or assignment ('=')"),
        ("zz \"a\"", "At 1:7: key 'zz \"a\"' expected start of object ('{') or assignment ('=')"),
        ("a {\n", "At 2:2: object expected closing RBRACE got: EOF"),
        ("a = {\n b = 12", "At 2:11: object expected closing RBRACE got: EOF"),
        ("a = TRUE", "At 1:5: Unknown token: 1:5 IDENT TRUE"),
        ("a = 1 1.5", "At 1:7: expected: IDENT | STRING | ASSIGN | LBRACE got: FLOAT"),
        ("a = [=]", "At 1:6: unexpected token while parsing list: ASSIGN"),
        ("a = 0x\n", "At 1:7: illegal hexadecimal number"),
        ("a = 0128\n", "At 1:9: illegal octal number"),
        ("a = \"\\1\"", "At 1:8: illegal char escape"),
        ("a = \"\\u12\"", "At 1:10: illegal char escape"),
        ("a = \"\\x\"\n", "At 1:9: literal not terminated"),
        ("a = \"${\\z}\"", "At 1:9: illegal char escape"),
        ("a = \"x\0", "At 1:7: literal not terminated"),
        ("# a\0", "At 1:4: unexpected null character (0x00)"),
        ("a = \"\u{e123}\"", "At 1:6: unicode code point U+E123 reserved for internal use"),
        ("a = <", "At 1:6: heredoc expected second '<', didn't see it"),
        ("/* *", "At 1:5: comment not terminated"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), error, "{text:?}");
    }
}

#[test]
fn bytes_by_number_make_up_characters() {
    // SC-020: what no String can hold is replaced, not refused.
    for (text, expected) in [
        (r#""\xc3\xa9""#, "é"),
        (r#""\xff""#, "\u{fffd}"),
        (r#""\ud800""#, "\u{fffd}"),
        (r#""${a("\"")}""#, r#"${a("\"")}"#),
    ] {
        assert!(matches!(value(text), Value::String(found, _) if found == expected), "{text}");
    }
    assert!(matches!(value("081"), Value::Number(found, _) if found == "081"));
}

#[test]
fn every_string_is_printed_so_that_it_reads_back() {
    // SC-135
    for text in ["${a(\"x\")}", "a${", "$\\{", "\0\u{e123}\u{7}", "\"\n"] {
        let key = Key { name: "k".to_owned(), bare: true, position: Position::default() };
        let value = Value::String(text.to_owned(), Position::default());
        let printed = Object { items: vec![Item { keys: vec![key], value }] }.to_hcl();
        let read = parse(&printed).unwrap().items.remove(0).value;
        assert!(matches!(read, Value::String(found, _) if found == text), "{printed}");
    }
}

#[test]
fn json_objects_of_objects_are_labels() {
    // SC-025
    let text = r#"{"a": {"b": {"c": {}}, "d": {"e": 1}}, "f": {"g": [{"h": 1}, {"i": {"j": {}}}]}, "k": {}}"#;
    let names = |object: &Object| -> Vec<String> {
        let names = |item: &Item| item.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(" ");
        object.items.iter().map(names).collect()
    };
    let document = parse(text).unwrap();
    assert_eq!(names(&document), ["a b c", "a d", "f", "k"]);
    let Value::Object(inner, _) = &document.items[2].value else { panic!("{document:?}") };
    assert_eq!(names(inner), ["g", "g i j"]);
}

#[test]
fn nesting_is_followed_further_than_anybody_goes() {
    assert!(parse(&format!("{}{}", "a {".repeat(200), "}".repeat(200))).is_ok());
    assert!(parse(&format!("a = {}{}", "[".repeat(200), "]".repeat(200))).is_ok());
    assert!(parse(&format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200))).is_ok());
}

#[test]
fn several_keys_of_what_is_no_object_read_back() {
    // A plugin is handed what was printed, and could not read it.
    let file = parse(r#"{"server" "n": -1.5e3}"#).unwrap();
    assert_eq!(parse(&file.to_hcl()).unwrap().to_hcl(), file.to_hcl());
}
