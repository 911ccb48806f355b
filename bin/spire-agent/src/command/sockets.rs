//! Which of the agent's two sockets a client command talks to (AG-164 to AG-167).

use std::path::Path;

use spire_cli::socket::{self, SocketNames};
use spire_cli::{Context, Env, FlagSet};
use spire_net::channel;
use spire_net::grpc_status::rpc_error_text;
use tonic::Status;
use tonic::transport::Channel;

use crate::config_file::DEFAULT_SOCKET_PATH;
use crate::paths;

const DEFAULT_ADMIN_SOCKET_PATH: &str = "/tmp/spire-agent/private/admin.sock";

const PUBLIC: SocketNames = SocketNames {
    default_path: DEFAULT_SOCKET_PATH,
    path_variable: "SPIRE_AGENT_PUBLIC_SOCKET",
    template_variable: "SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE",
    // The space is upstream's (AG-166).
    template_missing: " SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE environment variable must be defined when using the \
                       instance flag",
    placeholder_missing: "failed to find %i in SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE",
};

/// Declares `-socketPath` and `-instance`.
pub(super) fn public_flags(flags: &mut FlagSet, usage: &'static str) {
    flags.string("socketPath", PUBLIC.default_path, usage);
    flags.string(
        "instance",
        "",
        "Instance name to substitute into socket templates (env SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE).",
    );
}

/// A channel to the socket of the Workload API.
pub(super) fn public(context: &Context<'_>) -> Result<Channel, String> {
    let (flags, env) = (context.flags, &*context.env);
    let path = public_path(flags.text("socketPath"), flags.text("instance"), env)?;
    Ok(channel::uds(Path::new(&paths::absolute(&path)?)))
}

fn public_path(flag: &str, instance: &str, env: &Env) -> Result<String, String> {
    let path = socket::choose(&PUBLIC, flag, instance, &*env.variable)?;
    Ok(match &env.socket_path {
        // An empty path made absolute is the working directory, where nobody listens.
        _ if flag.is_empty() => ".".to_owned(),
        Some(preset) if path == PUBLIC.default_path => preset.clone(),
        _ => path,
    })
}

/// A failed call to the public socket. Here the path is shown as it is, unlike everywhere else.
pub(super) fn public_error(status: &Status) -> String {
    rpc_error_text(status).replacen("dial unix ///", "dial unix /", 1)
}

/// Declares `-socketPath`.
pub(super) fn admin_flags(flags: &mut FlagSet) {
    flags.string("socketPath", DEFAULT_ADMIN_SOCKET_PATH, "Path to the SPIRE Agent admin API socket");
}

/// A channel to the admin socket; neither instances nor variables lead there (AG-167).
pub(super) fn admin(context: &Context<'_>) -> Channel {
    channel::uds(Path::new(admin_path(context.flags.text("socketPath"), context.env)))
}

fn admin_path<'a>(flag: &'a str, env: &'a Env) -> &'a str {
    match (flag, &env.admin_socket_path) {
        ("" | DEFAULT_ADMIN_SOCKET_PATH, Some(preset)) => preset,
        ("", None) => DEFAULT_ADMIN_SOCKET_PATH,
        (path, _) => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(socket: Option<&str>, variables: &'static [(&str, &str)]) -> Env {
        let find = move |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Env {
            variable: Box::new(find),
            socket_path: socket.map(str::to_owned),
            admin_socket_path: socket.map(|path| format!("{path}.admin")),
            ..Env::of_process()
        }
    }

    #[test]
    fn the_public_socket_is_chosen_by_flag_instance_variable_and_default() {
        // AG-165, AG-166
        const BOTH: &[(&str, &str)] =
            &[("SPIRE_AGENT_PUBLIC_SOCKET", "/env"), ("SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE", "/run/%i.sock")];
        for (flag, instance, preset, variables, expected) in [
            ("/flag", "a", Some("/preset"), BOTH, "/flag"),
            (DEFAULT_SOCKET_PATH, "a", Some("/preset"), BOTH, "/run/a.sock"),
            (DEFAULT_SOCKET_PATH, "", Some("/preset"), BOTH, "/env"),
            (DEFAULT_SOCKET_PATH, "", Some("/preset"), &[][..], "/preset"),
            (DEFAULT_SOCKET_PATH, "", None, &[][..], DEFAULT_SOCKET_PATH),
            ("", "", None, BOTH, "."),
        ] {
            let env = env(preset, variables);
            assert_eq!(public_path(flag, instance, &env).unwrap(), expected, "{flag} {instance} {preset:?}");
        }
        let error = public_path("/flag", "a", &env(None, &[])).unwrap_err();
        assert!(error.starts_with(" SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE environment variable"), "{error}");
    }

    #[test]
    fn the_admin_socket_has_a_default_and_nothing_else() {
        // AG-167
        assert_eq!(admin_path("", &env(None, &[])), DEFAULT_ADMIN_SOCKET_PATH);
        assert_eq!(admin_path("/x", &env(Some("/p"), &[])), "/x");
        assert_eq!(admin_path(DEFAULT_ADMIN_SOCKET_PATH, &env(Some("/p"), &[])), "/p.admin");
    }
}
