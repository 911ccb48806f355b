use super::*;

#[derive(Debug, Default, PartialEq)]
struct Item {
    name: String,
    count: i32,
    far: i64,
    on: bool,
    tags: Vec<String>,
    inner: Option<Inner>,
    list: Vec<Option<Inner>>,
}

#[derive(Debug, Default, PartialEq)]
struct Inner {
    key: String,
    value: String,
}

impl Struct for Item {
    const PACKAGE: &'static str = "common";
    const NAME: &'static str = "Item";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![
            Member("name", &mut self.name),
            Member("count", &mut self.count),
            Member("farAway", &mut self.far),
            Member("on", &mut self.on),
            Member("tags", &mut self.tags),
            Member("inner", &mut self.inner),
            Member("list", &mut self.list),
        ]
    }
}

impl Struct for Inner {
    const PACKAGE: &'static str = "common";
    const NAME: &'static str = "Inner";

    fn members(&mut self) -> Vec<Member<'_>> {
        vec![Member("key", &mut self.key), Member("value", &mut self.value)]
    }
}

fn item(document: &str) -> Item {
    read(document.as_bytes()).unwrap()
}

fn error(document: &str) -> String {
    read::<Item>(document.as_bytes()).unwrap_err()
}

#[test]
fn names_count_in_any_case_and_null_is_not_given() {
    // SC-248
    let read =
        item(r#" {"Name": "x", "FARAWAY": -7, "count": null, "on": true, "tags": ["a", null], "new": {}} "#);
    let expected = Item {
        name: "x".into(),
        far: -7,
        on: true,
        tags: vec!["a".into(), String::new()],
        ..Item::default()
    };
    assert_eq!(read, expected);
    assert_eq!(item("null"), Item::default());
    assert_eq!(item(r#"{"inner": null, "list": [null]}"#).list, [None]);
}

#[test]
fn of_several_spellings_the_last_one_counts() {
    // SC-248: which entry is deleted hangs on it.
    for (document, name) in [
        (r#"{"name":"a","Name":"b"}"#, "b"),
        (r#"{"Name":"b","name":"a"}"#, "a"),
        (r#"{"name":"a","NAME":null}"#, "a"),
    ] {
        assert_eq!(item(document).name, name, "{document}");
    }
    assert_eq!(item(r#"{"tags":["a","b"],"Tags":["c"]}"#).tags, ["c"]);
    assert!(item(r#"{"tags":["a"],"Tags":null}"#).tags.is_empty());
    // What is there already is added to.
    let merged = item(r#"{"inner":{"key":"k"},"Inner":{"value":"v"}}"#).inner;
    assert_eq!(merged, Some(Inner { key: "k".into(), value: "v".into() }));
}

#[test]
fn what_no_type_of_ours_can_hold_is_still_json() {
    // SC-248
    let deep = format!("{{\"x\":{}1{},\"name\":\"n\"}}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(item(&deep).name, "n");
    assert_eq!(
        item(r#"{"x":"\ud800","y":1e999,"name":"a\ud800b\udc00\ud83d\ude00"}"#).name,
        "a\u{fffd}b\u{fffd}😀"
    );
    assert_eq!(read::<Item>(b"{\"name\":\"a\xff\xfe\"}").unwrap().name, "a\u{fffd}\u{fffd}");
}

#[test]
fn values_of_other_types_are_refused_by_their_place_in_gos_types() {
    // SC-249
    for (document, expected) in [
        ("[]", "array into Go value of type common.Item"),
        (r#"{"name":5}"#, "number into Go struct field Item.name of type string"),
        (r#"{"count":"60"}"#, "string into Go struct field Item.count of type int32"),
        (r#"{"count":2147483648}"#, "number 2147483648 into Go struct field Item.count of type int32"),
        (r#"{"farAway":1.5}"#, "number 1.5 into Go struct field Item.farAway of type int64"),
        (
            r#"{"FarAway":99999999999999999999}"#,
            "number 99999999999999999999 into Go struct field Item.farAway of type int64",
        ),
        (r#"{"on":{}}"#, "object into Go struct field Item.on of type bool"),
        (r#"{"tags":"x"}"#, "string into Go struct field Item.tags of type []string"),
        (r#"{"tags":["x",[]]}"#, "array into Go struct field Item.tags of type string"),
        (r#"{"list":{}}"#, "object into Go struct field Item.list of type []*common.Inner"),
        (r#"{"list":[{},true]}"#, "bool into Go struct field Item.list of type common.Inner"),
        (r#"{"list":[{},{"key":1}]}"#, "number into Go struct field Inner.list.key of type string"),
        (r#"{"inner":{"key":[]}}"#, "array into Go struct field Inner.inner.key of type string"),
        // The first one in the document, also if a later spelling would do.
        (r#"{"tags":1,"name":2,"Tags":[]}"#, "number into Go struct field Item.tags of type []string"),
    ] {
        assert_eq!(error(document), format!("json: cannot unmarshal {expected}"), "{document}");
    }
}

#[test]
fn what_is_no_json_is_refused_before_what_does_not_fit() {
    // SC-249
    assert_eq!(error("{\"name\":"), "unexpected end of JSON input");
    assert_eq!(error("{\"name\":5} xyz"), "invalid character 'x' after top-level value");
    assert_eq!(error("entries:\n- a"), "invalid character 'e' looking for beginning of value");
    assert_eq!(error(""), "unexpected end of JSON input");
}
