use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spire_plugin::agent::{PinnedProcess, WorkloadAttestor};
use spire_plugin::{BuiltIn, Code, PluginContext, PluginError};
use spire_runtime::SharedClock;
use spire_runtime::logging::go_quote;

use crate::daemon::{Container, Daemon, DaemonError, Session};
use crate::locator::{Located, Locator};
use crate::log::plugin_log;
use crate::matchers::Matchers;
use crate::podman::Sockets;
use crate::settings::Settings;

/// Waits between the attempts to inspect a container (PL-086).
const WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// The workload attestor `docker`.
pub const DOCKER: BuiltIn<dyn WorkloadAttestor> = BuiltIn {
    name: "docker",
    configurable: true,
    build: |context, data| {
        let settings = Settings::read(data).map_err(first)?;
        Ok(Arc::new(Docker::new(context, settings, PathBuf::from("/"))))
    },
    validate: |_, data| match Settings::read(data) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
    },
};

fn first(problems: Vec<PluginError>) -> PluginError {
    let mut problems = problems.into_iter();
    problems.next().unwrap_or_else(|| PluginError::internal("the configuration is refused without a reason"))
}

#[derive(Debug)]
struct Docker {
    clock: SharedClock,
    locator: Locator,
    matchers: Option<Matchers>,
    podman: Sockets,
    daemon: Daemon,
}

impl Docker {
    /// `root` is the folder that holds `proc` (PL-020).
    fn new(context: &PluginContext, settings: Settings, root: PathBuf) -> Self {
        Self {
            clock: context.clock.clone(),
            locator: Locator { root, verbose: settings.verbose_locator },
            matchers: settings.matchers,
            podman: settings.podman,
            daemon: Daemon::new(settings.docker, settings.docker_version),
        }
    }

    fn locate(&self, pid: i32) -> Result<Option<Located>, PluginError> {
        match &self.matchers {
            Some(matchers) => self.locator.locate_by(matchers, pid),
            None => self.locator.locate(pid),
        }
    }

    async fn selectors(&self, daemon: &Daemon, container_id: &str) -> Result<Vec<String>, PluginError> {
        let mut session = daemon.session();
        let container = self.inspect(&mut session, container_id).await.map_err(|error| unmapped(&error))?;
        let image = container.image.clone().filter(|name| !name.is_empty());
        let mut facts = facts(container);
        let Some(image) = image else { return Ok(facts) };
        match session.image_id(&image).await {
            Ok(digest) => facts.extend(digest.map(|digest| format!("image_config_digest:{digest}"))),
            Err(error) => plugin_log!(
                debug,
                error = error.to_string(),
                image,
                "Image not inspected; there is no selector image_config_digest"
            ),
        }
        Ok(facts)
    }

    /// A container that has just been started may not be known yet (PL-086).
    async fn inspect(&self, session: &mut Session<'_>, id: &str) -> Result<Container, DaemonError> {
        for wait in WAITS {
            if let Ok(container) = session.container(id).await {
                return Ok(container);
            }
            self.clock.sleep(wait).await;
        }
        session.container(id).await
    }
}

#[async_trait]
impl WorkloadAttestor for Docker {
    async fn attest(&self, process: PinnedProcess<'_>) -> Result<Vec<String>, PluginError> {
        let Some(Located { container_id, cgroups }) = self.locate(process.pid)? else {
            return Ok(Vec::new());
        };
        let Some(socket) = self.podman.detect(&cgroups) else {
            return self.selectors(&self.daemon, &container_id).await;
        };
        let address = socket.parse().map_err(|error| {
            let socket = go_quote(&socket);
            unmapped(&format!("unable to create Podman client for socket {socket}: {error}"))
        })?;
        self.selectors(&Daemon::new(address, None), &container_id).await
    }
}

/// PL-088 to PL-090, in the order of PL-094.
fn facts(container: Container) -> Vec<String> {
    let labels = container.labels.unwrap_or_default();
    let mut facts: Vec<String> =
        labels.iter().map(|(label, value)| format!("label:{label}:{value}")).collect();
    facts.extend(container.env.unwrap_or_default().iter().map(|variable| format!("env:{variable}")));
    let image = container.image.filter(|name| !name.is_empty());
    facts.extend(image.map(|name| format!("image_id:{name}")));
    facts
}

/// Errors of the daemon carry no code (PL-087).
fn unmapped(error: &dyn ToString) -> PluginError {
    PluginError::new(Code::Unknown, error.to_string())
}

#[cfg(test)]
mod tests;
