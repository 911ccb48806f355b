//! Puts an agent together, in the order in which things need each other (AG-202, AG-204), and takes it apart again.

use std::sync::Arc;
use std::time::Duration;

use spire_catalog::{AgentBuiltIns, AgentPlugins};
use spire_net::tls::{ClientTls, ServerCheck};
use spire_plugin::PluginContext;
use spire_runtime::logging::LogHandle;
use spire_runtime::signals::{self, SignalStream};
use spire_runtime::{
    Cause, Nudge, SharedClock, SharedRandom, Shutdown, Stage, Supervisor, SystemRandom, TaskFailed,
    build_info,
};
use spire_types::SpiffeId;
use tokio::sync::Mutex;

use crate::api::{DebugApi, HealthApi, LoggerApi, WorkloadApi, WorkloadLimits, WorkloadService};
use crate::attestation::WorkloadAttestors;
use crate::bootstrap::{Bootstrapping, TrustBundleSources};
use crate::cache::{BundleSet, Cache, JwtCache};
use crate::error::AgentError;
use crate::fault::{Consequence, Fault};
use crate::health::{self, Started};
use crate::identity::{Attester, Identity, KeySlots, Proof, RotationPolicy, Rotator};
use crate::link::ServerLink;
use crate::listeners::{self, Socket};
use crate::settings::AgentSettings;
use crate::startup::Startup;
use crate::storage::Storage;
use crate::sync::{self, Parts, Synchronizer, SynchronizerSettings, Tasks};

/// Each stage of the shutdown has this long; together they stay below ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Runs an agent until `shutdown`, or until something fails.
pub async fn run(
    settings: AgentSettings,
    built_ins: AgentBuiltIns,
    log: LogHandle,
    clock: SharedClock,
    shutdown: Shutdown,
) -> Result<(), AgentError> {
    let started_at = clock.monotonic();
    let data_dir = settings.data_dir.display().to_string();
    tracing::info!(data_dir, version = build_info::VERSION, "Starting agent");
    create_data_dir(&settings)?;
    let storage = Arc::new(Storage::open(&settings.data_dir)?);
    // A signal from now on is acted upon once the agent runs (AG-088).
    let reload = signals::reconfigure().map_err(|error| AgentError::Start(error.to_string()))?;
    let context = PluginContext { trust_domain: settings.trust_domain.clone(), clock: clock.clone() };
    let plugins = Arc::new(AgentPlugins::load(&settings.plugins, built_ins, &context)?);
    let host = Host {
        settings,
        log,
        clock,
        random: Arc::new(SystemRandom),
        started_at,
        started: Arc::new(Started::default()),
        supervisor: Supervisor::new(shutdown.clone()),
    };
    host.spawn_health();
    let starting = Box::pin(host.start(&plugins, storage));
    let (ran, outcome) = match shutdown.unless_cancelled(starting).await {
        Some(Ok(agent)) => {
            host.spawn(agent, &plugins, reload);
            (true, Ok(()))
        }
        Some(Err(error)) => {
            shutdown.trigger();
            (false, Err(error))
        }
        None => (false, Ok(())),
    };
    let joined = host.supervisor.join(STOP_WITHIN).await;
    if ran {
        log_manager_end(&joined);
    }
    plugins.log_closed();
    outcome.and(joined.map_err(AgentError::Task))
}

/// What upstream says of the tasks that deal with the server. If the server turned the agent away, that has been said.
fn log_manager_end(joined: &Result<(), TaskFailed>) {
    tracing::debug!(subsystem_name = "manager", "Stopping SVID rotator");
    let fault = match joined {
        Err(TaskFailed { cause: Cause::Error(error), .. }) => error.downcast_ref::<Fault>(),
        _ => None,
    };
    match fault.map(|fault| (fault, fault.consequence())) {
        None => tracing::info!(subsystem_name = "manager", "Cache manager stopped"),
        Some((fault, Consequence::Retry)) => {
            tracing::error!(error = %fault, subsystem_name = "manager", "Cache manager crashed");
        }
        Some(_) => {}
    }
}

fn create_data_dir(settings: &AgentSettings) -> Result<(), AgentError> {
    spire_runtime::folders::make(&settings.data_dir, 0o755).map_err(AgentError::Start)
}

/// What is there from the beginning.
struct Host {
    settings: AgentSettings,
    log: LogHandle,
    clock: SharedClock,
    random: SharedRandom,
    /// On the monotonic clock.
    started_at: Duration,
    /// Whether the sockets are open.
    started: Arc<Started>,
    supervisor: Supervisor,
}

