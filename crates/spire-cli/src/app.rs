//! The tree of commands, its help and its exit codes (SC-200 to SC-214).

use std::io::Write;

use futures::future::BoxFuture;

use crate::flags::{FlagError, FlagSet};

/// Finds an environment variable.
type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where a command writes and what it finds around it.
pub struct Env {
    pub stdout: Box<dyn Write + Send>,
    pub stderr: Box<dyn Write + Send>,
    pub variable: Lookup,
    /// Takes the place of the default socket path, for programs that embed the commands.
    pub socket_path: Option<String>,
    /// The same for the second socket of a program that has two, the agent's admin socket.
    pub admin_socket_path: Option<String>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("socket_path", &self.socket_path).finish_non_exhaustive()
    }
}

impl Env {
    /// The process's own.
    pub fn of_process() -> Self {
        Self {
            stdout: Box::new(std::io::stdout()),
            stderr: Box::new(std::io::stderr()),
            variable: Box::new(|name| std::env::var(name).ok()),
            socket_path: None,
            admin_socket_path: None,
        }
    }

    /// A closed pipe is the reader's choice, not an error of ours.
    pub fn out(&mut self, text: &str) {
        let _ = self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush());
    }

    pub fn err(&mut self, text: &str) {
        let _ = self.stderr.write_all(text.as_bytes()).and_then(|()| self.stderr.flush());
    }
}

/// How a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Shown on standard error, exit code 1.
    Message(String),
    /// All has been said; only the exit code is left.
    Code(i32),
}

impl<T: Into<String>> From<T> for Failure {
    fn from(text: T) -> Self {
        Self::Message(text.into())
    }
}

pub type Outcome = Result<(), Failure>;

/// What a command gets to do its work.
#[derive(Debug)]
pub struct Context<'a> {
    pub flags: &'a FlagSet,
    pub env: &'a mut Env,
}

/// How mistakes in flags and failures are shown; the commands differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStyle {
    /// `Error: …` (SC-224).
    Prefixed,
    /// The bare text.
    Bare,
    /// The bare text, and a flag mistake once more after the usage (SC-214, AG-156).
    Repeated,
    /// As before, behind these words (SC-214).
    RepeatedAfter(&'static str),
}

type Run = for<'a> fn(Context<'a>) -> BoxFuture<'a, Outcome>;

/// One command.
#[derive(Clone, Copy)]
pub struct Command {
    /// `entry create`.
    pub path: &'static str,
    /// The name in its usage text.
    pub usage_name: &'static str,
    pub synopsis: &'static str,
    pub style: ErrorStyle,
    pub flags: fn(&mut FlagSet),
    pub run: Run,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.path)
    }
}

/// A program of commands.
#[derive(Debug)]
pub struct App {
    pub name: &'static str,
    pub version: &'static str,
    pub commands: Vec<Command>,
}

/// What the arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Empty: none was named.
    path: String,
    args: Vec<String>,
    help: bool,
    version: bool,
    flags_before: bool,
}

const GROUP_HELP: &str = "This command is accessed by using one of the subcommands below.";
const MISPLACED: &str = "Invalid flags before the subcommand. If these flags are for\nthe subcommand, please put them after the subcommand.\n\n";

