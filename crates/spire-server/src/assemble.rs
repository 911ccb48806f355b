//! Puts a server together, in the order in which things need each other
//! (SA-371 to SA-381), and takes it apart again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use spire_authority::{AuthorityManager, RotateError};
use spire_catalog::{CatalogError, ServerBuiltIns, ServerPlugins};
use spire_config::{PluginConfig, PluginData};
use spire_datastore::{Datastore, DatastoreError, DatastoreSettings};
use spire_net::local::{BindError, LocalListener};
use spire_plugin::PluginContext;
use spire_runtime::logging::{LogHandle, LogValue};
use spire_runtime::{Chain, Nudge, SharedClock, Shutdown, Stage, Supervisor, TaskFailed, build_info, every};
use tokio::net::TcpListener;

use crate::access::{Access, RateLimits};
use crate::agents::{AgentDirectory, prune_when_due};
use crate::bundles::BundleCache;
use crate::core::Core;
use crate::entries::{EntryCache, EntryCacheError, EntryCacheSettings, EntryCacheTask};
use crate::health;
use crate::listeners::{serve_local, serve_tcp};
use crate::server_svid::{ServerSvid, ServerSvidError};
use crate::settings::ServerSettings;

/// Rotation check (CA-001).
const ROTATE_EVERY: Duration = Duration::from_secs(10);
/// Own bundle (CA-002).
const PRUNE_BUNDLE_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Journals of servers that are gone (CA-003).
const PRUNE_JOURNALS_EVERY: Duration = Duration::from_secs(8 * 3600);
/// Expired entries (SA-386).
const PRUNE_ENTRIES_EVERY: Duration = Duration::from_secs(300);
/// Stages of the shutdown have this long each; the listeners count their own ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0}")]
    DataDir(String),
    #[error("{0}")]
    Datastore(String),
    #[error(transparent)]
    Store(#[from] DatastoreError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    ForeignEntry(String),
    #[error(transparent)]
    Authority(#[from] RotateError),
    #[error(transparent)]
    ServerSvid(#[from] ServerSvidError),
    #[error("unable to obtain authpolicy engine: policy engine configuration must define a provider")]
    NoPolicyProvider,
    #[error("full cache reload interval must be greater than cache reload interval")]
    ReloadIntervals,
    #[error(transparent)]
    Entries(#[from] EntryCacheError),
    #[error("listen tcp {address}: bind: {reason}")]
    Bind { address: String, reason: String },
    #[error("{}", Chain(.0))]
    Socket(#[source] BindError),
    #[error(transparent)]
    Task(#[from] TaskFailed),
}

/// Runs a server until `shutdown`, or until something fails.
pub async fn run(
    settings: ServerSettings,
    built_ins: ServerBuiltIns,
    log: LogHandle,
    clock: SharedClock,
    shutdown: Shutdown,
) -> Result<(), ServerError> {
    let outcome = Box::pin(supervised(settings, built_ins, log, clock, shutdown.clone())).await;
    match &outcome {
        Ok(()) => tracing::info!("Server stopped gracefully"),
        Err(error) => tracing::error!(error = %Chain(error), "Fatal run error"),
    }
    outcome
}

async fn supervised(
    settings: ServerSettings,
    built_ins: ServerBuiltIns,
    log: LogHandle,
    clock: SharedClock,
    shutdown: Shutdown,
) -> Result<(), ServerError> {
    let admin_ids = settings.admin_ids.iter().map(ToString::to_string);
    tracing::info!(
        admin_ids = LogValue::list(admin_ids).as_value(),
        data_dir = settings.data_dir.display().to_string(),
        launch_log_level = log.launch_level().as_str(),
        version = build_info::VERSION,
        "Configured"
    );
    create_data_dir(&settings)?;
    let datastore = open_datastore(&settings, &clock).await?;
    // A signal during the start ends it between two steps.
    let Some(started) = shutdown
        .unless_cancelled(Box::pin(start(
            settings,
            built_ins,
            log,
            clock,
            datastore.clone(),
            shutdown.clone(),
        )))
        .await
    else {
        datastore.close().await;
        return Ok(());
    };
    let outcome = match started {
        Ok(server) => serve(server, shutdown).await,
        Err(error) => Err(error),
    };
    datastore.close().await;
    tracing::info!(subsystem_name = "catalog", "DataStore closed");
    outcome
}

fn create_data_dir(settings: &ServerSettings) -> Result<(), ServerError> {
    spire_runtime::folders::make(&settings.data_dir, 0o755).map_err(ServerError::DataDir)
}

/// SC-140
async fn open_datastore(settings: &ServerSettings, clock: &SharedClock) -> Result<Datastore, ServerError> {
    let refused = |text: &str| Err(ServerError::Datastore(text.to_owned()));
    let configs: Vec<&PluginConfig> =
        settings.plugins.iter().filter(|config| config.kind == "DataStore").collect();
    let config = match configs[..] {
        [] => return refused("expecting a DataStore plugin"),
        [one] => one,
        _ => return refused("only one DataStore plugin is allowed"),
    };
    if config.name != "sql" || !config.command.is_empty() {
        return refused(
            "pluggability for the DataStore is deprecated; only the built-in \"sql\" plugin is supported",
        );
    }
    let text = match &config.data {
        PluginData::None => String::new(),
        PluginData::Inline(object) => object.to_hcl(),
        PluginData::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let reason = spire_runtime::logging::read_error_text(path, &error);
                ServerError::Datastore(format!("failed to load plugin data: {reason}"))
            })?;
            tracing::warn!("DataStore is not reconfigurable even with a dynamic data source");
            text
        }
    };
    let store = Datastore::open(DatastoreSettings::from_hcl(&text)?, clock.clone()).await?;
    tracing::info!(reconfigurable = false, subsystem_name = "catalog", "Configured DataStore");
    Ok(store)
}

/// A server that is ready to be served.
struct Started {
    core: Arc<Core>,
    access: Arc<Access>,
    entry_task: EntryCacheTask,
    tcp: TcpListener,
    local: LocalListener,
}

async fn start(
    settings: ServerSettings,
    built_ins: ServerBuiltIns,
    log: LogHandle,
    clock: SharedClock,
    datastore: Datastore,
    shutdown: Shutdown,
) -> Result<Started, ServerError> {
    let context = PluginContext { trust_domain: settings.trust_domain.clone(), clock: clock.clone() };
    let plugins = ServerPlugins::load(&settings.plugins, built_ins, &context)?;
    check_trust_domain(&settings, &datastore).await?;
    let keys = Arc::new(plugins.key_manager.clone());
    let credentials = settings.credentials.clone();
    let authorities = AuthorityManager::load(credentials, keys, datastore.clone(), clock.clone()).await?;
    authorities.initialize().await?;
    let authorities = Arc::new(authorities);
    let server_svid = Arc::new(ServerSvid::new(authorities.authority().clone(), clock.clone()));
    server_svid.rotate().await?;
    if settings.empty_policy_engine {
        return Err(ServerError::NoPolicyProvider);
    }
    if settings.full_cache_reload_interval <= settings.cache_reload_interval {
        return Err(ServerError::ReloadIntervals);
    }
    let foreign = settings.admin_ids.iter().map(|id| id.trust_domain().clone());
    let bundles = Arc::new(BundleCache::new(datastore.clone(), settings.trust_domain.clone(), foreign));
    bundles.refresh().await?;
    let cache_settings = EntryCacheSettings {
        reload_interval: settings.cache_reload_interval,
        full_reload_interval: settings.full_cache_reload_interval,
        event_timeout: settings.event_timeout,
        prune_events_older_than: settings.prune_events_older_than,
        ..EntryCacheSettings::new(settings.trust_domain.clone())
    };
    let (entries, entry_task) = EntryCache::build(datastore.clone(), clock.clone(), cache_settings).await?;
    tracing::info!(launch_log_level = log.launch_level().as_str(), "Logger service configured");
    let agents = Arc::new(AgentDirectory::new(datastore.clone(), entries.clone()));
    let access = Arc::new(Access {
        admin_ids: settings.admin_ids.iter().cloned().collect(),
        datastore: datastore.clone(),
        agents,
        limits: Arc::new(RateLimits::new(clock.clone(), settings.limit_attestation, settings.limit_signing)),
        audit: settings.audit_log_enabled,
        clock: clock.clone(),
    });
    let tcp = bind(settings.bind_address).await?;
    let local = LocalListener::bind(&settings.socket_path, 0o770, 0o750).map_err(ServerError::Socket)?;
    let core = Arc::new(Core {
        started_at: clock.unix(),
        settings,
        clock,
        log,
        datastore,
        plugins,
        authorities,
        bundles,
        entries,
        server_svid,
        shutdown,
    });
    Ok(Started { core, access, entry_task, tcp, local })
}

/// The wildcard means both families, where there are both (SC-053).
async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        if let Ok(listener) = TcpListener::bind(both).await {
            return Ok(listener);
        }
    }
    TcpListener::bind(address).await.map_err(|error| ServerError::Bind {
        address: address.to_string(),
        reason: spire_runtime::logging::os_error_text(&error),
    })
}

