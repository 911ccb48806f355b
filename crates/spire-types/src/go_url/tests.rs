use super::GoUrl;
use crate::go_text::quote;

#[test]
fn mistakes_have_gos_words() {
    // AG-079, SA-115; as url.Parse of Go 1.26 says it
    for (text, reason) in [
        (":x", "missing protocol scheme"),
        ("1https://h", "first path segment in URL cannot contain colon"),
        (" https://h", "first path segment in URL cannot contain colon"),
        ("ht tps://h", "first path segment in URL cannot contain colon"),
        ("https://a b", "invalid character \" \" in host name"),
        ("https://h ", "invalid character \" \" in host name"),
        ("https://h\\x", "invalid character \"\\\\\" in host name"),
        ("https://h`x/", "invalid character \"`\" in host name"),
        ("https://h{x}/", "invalid character \"{\" in host name"),
        ("https://h%41.test/", "invalid URL escape \"%41\""),
        ("https://%68/", "invalid URL escape \"%68\""),
        ("https://%zz", "invalid URL escape \"%zz\""),
        ("https://h/%zz", "invalid URL escape \"%zz\""),
        ("https://h/#%zz", "invalid URL escape \"%zz\""),
        ("https://h/%", "invalid URL escape \"%\""),
        ("https://h/%aü", "invalid URL escape \"%a\\xc3\""),
        ("https://h:abc", "invalid port \":abc\" after host"),
        ("https://h:1:2", "invalid port \":1:2\" after host"),
        ("https://[::1]x", "invalid port \"x\" after host"),
        ("https://[::1", "missing ']' in host"),
        ("https://a[::1]", "invalid IP-literal"),
        ("https://[1.2.3.4]", "invalid IP-literal"),
        ("https://[fe80::1%en0]:1", "invalid URL escape \"%en\""),
        ("https://[fe80::1%25%3F]", "invalid URL escape \"%3F\""),
        ("https://u ser@h", "net/url: invalid userinfo"),
        ("https://ü@h", "net/url: invalid userinfo"),
        ("https://u%4:p@h", "invalid URL escape \"%4\""),
    ] {
        let expected = format!("parse {}: {reason}", quote(text));
        assert_eq!(GoUrl::parse(text).unwrap_err().to_string(), expected);
    }
    // The fragment is shown only if the mistake is in it.
    for (text, error) in [
        ("https://h/\n#f", "parse \"https://h/\\n\": net/url: invalid control character in URL"),
        ("https://h/\x7f", "parse \"https://h/\\x7f\": net/url: invalid control character in URL"),
    ] {
        assert_eq!(GoUrl::parse(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn brackets_are_for_ipv6_addresses_and_mistakes_in_them_are_explained() {
    for (address, reason) in [
        ("", "unable to parse IP"),
        ("g", "unable to parse IP"),
        ("%25eth0", "missing IPv6 address"),
        ("::1%25", "zone must be a non-empty string"),
        (":1", "each colon-separated field must have at least one digit (at \":1\")"),
        ("::g", "each colon-separated field must have at least one digit (at \"g\")"),
        ("1:23456::", "each group must have 4 or less digits (at \"23456::\")"),
        ("1:", "colon must be followed by more characters (at \":\")"),
        ("1::2::3", "multiple :: in address (at \":3\")"),
        ("1:2g", "unexpected character, want colon (at \"g\")"),
        ("1:2", "address string too short"),
        ("1:2:3:4:5:6:7:8:9", "trailing garbage after address (at \"9\")"),
        ("1:2:3:4:5:6:7::8", "the :: must expand to at least one field of zeros"),
        (
            "1:1.2.3.4",
            "embedded IPv4 address must replace the final 2 fields of the address (at \"1.2.3.4\")",
        ),
        ("1:2:3:4:5:6::1.2.3.4", "the :: must expand to at least one field of zeros"),
        (
            "1:2:3:4:5:6:7::1.2.3.4",
            "too many hex fields to fit an embedded IPv4 at the end of the address (at \"1.2.3.4\")",
        ),
        ("::1.2.3", "IPv4 address too short"),
        ("::1.2.3.4.5", "IPv4 address too long"),
        ("::1.2.3.04", "IPv4 field has octet with leading zero"),
        ("::1.2.3.256", "IPv4 field has value >255"),
        ("::1..3.4", "IPv4 field must have at least one digit (at \".3.4\")"),
        ("1.2.3.x", "unexpected character (at \"x\")"),
    ] {
        let text = format!("https://[{address}]");
        let address = address.replace("%25", "%");
        let expected = format!("parse \"{text}\": invalid host: ParseAddr(\"{address}\"): {reason}");
        assert_eq!(GoUrl::parse(&text).unwrap_err().to_string(), expected);
    }
    for address in
        ["::", "::1", "1::", "fe80::1%25eth0", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7::"]
    {
        assert!(GoUrl::parse(&format!("https://[{address}]:1")).is_ok(), "{address}");
    }
}

#[test]
fn what_go_accepts_is_accepted() {
    // AG-079, SA-115
    for text in [
        "https://",
        "https://a@@b",
        "https://u:p@x",
        "https://a?%zz",
        "https://a/?x y",
        "https://ä.de",
        "https://h<>/",
        "https://h:99999",
        "https://h:",
        "https://:443",
        "https://1.2.3.4.5/",
        "https://256.256.256.256/",
        "https://[fe80::1%25eth0]/",
    ] {
        assert_eq!(GoUrl::parse(text).unwrap().scheme(), "https", "{text}");
    }
    assert_eq!(GoUrl::parse("a:b:c").unwrap().opaque(), "b:c");
    assert_eq!(GoUrl::parse("db://a:1,b:2").unwrap().host(), "a:1,b:2");
}

#[test]
fn urls_print_as_go_prints_them() {
    // SA-115: this is what SPIRE stores and shows
    for (text, printed) in [
        ("https://h:8443/a/b?c=d#e", "https://h:8443/a/b?c=d#e"),
        ("HTTPS://H.test/X", "https://H.test/X"),
        ("https://h/#", "https://h/"),
        ("https://h/?#", "https://h/?"),
        ("https://h/??", "https://h/??"),
        ("https://h/a b", "https://h/a%20b"),
        ("https://h/ü", "https://h/%C3%BC"),
        ("https://ü.test/", "https://%C3%BC.test/"),
        ("https://%c3%bc.test/", "https://%C3%BC.test/"),
        ("https://h/\\", "https://h/%5C"),
        ("https://h/\"<>", "https://h/%22%3C%3E"),
        ("https://h/{}\\|^`", "https://h/%7B%7D%5C%7C%5E%60"),
        ("https://h/#a b", "https://h/#a%20b"),
        ("https://h/#\n", "https://h/#%0A"),
        ("https://h/?a b|ü", "https://h/?a b|ü"),
        // An escape that is not needed stays, unless something else in the path has to be escaped.
        ("https://h/%61%2f'", "https://h/%61%2f'"),
        ("https://h/%61%2f' ", "https://h/a/%27%20"),
        ("https://[fe80::1%25eth%200]:1/", "https://[fe80::1%25eth%200]:1/"),
        ("https://u%40:p%3a:q@h", "https://u%40:p%3A%3Aq@h"),
        ("https://u:@h", "https://u:@h"),
        ("https://", "https:"),
        ("https:///x", "https:///x"),
        ("https:/x y", "https:/x%20y"),
        ("https:x y", "https:x y"),
        ("//h/x", "//h/x"),
        ("///x", "///x"),
        ("a%3A b", "./a:%20b"),
        ("*", "*"),
        ("", ""),
    ] {
        assert_eq!(GoUrl::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn hosts_and_ports_are_told_apart() {
    // AG-027
    for (text, hostname, port) in [
        ("tcp://1.2.3.4:5", "1.2.3.4", "5"),
        ("tcp://[::1]:5", "::1", "5"),
        ("tcp://[::1]", "::1", ""),
        ("tcp://h", "h", ""),
        ("tcp:h", "", ""),
    ] {
        let url = GoUrl::parse(text).unwrap();
        assert_eq!((url.hostname(), url.port()), (hostname, port), "{text}");
    }
}

#[test]
fn names_of_the_query_are_decoded() {
    // AG-081
    let url = GoUrl::parse("http://a?sp%69re-x=1&b+c&d;e&%zz=1&spire-y=%zz").unwrap();
    assert_eq!(url.query_keys(), ["spire-x", "b c"]);
}