impl App {
    fn command(&self, path: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.path == path)
    }

    fn is_group(&self, path: &str) -> bool {
        self.commands
            .iter()
            .any(|command| command.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(' ')))
    }

    /// Runs what the arguments (without the program's name) ask for; returns the exit code.
    pub async fn run(&self, args: &[String], env: &mut Env) -> i32 {
        let request = self.understand(args);
        if request.version {
            env.err(&format!("{}\n", self.version));
            return 0;
        }
        if request.path.is_empty() && request.help {
            env.err(&self.top_help());
            return 0;
        }
        let (command, group) = (self.command(&request.path), self.is_group(&request.path));
        if request.path.is_empty() || (command.is_none() && !group) {
            env.err(&self.top_help());
            return 127;
        }
        if request.help {
            env.err(&self.help(&request.path));
            return 0;
        }
        if request.flags_before {
            env.err(MISPLACED);
            env.err(&self.help(&request.path));
            return 1;
        }
        match command {
            Some(command) => self.execute(command, &request.args, env).await,
            None => {
                env.err(&self.help(&request.path));
                1
            }
        }
    }

    /// The longest command that the words up to the first flag begin with.
    fn understand(&self, args: &[String]) -> Request {
        let mut request = Request::default();
        let mut index = 0;
        while index < args.len() {
            let arg = args[index].as_str();
            if arg == "--" {
                break;
            }
            if matches!(arg, "-h" | "-help" | "--help") {
                request.help = true;
                index += 1;
                continue;
            }
            if request.path.is_empty() {
                if matches!(arg, "-v" | "-version" | "--version") {
                    request.version = true;
                    index += 1;
                    continue;
                }
                if arg.starts_with('-') {
                    request.flags_before = true;
                } else if !arg.is_empty() {
                    if arg.contains(' ') {
                        return Request { path: String::new(), ..request };
                    }
                    let words =
                        args[index..].iter().take_while(|word| !word.starts_with('-') && !word.contains(' '));
                    let words: Vec<&str> =
                        words.map(String::as_str).filter(|word| !word.is_empty()).collect();
                    let known = (1..=words.len())
                        .rev()
                        .map(|n| words[..n].join(" "))
                        .find(|path| self.command(path).is_some() || self.is_group(path));
                    request.path = known.unwrap_or_else(|| arg.to_owned());
                    index += request.path.matches(' ').count();
                    request.args = args[index + 1..].to_vec();
                }
            }
            index += 1;
        }
        request
    }

    async fn execute(&self, command: &Command, args: &[String], env: &mut Env) -> i32 {
        let mut flags = FlagSet::new(command.usage_name);
        (command.flags)(&mut flags);
        if let Err(error) = flags.parse(args) {
            if let FlagError::Bad(text) = &error {
                env.err(&format!("{text}\n"));
            }
            env.err(&flags.usage());
            match command.style {
                ErrorStyle::Repeated => env.err(&format!("{error}\n")),
                ErrorStyle::RepeatedAfter(words) => env.err(&format!("{words}{error}\n")),
                ErrorStyle::Prefixed | ErrorStyle::Bare => {}
            }
            return 1;
        }
        match (command.run)(Context { flags: &flags, env }).await {
            Ok(()) => 0,
            Err(Failure::Code(code)) => code,
            Err(Failure::Message(text)) => {
                match command.style {
                    ErrorStyle::Prefixed => env.err(&format!("Error: {text}\n")),
                    _ => env.err(&format!("{text}\n")),
                }
                1
            }
        }
    }

    fn top_help(&self) -> String {
        let mut out = format!(
            "Usage: {} [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n",
            self.name
        );
        out.push_str(&self.listing(""));
        out.push('\n');
        out
    }

    /// Aligned names below a prefix, with what they do.
    fn listing(&self, prefix: &str) -> String {
        let children = self.children(prefix);
        let width = children.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        children.iter().map(|(name, synopsis)| format!("    {name:<width$}    {synopsis}\n")).collect()
    }

    fn children(&self, prefix: &str) -> Vec<(&'static str, &'static str)> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        for command in &self.commands {
            let rest = match prefix {
                "" => Some(command.path),
                _ => command.path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(' ')),
            };
            let Some(rest) = rest else { continue };
            let (name, synopsis) = match rest.split_once(' ') {
                Some((name, _)) => (name, ""),
                None => (rest, command.synopsis),
            };
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some(known) if known.1.is_empty() => known.1 = synopsis,
                Some(_) => {}
                None => all.push((name, synopsis)),
            }
        }
        all.sort_unstable();
        all
    }

    /// The usage of a command, and of every command directly below it.
    fn help(&self, path: &str) -> String {
        let flags_of = |command: &Command| {
            let mut flags = FlagSet::new(command.usage_name);
            (command.flags)(&mut flags);
            flags
        };
        let usage = |command: &Command| flags_of(command).usage();
        let mut out = String::new();
        let own = self.command(path).map(flags_of);
        out.extend(own.as_ref().map(FlagSet::usage));
        let listing = self.listing(path);
        for (name, _) in self.children(path) {
            out.extend(self.command(&format!("{path} {name}")).map(usage));
        }
        out.push_str(own.as_ref().map_or(GROUP_HELP, FlagSet::help_ending));
        if !listing.is_empty() {
            out.push_str("\n\nSubcommands:\n");
            out.push_str(listing.trim_end_matches('\n'));
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        let command = |path: &'static str| Command {
            path,
            usage_name: path,
            synopsis: "does it",
            style: ErrorStyle::Prefixed,
            flags: |flags| flags.bool("x", "An x"),
            run: |_| Box::pin(async { Err("no".into()) }),
        };
        App {
            name: "prog",
            version: "1.2.3",
            commands: vec![command("run"), command("entry create"), command("entry show")],
        }
    }

    fn run(args: &[&str]) -> i32 {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let mut env =
            Env { stdout: Box::new(std::io::sink()), stderr: Box::new(std::io::sink()), ..Env::of_process() };
        let app = app();
        let mut future = std::pin::pin!(app.run(&args, &mut env));
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(code) => code,
            std::task::Poll::Pending => panic!("nothing waits here"),
        }
    }

    #[test]
    fn exit_codes_are_the_frameworks() {
        // SC-203 to SC-207, SC-550
        for (args, code) in [
            (&[][..], 127),
            (&["nothing"], 127),
            (&["-h"], 0),
            (&["--version"], 0),
            (&["entry"], 1),
            (&["entry", "nothing"], 1),
            (&["entry", "-h"], 0),
            (&["entry", "create", "-h"], 0),
            (&["-x", "run"], 1),
            (&["run"], 1),
            (&["run", "-y"], 1),
        ] {
            assert_eq!(run(args), code, "{args:?}");
        }
    }
}