/// SA-375; one row of each is looked at.
async fn check_trust_domain(settings: &ServerSettings, datastore: &Datastore) -> Result<(), ServerError> {
    let own = &settings.trust_domain;
    if let Some(text) = datastore.first_entry_spiffe_id().await? {
        let id: spire_types::SpiffeId = text.parse().map_err(|error| {
            ServerError::ForeignEntry(format!("invalid SPIFFE ID {text:?} of a registration entry: {error}"))
        })?;
        if !id.is_member_of(own) {
            return Err(ServerError::ForeignEntry(format!(
                "a registration entry with trust domain '{}' has been detected, which does not match the configured trust domain of '{own}'. If you want to change the trust domain, please delete all existing registration entries",
                id.trust_domain()
            )));
        }
    }
    if let Some(text) = datastore.first_agent_spiffe_id().await? {
        match text.parse::<spire_types::SpiffeId>() {
            Ok(id) if id.is_member_of(own) => {}
            Ok(id) => tracing::warn!(
                "An attested node with trust domain '{}' has been detected, which does not match the configured trust domain of '{own}'. Agents may need to be reconfigured to use new trust domain",
                id.trust_domain()
            ),
            Err(error) => tracing::warn!(
                error = %error,
                spiffe_id = text,
                "could not parse SPIFFE ID, from attested node"
            ),
        }
    }
    Ok(())
}

