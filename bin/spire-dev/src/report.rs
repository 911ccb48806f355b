//! What the user sees when all is up.

use std::time::Duration;

use spire_runtime::build_info;
use time::format_description::well_known::Rfc3339;

use crate::folder::Folder;
use crate::own_svid::OwnSvid;

pub(crate) fn text(folder: &Folder, svid: &OwnSvid, took: Duration) -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "spire-dev".into());
    let program = program.to_string_lossy();
    let dir = folder.path().display();
    let command = match default_folder().is_some_and(|default| default == folder.path()) {
        true => program.to_string(),
        false => format!("{program} -dir {dir}"),
    };
    let kept = if folder.is_ephemeral() { "removed at the end" } else { "kept" };
    format!(
        "spire-dev {version}: server and agent are up after {took} ms\n\n\
         trust domain    {trust_domain}\n\
         folder          {dir} ({kept})\n\
         server socket   {server}\n\
         workload API    {workload}\n\
         log             {log}\n\n\
         your SVID       {id}\n\
         \x20               fetched through the Workload API, valid until {expiry}, verified against the bundle\n\n\
         Next, in another terminal:\n\
         \x20   {command} server entry show\n\
         \x20   {command} agent api fetch x509\n\
         \x20   {command} agent api fetch jwt -audience me\n\
         \x20   export SPIFFE_ENDPOINT_SOCKET=unix://{workload}\n\n\
         Ctrl-C stops both.\n",
        version = build_info::VERSION,
        took = took.as_millis(),
        trust_domain = svid.id.trust_domain().id_string(),
        server = folder.server_socket().display(),
        workload = folder.workload_socket().display(),
        log = folder.log_file().display(),
        id = svid.id,
        expiry = svid.not_after.format(&Rfc3339).unwrap_or_default(),
    )
}

fn default_folder() -> Option<std::path::PathBuf> {
    std::env::var_os("HOME").map(|home| std::path::PathBuf::from(home).join(".spire-dev"))
}
