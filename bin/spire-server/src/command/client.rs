//! What the commands that talk to a server have in common (SC-220 to SC-227).

use std::path::Path;

use spire_cli::socket::{self, SocketNames};
use spire_cli::{Context, Env, FlagSet, Format, Messages, Outcome, plain_json};
use spire_net::channel;
use spire_net::grpc_status::{code_name, rpc_error_text};
use spire_proto::descriptors;
use spire_proto::types;
use tonic::transport::Channel;
use tonic::{Code, Status};

const SOCKET: SocketNames = SocketNames {
    default_path: "/tmp/spire-server/private/api.sock",
    path_variable: "SPIRE_SERVER_PRIVATE_SOCKET",
    template_variable: "SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE",
    template_missing: "you must define SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE to use the instance flag",
    placeholder_missing: "failed to find %i in SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE",
};

/// Declares `-socketPath`, `-instance` and `-output`.
pub(super) fn flags(flags: &mut FlagSet) {
    socket_flags(flags);
    flags.output("output");
}

/// Declares `-socketPath` and `-instance`.
pub(super) fn socket_flags(flags: &mut FlagSet) {
    flags.string("socketPath", SOCKET.default_path, "Path to the SPIRE Server API socket");
    flags.string(
        "instance",
        "",
        "Instance name to substitute into socket templates (env SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE).",
    );
}

/// A channel to the server that flags and environment choose. Mistakes in the choice come before all others, as
/// upstream has it; whether somebody listens shows at the first call.
pub(super) fn connect(context: &Context<'_>) -> Result<Channel, String> {
    let (flags, env) = (context.flags, &*context.env);
    let path = socket_path(flags.text("socketPath"), flags.text("instance"), env)?;
    Ok(channel::uds(Path::new(&path)))
}

fn socket_path(flag: &str, instance: &str, env: &Env) -> Result<String, String> {
    let path = socket::choose(&SOCKET, flag, instance, &*env.variable)?;
    Ok(match &env.socket_path {
        // An empty path is not the default: it names nothing that could be dialed (SC-221).
        _ if flag.is_empty() => String::new(),
        Some(preset) if path == SOCKET.default_path => preset.clone(),
        _ => path,
    })
}

/// The words for a failed call, behind those for what was tried.
pub(super) fn failed(trying: &'static str) -> impl Fn(Status) -> String {
    move |status| format!("{trying}: {}", rpc_error_text(&status))
}

/// The words for a failed call.
pub(super) fn bare(status: Status) -> String {
    rpc_error_text(&status)
}

/// Prints an answer: as JSON by its proto `name`, or as `pretty` does it.
pub(super) fn print(
    context: &mut Context<'_>,
    name: &str,
    answer: &impl prost::Message,
    pretty: impl FnOnce(&mut Env) -> Outcome,
) -> Outcome {
    match context.flags.format() {
        Format::Json => {
            let value = Messages::new(&[descriptors::API])?.to_value(name, answer)?;
            context.env.out(&format!("{}\n", plain_json(&value)));
            Ok(())
        }
        Format::Pretty => pretty(context.env),
    }
}

/// [`print`] with a text that is known beforehand.
pub(super) fn print_text(
    context: &mut Context<'_>,
    name: &str,
    answer: &impl prost::Message,
    text: &str,
) -> Outcome {
    print(context, name, answer, |env| {
        env.out(text);
        Ok(())
    })
}

/// How an item of a batch failed; `None` if it did not.
pub(super) struct ItemFailure {
    pub(super) code: String,
    pub(super) message: String,
}

impl ItemFailure {
    pub(super) fn of(status: Option<&types::Status>) -> Option<Self> {
        let status = status.filter(|status| status.code != 0)?;
        let code = match status.code {
            code @ 1..=16 => code_name(Code::from_i32(code)).to_owned(),
            other => format!("Code({other})"),
        };
        Some(Self { code, message: status.message.clone() })
    }

    /// `(code: NotFound, msg: "…")`.
    pub(super) fn in_brackets(&self) -> String {
        format!("(code: {}, msg: {})", self.code, spire_runtime::logging::go_quote(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(preset: Option<&str>, variables: &'static [(&str, &str)]) -> Env {
        let find = move |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Env { variable: Box::new(find), socket_path: preset.map(str::to_owned), ..Env::of_process() }
    }

    #[test]
    fn the_socket_is_chosen_by_flag_instance_variable_and_default() {
        // SC-221
        const BOTH: &[(&str, &str)] = &[
            ("SPIRE_SERVER_PRIVATE_SOCKET", "/env"),
            ("SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE", "/run/%i/%i.sock"),
        ];
        let default = SOCKET.default_path;
        for (flag, instance, preset, variables, expected) in [
            ("/flag", "a", Some("/preset"), BOTH, "/flag"),
            (default, "a", Some("/preset"), BOTH, "/run/a/a.sock"),
            (default, "", Some("/preset"), BOTH, "/env"),
            (default, "", Some("/preset"), &[][..], "/preset"),
            (default, "", None, &[][..], default),
            ("", "", None, BOTH, ""),
        ] {
            let env = env(preset, variables);
            assert_eq!(socket_path(flag, instance, &env).unwrap(), expected, "{flag} {instance} {preset:?}");
        }
    }

    #[test]
    fn an_instance_needs_a_template_even_when_the_flag_wins() {
        // SC-222
        let error = socket_path("/flag", "a", &env(None, &[])).unwrap_err();
        assert_eq!(error, "you must define SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE to use the instance flag");
        let useless = env(None, &[("SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE", "/x")]);
        let error = socket_path("/flag", "a", &useless).unwrap_err();
        assert_eq!(error, "failed to find %i in SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE");
    }

    #[test]
    fn failed_items_are_told_by_the_names_of_their_codes() {
        // SC-246
        let shown = |code| {
            let status = types::Status { code, message: "no \"x\"".into() };
            ItemFailure::of(Some(&status)).map(|failure| failure.in_brackets())
        };
        assert_eq!(shown(0), None);
        assert_eq!(shown(5).unwrap(), r#"(code: NotFound, msg: "no \"x\"")"#);
        assert_eq!(shown(99).unwrap(), r#"(code: Code(99), msg: "no \"x\"")"#);
        assert!(ItemFailure::of(None).is_none());
    }
}
