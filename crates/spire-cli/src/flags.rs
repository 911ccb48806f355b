//! Flags as Go's `flag` package reads them (SC-209 to SC-213).

use std::fmt::Write as _;

use spire_config::duration::{self, GoDuration};
use spire_config::{IntError, parse_int};

use crate::output::Format;

/// Why the arguments were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("flag: help requested")]
    Help,
    #[error("{0}")]
    Bad(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    String(String),
    Int(i64),
    Bool(bool),
    /// Set by any value (SC-252).
    Switch(bool),
    Duration(GoDuration),
    /// A duration whose mistakes are told in the parser's own words (AG-168).
    PlainDuration(GoDuration),
    /// Each use adds one.
    List(Vec<String>),
    /// One list in a single text, a repeat replaces (AG-175).
    CommaList(Vec<String>),
    Output(Option<Format>),
    /// Another name of an output flag.
    AliasOf(&'static str),
}

#[derive(Debug, Clone)]
struct Flag {
    name: &'static str,
    usage: &'static str,
    value: Value,
    /// What the usage text shows.
    default: Value,
    set: bool,
}

/// The flags of one command and, after parsing, their values.
#[derive(Debug, Clone)]
pub struct FlagSet {
    name: &'static str,
    flags: Vec<Flag>,
    help_ending: &'static str,
}

impl FlagSet {
    /// `name` stands in `Usage of <name>:`.
    pub fn new(name: &'static str) -> Self {
        Self { name, flags: Vec::new(), help_ending: "flag: help requested" }
    }

    /// Leaves out the line that ends most help texts; some commands have none (AG-154).
    pub fn without_help_ending(&mut self) {
        self.help_ending = "";
    }

    pub(crate) fn help_ending(&self) -> &'static str {
        self.help_ending
    }

    fn add(&mut self, name: &'static str, usage: &'static str, value: Value) {
        self.flags.push(Flag { name, usage, default: value.clone(), value, set: false });
    }

    pub fn string(&mut self, name: &'static str, default: &str, usage: &'static str) {
        self.add(name, usage, Value::String(default.to_owned()));
    }

    pub fn int(&mut self, name: &'static str, default: i64, usage: &'static str) {
        self.add(name, usage, Value::Int(default));
    }

    pub fn bool(&mut self, name: &'static str, usage: &'static str) {
        self.add(name, usage, Value::Bool(false));
    }

    /// A bool that every value sets, `false` as well (SC-252).
    pub fn switch(&mut self, name: &'static str, usage: &'static str) {
        self.add(name, usage, Value::Switch(false));
    }

    pub fn duration(&mut self, name: &'static str, default: GoDuration, usage: &'static str) {
        self.add(name, usage, Value::Duration(default));
    }

    /// A duration of the type word `value`, with the parser's own words for mistakes (AG-168).
    pub fn plain_duration(&mut self, name: &'static str, default: GoDuration, usage: &'static str) {
        self.add(name, usage, Value::PlainDuration(default));
    }

    /// A flag that may be given several times.
    pub fn list(&mut self, name: &'static str, usage: &'static str) {
        self.add(name, usage, Value::List(Vec::new()));
    }

    pub fn comma_list(&mut self, name: &'static str, usage: &'static str) {
        self.add(name, usage, Value::CommaList(Vec::new()));
    }

    /// `-output pretty|json` (SC-226, AG-159).
    pub fn output(&mut self, name: &'static str) {
        self.add(name, "Desired output format (pretty, json); default: pretty.", Value::Output(None));
    }

    /// Another name of the output flag `of`; both set one value (AG-175).
    pub fn output_alias(&mut self, name: &'static str, usage: &'static str, of: &'static str) {
        self.add(name, usage, Value::AliasOf(of));
    }

    fn find(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }

    pub fn text(&self, name: &str) -> &str {
        match self.find(name).map(|flag| &flag.value) {
            Some(Value::String(text)) => text,
            _ => "",
        }
    }

    pub fn number(&self, name: &str) -> i64 {
        match self.find(name).map(|flag| &flag.value) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    pub fn is(&self, name: &str) -> bool {
        matches!(self.find(name).map(|flag| &flag.value), Some(Value::Bool(true) | Value::Switch(true)))
    }

    pub fn time(&self, name: &str) -> GoDuration {
        match self.find(name).map(|flag| &flag.value) {
            Some(Value::Duration(duration) | Value::PlainDuration(duration)) => *duration,
            _ => GoDuration::default(),
        }
    }

    pub fn texts(&self, name: &str) -> &[String] {
        match self.find(name).map(|flag| &flag.value) {
            Some(Value::List(list) | Value::CommaList(list)) => list,
            _ => &[],
        }
    }

    /// The chosen format; the first output flag that was given counts.
    pub fn format(&self) -> Format {
        let chosen = self.flags.iter().find_map(|flag| match flag.value {
            Value::Output(Some(format)) => Some(format),
            _ => None,
        });
        chosen.unwrap_or(Format::Pretty)
    }

    /// Whether the flag was given, whatever its value.
    pub fn given(&self, name: &str) -> bool {
        self.find(name).is_some_and(|flag| flag.set)
    }

    /// Reads up to the first word that is no flag, or `--`; what follows is ignored.
    pub fn parse(&mut self, args: &[String]) -> Result<(), FlagError> {
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(rest) = arg.strip_prefix('-').filter(|rest| !rest.is_empty()) else { return Ok(()) };
            let rest = match rest.strip_prefix('-') {
                Some("") => return Ok(()),
                Some(rest) => rest,
                None => rest,
            };
            if rest.starts_with(['-', '=']) {
                return Err(FlagError::Bad(format!("bad flag syntax: {arg}")));
            }
            let (name, mut value) = match rest.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (rest, None),
            };
            let Some(index) = self.flags.iter().position(|flag| flag.name == name) else {
                return Err(match name {
                    "h" | "help" => FlagError::Help,
                    _ => FlagError::Bad(format!("flag provided but not defined: -{name}")),
                });
            };
            if matches!(self.flags[index].value, Value::Switch(_)) {
                let flag = &mut self.flags[index];
                (flag.value, flag.set) = (Value::Switch(true), true);
                continue;
            }
            if matches!(self.flags[index].value, Value::Bool(_)) {
                let text = value.unwrap_or_else(|| "true".to_owned());
                self.set_bool(index, &text)?;
                continue;
            }
            if value.is_none() {
                value = args.next().cloned();
            }
            let Some(value) = value else {
                return Err(FlagError::Bad(format!("flag needs an argument: -{name}")));
            };
            self.set(index, &value)?;
        }
        Ok(())
    }

    fn set_bool(&mut self, index: usize, text: &str) -> Result<(), FlagError> {
        let flag = &mut self.flags[index];
        let value = match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => {
                let text = format!("invalid boolean value {} for -{}: parse error", quote(text), flag.name);
                return Err(FlagError::Bad(text));
            }
        };
        flag.value = Value::Bool(value);
        flag.set = true;
        Ok(())
    }

    fn set(&mut self, index: usize, text: &str) -> Result<(), FlagError> {
        let name = self.flags[index].name;
        let bad = |reason: &str| {
            FlagError::Bad(format!("invalid value {} for flag -{name}: {reason}", quote(text)))
        };
        self.flags[index].set = true;
        let target = match self.flags[index].value {
            Value::AliasOf(of) => self.flags.iter().position(|flag| flag.name == of).unwrap_or(index),
            _ => index,
        };
        let flag = &mut self.flags[target];
        match &mut flag.value {
            Value::String(value) => text.clone_into(value),
            Value::Bool(_) | Value::Switch(_) | Value::AliasOf(_) => {}
            Value::Int(value) => *value = integer(text).map_err(bad)?,
            Value::Duration(value) => *value = duration::parse(text).map_err(|_| bad("parse error"))?,
            Value::PlainDuration(value) => {
                *value = duration::parse(text).map_err(|error| bad(&error.to_string()))?;
            }
            Value::List(list) => list.push(text.to_owned()),
            Value::CommaList(list) => *list = text.split(',').map(str::to_owned).collect(),
            Value::Output(chosen) => {
                let format = Format::parse(text).ok_or_else(|| {
                    bad(&format!("bad formatter flag: unknown format option: {}", quote(text)))
                })?;
                match *chosen {
                    Some(before) if before != format => {
                        let text = format!("the output format has already been set to {:?}", before.name());
                        return Err(bad(&text));
                    }
                    _ => *chosen = Some(format),
                }
            }
        }
        Ok(())
    }

    /// Go's usage text: sorted, type words, defaults (SC-210).
    pub fn usage(&self) -> String {
        let mut out = format!("Usage of {}:\n", self.name);
        let mut flags: Vec<&Flag> = self.flags.iter().collect();
        flags.sort_by_key(|flag| flag.name);
        for flag in flags {
            let (word, default) = match &flag.default {
                Value::String(text) => ("string", (!text.is_empty()).then(|| quote(text))),
                Value::Int(number) => ("int", (*number != 0).then(|| number.to_string())),
                Value::Bool(value) => ("", value.then(|| "true".to_owned())),
                Value::Switch(_) => ("", None),
                Value::Duration(value) => ("duration", (value.0 != 0).then(|| value.to_string())),
                Value::PlainDuration(value) => ("value", (value.0 != 0).then(|| value.to_string())),
                Value::List(_) | Value::CommaList(_) | Value::Output(_) | Value::AliasOf(_) => {
                    ("value", None)
                }
            };
            let _ = write!(out, "  -{}", flag.name);
            if !word.is_empty() {
                let _ = write!(out, " {word}");
            }
            let _ = write!(out, "\n    \t{}", flag.usage.replace('\n', "\n    \t"));
            if let Some(default) = default {
                let _ = write!(out, " (default {default})");
            }
            out.push('\n');
        }
        out
    }
}