/// An agent that has its identity and its entries.
struct Agent {
    tasks: Arc<Tasks>,
    link: Arc<ServerLink>,
    identity: Arc<Identity>,
    bundles: Arc<BundleSet>,
    cache: Arc<Cache>,
}

type Done = Result<(), std::convert::Infallible>;

fn done() -> Done {
    Ok(())
}

impl Host {
    fn has_public_socket(&self) -> bool {
        !(self.settings.disable_workload_api && self.settings.disable_sds_api)
    }

    fn spawn_health(&self) {
        let socket = self.has_public_socket().then(|| self.settings.socket_path.clone());
        let checks = health::checks(socket, self.started.clone(), &self.clock);
        let (settings, started) = (self.settings.health.clone(), self.started.clone());
        let clock = self.clock.clone();
        self.supervisor.spawn_in(Stage::Support, "health", move |stop| async move {
            if started.wait_for_probes(&clock, &stop).await {
                spire_runtime::health::serve(settings, checks, stop).await;
            }
            done()
        });
    }

    fn attester(&self, plugins: &AgentPlugins) -> Attester {
        Attester {
            proof: Proof::new(&plugins.node_attestor, self.settings.join_token.clone()),
            server: self.settings.server.clone(),
            trust_domain: self.settings.trust_domain.clone(),
            policy: self.settings.tls_policy,
            clock: self.clock.clone(),
        }
    }