async fn serve(server: Started, shutdown: Shutdown) -> Result<(), ServerError> {
    let Started { core, access, entry_task, tcp, local } = server;
    let supervisor = Supervisor::new(shutdown);
    supervisor.spawn_in(Stage::Work, "entry-cache", |stop| async move {
        entry_task.run(stop).await;
        done()
    });
    spawn_periodic(&supervisor, &core);
    spawn_followers(&supervisor, &core);
    tracing::debug!(subsystem_name = "endpoints", "Initializing API endpoints");
    if let Some(trusted) = &core.settings.trusted_proxies {
        let cidrs = LogValue::list(trusted.names());
        tracing::info!(
            subsystem_name = "endpoints",
            trusted_cidrs = cidrs.as_value(),
            "PROXY protocol enabled on TCP listener"
        );
    }
    core.settings.tls_policy.log();
    {
        let (core, access) = (core.clone(), access.clone());
        supervisor.spawn_in(Stage::Front, "tcp-listener", |stop| serve_tcp(core, access, tcp, stop));
    }
    {
        let core = core.clone();
        supervisor.spawn_in(Stage::Front, "local-listener", |stop| serve_local(core, access, local, stop));
    }
    {
        let (checks, settings) = (health::checks(&core), core.settings.health.clone());
        supervisor.spawn_in(Stage::Support, "health", move |stop| async move {
            spire_runtime::health::serve(settings, checks, stop).await;
            done()
        });
    }
    let outcome = supervisor.join(STOP_WITHIN).await;
    // The last one: tasks have ended, so nobody else holds the core, unless a call outlived its connection.
    if let Some(core) = Arc::into_inner(core) {
        core.plugins.close();
    }
    outcome.map_err(ServerError::Task)
}

