//! Which of the agent's two sockets a client command talks to (AG-164 to AG-167).

use std::path::Path;

use spire_cli::socket::{self, SocketNames};
use spire_cli::{Context, FlagSet};
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
    let (flag, instance) = (context.flags.text("socketPath"), context.flags.text("instance"));
    let path = socket::choose(&PUBLIC, flag, instance, &*context.env.variable)?;
    let path = match &context.env.socket_path {
        // An empty path made absolute is the working directory, where nobody listens.
        _ if flag.is_empty() => ".".to_owned(),
        Some(preset) if path == PUBLIC.default_path => preset.clone(),
        _ => path,
    };
    Ok(channel::uds(Path::new(&paths::absolute(&path)?)))
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
    let path = match (context.flags.text("socketPath"), &context.env.admin_socket_path) {
        ("" | DEFAULT_ADMIN_SOCKET_PATH, Some(preset)) => preset,
        ("", None) => DEFAULT_ADMIN_SOCKET_PATH,
        (path, _) => path,
    };
    channel::uds(Path::new(path))
}