/// Base prefixes count, as in Go.
fn integer(text: &str) -> Result<i64, &'static str> {
    parse_int(text).map_err(|error| match error {
        IntError::Syntax => "parse error",
        IntError::Range => "value out of range",
    })
}

/// Go's `%q`.
pub(crate) fn quote(text: &str) -> String {
    crate::go_text::quote(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> FlagSet {
        let mut flags = FlagSet::new("entry create");
        flags.string("socketPath", "/tmp/x", "Where the server is");
        flags.int("ttl", 0, "Seconds");
        flags.bool("admin", "An admin");
        flags.list("dns", "A name");
        flags.duration("expiredFor", GoDuration::from_secs(60), "How long");
        flags.output("output");
        flags
    }

    fn parse(args: &[&str]) -> Result<FlagSet, String> {
        let mut flags = set();
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        flags.parse(&args).map(|()| flags).map_err(|error| error.to_string())
    }

    #[test]
    fn all_of_gos_spellings_are_understood() {
        // SC-209
        let flags = parse(&[
            "-socketPath",
            "a",
            "--ttl=0x10",
            "-admin",
            "-dns",
            "x",
            "--dns",
            "y",
            "word",
            "-ttl",
            "9",
        ]);
        let flags = flags.unwrap();
        assert_eq!((flags.text("socketPath"), flags.number("ttl"), flags.is("admin")), ("a", 16, true));
        assert_eq!(flags.texts("dns"), ["x", "y"]);
        assert!(!parse(&["-admin=false"]).unwrap().is("admin"));
        assert_eq!(parse(&["--", "-ttl", "1"]).unwrap().number("ttl"), 0);
    }

    #[test]
    fn mistakes_have_gos_texts() {
        // SC-213, SC-226
        for (args, text) in [
            (&["-x"][..], "flag provided but not defined: -x"),
            (&["-ttl"], "flag needs an argument: -ttl"),
            (&["-expiredFor", "5d"], "invalid value \"5d\" for flag -expiredFor: parse error"),
            (&["-admin=x"], "invalid boolean value \"x\" for -admin: parse error"),
            (&["-ttl", "x"], "invalid value \"x\" for flag -ttl: parse error"),
            (&["-ttl", "1__0"], "invalid value \"1__0\" for flag -ttl: parse error"),
            (
                &["-ttl", "9223372036854775808"],
                "invalid value \"9223372036854775808\" for flag -ttl: value out of range",
            ),
            (&["-h"], "flag: help requested"),
            (&["---x"], "bad flag syntax: ---x"),
            (
                &["-output", "yaml"],
                "invalid value \"yaml\" for flag -output: bad formatter flag: unknown format option: \"yaml\"",
            ),
            (
                &["-output", "json", "-output", "pretty"],
                "invalid value \"pretty\" for flag -output: the output format has already been set to \"json\"",
            ),
        ] {
            assert_eq!(parse(args).unwrap_err(), text);
        }
    }

    #[test]
    fn usage_is_laid_out_as_gos() {
        // SC-210
        let usage = set().usage();
        assert!(
            usage.starts_with(
                "Usage of entry create:\n  -admin\n    \tAn admin\n  -dns value\n    \tA name\n"
            ),
            "{usage}"
        );
        assert!(usage.contains("  -expiredFor duration\n    \tHow long (default 1m0s)\n"), "{usage}");
        assert!(
            usage.contains("  -socketPath string\n    \tWhere the server is (default \"/tmp/x\")\n"),
            "{usage}"
        );
    }

    #[test]
    fn a_switch_is_set_by_any_value() {
        // SC-252
        for args in [["-on"], ["-on=false"], ["-on=what"]] {
            let mut flags = FlagSet::new("x");
            flags.switch("on", "Set it");
            flags.parse(&args.map(str::to_owned)).unwrap();
            assert!(flags.is("on"), "{args:?}");
            assert_eq!(flags.usage(), "Usage of x:\n  -on\n    \tSet it\n");
        }
    }

    #[test]
    fn usage_shows_defaults_whatever_was_given() {
        // SC-210
        let flags = parse(&["-socketPath", "/other", "-admin"]).unwrap();
        assert_eq!(flags.usage(), set().usage());
    }

    #[test]
    fn an_alias_sets_the_flag_it_stands_for() {
        // AG-175
        let mut flags = set();
        flags.output_alias("format", "deprecated; use -output", "output");
        let args = ["-format", "json", "-output", "pretty"].map(str::to_owned);
        assert_eq!(
            flags.parse(&args).unwrap_err().to_string(),
            "invalid value \"pretty\" for flag -output: the output format has already been set to \"json\""
        );
        assert_eq!(flags.format(), Format::Json);
    }

    #[test]
    fn a_plain_duration_is_a_value_and_explains_its_mistakes() {
        // AG-157, AG-168
        let mut flags = FlagSet::new("fetch x509");
        flags.plain_duration("timeout", GoDuration::from_secs(5), "Time to wait for a response");
        assert!(
            flags.usage().ends_with("  -timeout value\n    \tTime to wait for a response (default 5s)\n")
        );
        let error = flags.parse(&["-timeout=5".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "invalid value \"5\" for flag -timeout: time: missing unit in duration \"5\"");
    }

    proptest::proptest! {
        #[test]
        fn no_arguments_make_the_parser_panic(args: Vec<String>) {
            let _ = set().parse(&args);
        }
    }
}