type Done = Result<(), std::convert::Infallible>;

fn done() -> Done {
    Ok(())
}

/// SA-382 to SA-387
fn spawn_periodic(supervisor: &Supervisor, core: &Arc<Core>) {
    type Pass = fn(Arc<Core>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let passes: [(&'static str, Duration, Pass); 4] = [
        ("authority-rotation", ROTATE_EVERY, |core| {
            Box::pin(async move { core.authorities.rotate_if_due().await })
        }),
        ("bundle-pruning", PRUNE_BUNDLE_EVERY, |core| {
            Box::pin(async move { core.authorities.prune_bundle().await })
        }),
        ("journal-pruning", PRUNE_JOURNALS_EVERY, |core| {
            Box::pin(async move { core.authorities.prune_journals().await })
        }),
        ("entry-pruning", PRUNE_ENTRIES_EVERY, |core| Box::pin(prune_entries(core))),
    ];
    for (name, period, pass) in passes {
        let core = core.clone();
        supervisor.spawn(name, move |stop| async move {
            let never = Nudge::new();
            every(&core.clock.clone(), period, &never, &stop, || pass(core.clone())).await;
            done()
        });
    }
    if let Some(settings) = core.settings.prune_agents.clone() {
        let core = core.clone();
        supervisor.spawn("agent-pruning", move |stop| async move {
            prune_when_due(core, settings, stop).await;
            done()
        });
    }
}

async fn prune_entries(core: Arc<Core>) {
    if let Err(error) = core.datastore.prune_entries(core.clock.unix()).await {
        tracing::error!(
            error = %Chain(&error),
            subsystem_name = "registration_manager",
            "Failed pruning registration entries"
        );
    }
}

fn spawn_followers(supervisor: &Supervisor, core: &Arc<Core>) {
    let (bundles, clock) = (core.bundles.clone(), core.clock.clone());
    supervisor.spawn("bundle-cache", move |stop| async move {
        bundles.follow(clock, stop).await;
        tracing::info!(subsystem_name = "bundle_client", "Shutting down");
        done()
    });
    // A rotation shows in handshakes and in GetBundle at once.
    let changed = core.clone();
    supervisor.spawn("bundle-changes", move |stop| async move {
        while stop.unless_cancelled(changed.authorities.bundle_changed().nudged()).await.is_some() {
            if let Err(error) = changed.bundles.refresh().await {
                tracing::error!(error = %Chain(&error), subsystem_name = "endpoints", "Failed to refresh bundles");
            }
        }
        done()
    });
    let svid = core.server_svid.clone();
    supervisor.spawn("server-svid", move |stop| async move {
        svid.follow(stop).await;
        done()
    });
    let reconfigured = core.clone();
    supervisor.spawn("plugin-reconfigurer", move |stop| async move {
        let mut signals = spire_runtime::signals::reconfigure()?;
        while stop.unless_cancelled(signals.recv()).await.is_some() {
            tracing::info!(subsystem_name = "reconfigurer", "Reconfigure signal received");
            reconfigured.plugins.reconfigurer.reconfigure();
        }
        Ok::<(), std::io::Error>(())
    });
    if core.log.has_file() {
        let log = core.log.clone();
        supervisor.spawn_in(Stage::Support, "log-reopener", move |stop| log.reopen_on_signal(stop));
    }
}