    /// Until the first sync has succeeded.
    async fn start(&self, plugins: &AgentPlugins, storage: Arc<Storage>) -> Result<Agent, AgentError> {
        let settings = &self.settings;
        let bootstrapping = Arc::new(Bootstrapping::load(storage.clone(), self.clock.clone()).await);
        let policy = RotationPolicy::new(settings.availability_target, self.random.clone());
        let mut startup = Startup {
            storage: storage.clone(),
            bootstrapping: bootstrapping.clone(),
            sources: TrustBundleSources::new(
                settings.trust_bundle.clone(),
                settings.trust_domain.clone(),
                settings.server.clone(),
            ),
            rebootstrap_mode: settings.rebootstrap_mode,
            rebootstrap_delay: settings.rebootstrap_delay,
            policy: policy.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        let attester = self.attester(plugins);
        let keys = KeySlots::new(Arc::new(plugins.key_manager.clone()));
        let recovered = startup.identity(&attester, &keys).await?;
        let svid = recovered.svid;
        if !svid.reattestable && plugins.key_manager.name() == "memory" {
            tracing::warn!(
                "Node attestation is not reattestable and the 'memory' key manager is in use; if the agent process is restarted, it will be unable to obtain a new SVID and will need to be manually evicted to be able to re-attest."
            );
        }
        let stored = storage.store_svid(&svid.chain, svid.reattestable).await;
        if let Err(error) = stored {
            tracing::warn!(error = %error, subsystem_name = "manager", "Could not store SVID");
        }
        let bundles = BundleSet::new(recovered.bundle);
        let bundles = Arc::new(bundles.map_err(|error| AgentError::Start(error.to_string()))?);
        store_bundle(&storage, &bundles).await;
        let identity = Arc::new(Identity::new(svid)?);
        let tls = ClientTls {
            server: ServerCheck::Svid {
                id: SpiffeId::server(&settings.trust_domain),
                bundles: bundles.clone(),
            },
            identity: Some(identity.source()),
            policy: settings.tls_policy,
            clock: self.clock.clone(),
        };
        let link = Arc::new(ServerLink::new(settings.server.target(), Arc::new(tls))?);
        let cache = Cache::new(bundles.clone(), settings.x509_svid_cache_max_size, self.clock.clone());
        let synchronizer = Arc::new(Synchronizer::new(
            SynchronizerSettings {
                use_sync_authorized_entries: settings.use_sync_authorized_entries,
                workload_key_type: settings.workload_key_type,
                token_patience: settings.jwt_svid_cache_hit_timeout,
            },
            Parts {
                link: link.clone(),
                cache: cache.clone(),
                tokens: Arc::new(JwtCache::new(settings.jwt_svid_cache_max_size)),
                bundles: bundles.clone(),
                identity: identity.clone(),
                storage: storage.clone(),
                policy: policy.clone(),
                clock: self.clock.clone(),
            },
        ));
        startup.first_sync(&synchronizer).await?;
        let rotator = Rotator {
            identity: identity.clone(),
            link: link.clone(),
            attester,
            keys,
            storage: storage.clone(),
            bundles: bundles.clone(),
            policy,
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        let tasks = Arc::new(Tasks {
            synchronizer,
            rotator,
            bootstrapping,
            storage,
            rebootstrap_mode: startup.rebootstrap_mode,
            rebootstrap_delay: settings.rebootstrap_delay,
            sync_interval: settings.sync_interval,
            rings: Nudge::new(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        });
        Ok(Agent { tasks, link, identity, bundles, cache })
    }

    fn spawn(&self, agent: Agent, plugins: &Arc<AgentPlugins>, mut reload: SignalStream) {
        let supervisor = &self.supervisor;
        let tasks = &agent.tasks;
        supervisor.spawn("agent-svid", |stop| tasks.clone().rotate(stop));
        supervisor.spawn("sync", |stop| tasks.clone().sync(stop));
        supervisor.spawn("signing", |stop| tasks.clone().sign(stop));
        let (link, rings) = (agent.link.clone(), tasks.rings.clone());
        let (clock, random) = (self.clock.clone(), self.random.clone());
        supervisor.spawn("doorbell", move |stop| async move {
            sync::listen(link, rings, clock, random, stop).await;
            done()
        });
        let reloaded = plugins.clone();
        supervisor.spawn("plugin-reconfigurer", move |stop| async move {
            while stop.unless_cancelled(reload.recv()).await.is_some() {
                tracing::info!(subsystem_name = "reconfigurer", "Reconfigure signal received");
                reloaded.reconfigurer.reconfigure();
            }
            done()
        });
        if self.log.has_file() {
            let log = self.log.clone();
            supervisor.spawn_in(Stage::Support, "log-reopener", |stop| log.reopen_on_signal(stop));
        }
        self.spawn_public(&agent, plugins);
        self.spawn_admin(&agent);
    }

    fn spawn_public(&self, agent: &Agent, plugins: &AgentPlugins) {
        let settings = &self.settings;
        if !self.has_public_socket() {
            tracing::info!(
                apis = "Workload and SDS APIs",
                "Skipping agent APIs because public endpoint is disabled"
            );
            self.started.set();
            return;
        }
        let workload = (!settings.disable_workload_api).then(|| {
            WorkloadService(Arc::new(WorkloadApi {
                trust_domain: settings.trust_domain.clone(),
                attestors: WorkloadAttestors::new(&plugins.workload_attestors),
                cache: agent.cache.clone(),
                synchronizer: agent.tasks.synchronizer.clone(),
                allow_unauthenticated_verifiers: settings.allow_unauthenticated_verifiers,
                allowed_foreign_jwt_claims: settings.allowed_foreign_jwt_claims.iter().cloned().collect(),
                log_selectors: settings.log_selectors.clone(),
                limits: WorkloadLimits::new(settings.rate_limits, &self.clock),
                clock: self.clock.clone(),
                shutdown: self.supervisor.shutdown().clone(),
            }))
        });
        let health = HealthApi {
            socket_path: workload.is_some().then(|| settings.socket_path.clone()),
            clock: self.clock.clone(),
        };
        let apis = match (settings.disable_workload_api, settings.disable_sds_api) {
            (false, false) => "Workload and SDS APIs",
            (false, true) => "Workload API",
            _ => "SDS API",
        };
        let (path, started) = (settings.socket_path.clone(), self.started.clone());
        self.supervisor.spawn_in(Stage::Front, "public-listener", move |stop| async move {
            let routes = listeners::public_routes(workload, health)?;
            listeners::serve_socket(&path, 0o777, Socket::Public { apis }, routes, || started.set(), stop)
                .await
        });
    }

    fn spawn_admin(&self, agent: &Agent) {
        let Some(path) = self.settings.admin_socket_path.clone() else { return };
        let debug = DebugApi {
            identity: agent.identity.clone(),
            bundles: agent.bundles.clone(),
            synchronizer: agent.tasks.synchronizer.clone(),
            clock: self.clock.clone(),
            started_at: self.started_at,
            kept: Mutex::default(),
        };
        let logger = LoggerApi::new(self.log.clone(), self.clock.clone());
        let routes = listeners::admin_routes(logger, debug);
        self.supervisor.spawn_in(Stage::Front, "admin-listener", move |stop| async move {
            listeners::serve_socket(&path, 0o770, Socket::Admin, routes, || {}, stop).await
        });
    }
}

/// What the first trust was replaced by (AG-245).
async fn store_bundle(storage: &Storage, bundles: &BundleSet) {
    let Some(own) = bundles.own() else { return };
    let certificates: Vec<_> = own.roots.certificates().cloned().collect();
    if let Err(error) = storage.store_bundle(&certificates).await {
        tracing::error!(error = %error, subsystem_name = "manager", "Could not store bundle");
    }
}
