//! `spire-dev [flags]`, `spire-dev [-dir D] server …`, `spire-dev [-dir D] agent …`.

use std::path::PathBuf;

use spire_cli::FlagSet;
use spire_types::TrustDomain;

use crate::cluster::Site;
use crate::folder::Folder;

const DEFAULT_TRUST_DOMAIN: &str = "dev.test";
const DEFAULT_PORT: i64 = 8081;
/// Where everything lies unless `-dir` says otherwise.
const FOLDER_VARIABLE: &str = "SPIRE_DEV_DIR";

#[derive(Debug)]
pub(crate) struct Options {
    pub folder: Folder,
    pub site: Site,
    /// Those of the flags for the site that were on the command line.
    pub asked: Vec<&'static str>,
    pub action: Action,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start server and agent.
    Up,
    /// A command of `spire-server`.
    Server(Vec<String>),
    /// A command of `spire-agent`.
    Agent(Vec<String>),
}

/// What to print instead of doing anything, and the exit code.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub text: String,
    pub code: i32,
}

pub(crate) fn parse(args: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Result<Options, Mistake> {
    let (own, command) = args.split_at(first_word(args).unwrap_or(args.len()));
    let mut flags = declared();
    if own.iter().any(|arg| matches!(arg.as_str(), "-h" | "-help" | "--help")) {
        return Err(Mistake { text: help(&flags), code: 0 });
    }
    flags.parse(own).map_err(|error| Mistake { text: format!("{error}\n{}", help(&flags)), code: 1 })?;
    let mistake = |text: String| Mistake { text: format!("{text}\n"), code: 1 };
    let action = match command {
        [] => Action::Up,
        [word, rest @ ..] if word == "server" => Action::Server(rest.to_vec()),
        [word, rest @ ..] if word == "agent" => Action::Agent(rest.to_vec()),
        [word, ..] => {
            return Err(mistake(format!(
                "unknown command {word:?}; it is `server …`, `agent …` or flags only"
            )));
        }
    };
    if flags.is("ephemeral") && (action != Action::Up || flags.given("dir")) {
        return Err(mistake(
            "-ephemeral starts a cluster in a new folder; it goes neither with -dir nor with a command"
                .to_owned(),
        ));
    }
    let trust_domain: TrustDomain = flags
        .text("trustDomain")
        .parse()
        .map_err(|error| mistake(format!("invalid -trustDomain {:?}: {error}", flags.text("trustDomain"))))?;
    let port = u16::try_from(flags.number("port"))
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| mistake(format!("invalid -port {}; use 1 to 65535", flags.number("port"))))?;
    let folder = match flags.is("ephemeral") {
        true => Folder::ephemeral().map_err(|error| mistake(error.to_string()))?,
        false => Folder::at(chosen_folder(flags.text("dir"), variable).map_err(mistake)?),
    };
    let asked = ["port", "trustDomain"].into_iter().filter(|name| flags.given(name)).collect();
    Ok(Options { folder, site: Site { trust_domain, port }, asked, action })
}

fn declared() -> FlagSet {
    let mut flags = FlagSet::new("spire-dev");
    flags.string(
        "dir",
        "",
        "Folder of the database, keys, sockets and log (env SPIRE_DEV_DIR; default ~/.spire-dev)",
    );
    flags.bool("ephemeral", "Use a new folder and remove it at the end");
    flags.int("port", DEFAULT_PORT, "Port of the server on 127.0.0.1");
    flags.string("trustDomain", DEFAULT_TRUST_DOMAIN, "Trust domain, when the folder is new");
    flags
}

fn help(flags: &FlagSet) -> String {
    format!(
        "Starts a SPIRE server and agent in one process, for development.\n\n\
         spire-dev [flags]                   start both, until Ctrl-C\n\
         spire-dev [-dir D] server COMMAND   a command of spire-server, for example: entry show\n\
         spire-dev [-dir D] agent COMMAND    a command of spire-agent, for example: api fetch x509\n\n{}",
        flags.usage()
    )
}

/// Where the first word is that is no flag and no value of one.
fn first_word(args: &[String]) -> Option<usize> {
    let mut args = args.iter().enumerate();
    while let Some((at, arg)) = args.next() {
        if !arg.starts_with('-') {
            return Some(at);
        }
        let takes_value = !arg.contains('=') && !arg.trim_start_matches('-').eq("ephemeral");
        if takes_value {
            args.next();
        }
    }
    None
}

fn chosen_folder(flag: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
    let given = Some(flag.to_owned()).filter(|dir| !dir.is_empty()).or_else(|| variable(FOLDER_VARIABLE));
    let chosen = match given.filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => variable("HOME")
            .map(|home| PathBuf::from(home).join(".spire-dev"))
            .ok_or("HOME is not set; say with -dir where to keep things")?,
    };
    std::path::absolute(&chosen).map_err(|error| format!("invalid folder {}: {error}", chosen.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, Mistake> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        parse(&args, &|name| (name == "HOME").then(|| "/home/x".to_owned()))
    }

    #[test]
    fn the_ordinary_commands_follow_the_word_server_or_agent() {
        let options = parsed(&["-dir", "/d", "server", "entry", "show"]).unwrap();
        assert_eq!(options.action, Action::Server(vec!["entry".into(), "show".into()]));
        assert_eq!(options.folder.path(), std::path::Path::new("/d"));
        let options = parsed(&["agent", "api", "fetch"]).unwrap();
        assert_eq!(options.action, Action::Agent(vec!["api".into(), "fetch".into()]));
        assert_eq!(options.folder.path(), std::path::Path::new("/home/x/.spire-dev"));
        let options = parsed(&["-dir", "/server", "-trustDomain", "agent"]).unwrap();
        assert_eq!((options.action, options.asked), (Action::Up, vec!["trustDomain"]));
    }

    #[test]
    fn mistakes_name_the_flag_and_the_value() {
        for (args, expected) in [
            (&["-port", "0"][..], "invalid -port 0"),
            (&["-port", "70000"], "invalid -port 70000"),
            (&["-trustDomain", "A b"], "invalid -trustDomain \"A b\""),
            (&["-nosuch"], "flag provided but not defined: -nosuch"),
            (&["entry", "show"], "unknown command \"entry\""),
            (&["-ephemeral", "server", "entry", "show"], "-ephemeral starts a cluster"),
            (&["--ephemeral", "-dir", "/d"], "-ephemeral starts a cluster"),
        ] {
            let mistake = parsed(args).unwrap_err();
            assert!(mistake.text.contains(expected) && mistake.code == 1, "{args:?}: {}", mistake.text);
        }
        assert_eq!(parsed(&["-h"]).unwrap_err().code, 0);
    }
}
