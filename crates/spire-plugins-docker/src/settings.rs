use spire_config::{DecodeError, Fields, Object};
use spire_plugin::{Code, PluginError};

use crate::daemon::{Address, ApiVersion};
use crate::log::plugin_log;
use crate::matchers::Matchers;
use crate::podman::{SocketTemplate, Sockets};

const DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";
const PODMAN_SOCKET: &str = "unix:///run/podman/podman.sock";
const PODMAN_TEMPLATE: &str = "unix:///run/user/%d/podman/podman.sock";

/// What the operator wrote, checked (PL-070 to PL-079).
#[derive(Debug)]
pub struct Settings {
    pub docker: Address,
    /// Fixed by the operator; the daemon of Docker is asked otherwise.
    pub docker_version: Option<ApiVersion>,
    pub podman: Sockets,
    /// The patterns of the legacy locator, if it is to be used.
    pub matchers: Option<Matchers>,
    pub verbose_locator: bool,
}

#[derive(Debug, Default)]
struct Raw {
    docker_socket_path: String,
    docker_version: String,
    podman_socket_path: String,
    podman_socket_path_template: String,
    matchers: Vec<String>,
    use_new_container_locator: Option<bool>,
    verbose_container_locator_logs: bool,
    sigstore: bool,
    unknown: Vec<String>,
}

impl Raw {
    fn read(data: &Object) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(data);
        let mut raw = Self {
            docker_socket_path: fields.text("docker_socket_path")?,
            docker_version: fields.text("docker_version")?,
            podman_socket_path: fields.text("podman_socket_path")?,
            podman_socket_path_template: fields.text("podman_socket_path_template")?,
            matchers: fields.strings("container_id_cgroup_matchers")?,
            use_new_container_locator: fields.bool("use_new_container_locator")?,
            verbose_container_locator_logs: fields.flag("verbose_container_locator_logs")?,
            sigstore: fields.has("sigstore"),
            unknown: Vec::new(),
        };
        raw.unknown = fields.unknown("").map(|unknown| unknown.keys).unwrap_or_default();
        Ok(raw)
    }
}

impl Settings {
    /// All problems at once; the first is the one that SPIRE reports.
    pub fn read(data: &Object) -> Result<Self, Vec<PluginError>> {
        let raw = Raw::read(data).map_err(|error| {
            vec![PluginError::invalid(format!("unable to decode configuration: {error}"))]
        })?;
        let mut problems = Problems::default();
        if !raw.unknown.is_empty() {
            problems.invalid(format!("unknown configurations detected: {}", raw.unknown.join(",")));
        }
        if raw.sigstore {
            problems.invalid(
                "sigstore is not built in this version; without the block images are not verified and no \
                 image-signature selectors are made",
            );
        }
        let matchers = problems.take(Code::InvalidArgument, matchers(&raw));
        let template = or(&raw.podman_socket_path_template, PODMAN_TEMPLATE).parse::<SocketTemplate>();
        let template = problems.take(
            Code::InvalidArgument,
            template.map_err(|error| format!("invalid podman_socket_path_template: {error}")),
        );
        // These two come from the library of Docker in SPIRE, without a code.
        let docker = problems.take(Code::Unknown, or(&raw.docker_socket_path, DOCKER_SOCKET).parse());
        let docker_version = problems.take(Code::Unknown, ApiVersion::pinned(&raw.docker_version));
        let (Some(matchers), Some(template), Some(docker), Some(docker_version), true) =
            (matchers, template, docker, docker_version, problems.0.is_empty())
        else {
            return Err(problems.0);
        };
        let rootful = or(&raw.podman_socket_path, PODMAN_SOCKET).to_owned();
        Ok(Self {
            docker,
            docker_version,
            podman: Sockets { rootful, rootless: template },
            matchers,
            verbose_locator: raw.verbose_container_locator_logs,
        })
    }
}

/// The legacy locator takes both, patterns and the wish for it (PL-075, PL-076).
fn matchers(raw: &Raw) -> Result<Option<Matchers>, String> {
    if raw.matchers.is_empty() {
        return Ok(None);
    }
    if raw.use_new_container_locator.unwrap_or(true) {
        return Err("the new container locator and custom cgroup matchers cannot both be used; please open an \
                    issue if the new container locator fails to locate workload containers in your environment; \
                    to continue using custom matchers set use_new_container_locator=false"
            .to_owned());
    }
    plugin_log!(
        warn,
        "Using the legacy container locator with custom cgroup matchers. This feature will be removed in a future \
         release."
    );
    Matchers::new(&raw.matchers).map(Some).map_err(|error| error.to_string())
}

fn or<'a>(written: &'a str, default: &'a str) -> &'a str {
    if written.is_empty() { default } else { written }
}

#[derive(Default)]
struct Problems(Vec<PluginError>);

impl Problems {
    fn invalid(&mut self, text: impl Into<String>) {
        self.0.push(PluginError::invalid(text));
    }

    fn take<T, E: ToString>(&mut self, code: Code, outcome: Result<T, E>) -> Option<T> {
        outcome.map_err(|error| self.0.push(PluginError::new(code, error.to_string()))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Vec<String>> {
        let object = spire_config::parse(text).unwrap();
        Settings::read(&object).map_err(|problems| problems.iter().map(PluginError::rpc_text).collect())
    }

    fn refused(text: &str) -> Vec<String> {
        read(text).unwrap_err()
    }

    #[test]
    fn nothing_needs_to_be_written() {
        // PL-070, PL-073, PL-074, PL-076, PL-077
        let settings = read("").unwrap();
        assert_eq!(settings.docker.to_string(), "unix:///var/run/docker.sock");
        assert_eq!(settings.podman.rootful, "unix:///run/podman/podman.sock");
        assert_eq!(settings.podman.rootless.of(7), "unix:///run/user/7/podman/podman.sock");
        assert!(
            settings.matchers.is_none() && settings.docker_version.is_none() && !settings.verbose_locator
        );
    }

    #[test]
    fn everything_may_be_written() {
        let settings = read(
            r#"docker_socket_path = "unix:///d" docker_version = "1.20" podman_socket_path = "unix:///p"
               podman_socket_path_template = "unix:///%%/%d" use_new_container_locator = false
               container_id_cgroup_matchers = ["/docker/<id>"] verbose_container_locator_logs = true"#,
        );
        let settings = settings.unwrap();
        assert_eq!(settings.docker.to_string(), "unix:///d");
        assert_eq!(settings.docker_version.map(|version| version.to_string()).as_deref(), Some("1.20"));
        assert_eq!(settings.podman.rootful, "unix:///p");
        assert_eq!(settings.podman.rootless.of(1000), "unix:///%/1000");
        assert!(settings.matchers.is_some() && settings.verbose_locator);
    }

    #[test]
    fn without_patterns_the_legacy_locator_is_not_used() {
        // PL-076
        assert!(read("use_new_container_locator = false").unwrap().matchers.is_none());
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        // PL-008, PL-072
        assert_eq!(
            refused("nope = 1\nabc = 2"),
            ["rpc error: code = InvalidArgument desc = unknown configurations detected: abc,nope"]
        );
        for key in ["experimental { sigstore {} }", "docker_host = \"x\""] {
            assert!(refused(key)[0].contains("unknown configurations detected: "), "{key}");
        }
    }

    #[test]
    fn sigstore_is_refused_by_name() {
        assert!(refused("sigstore {}")[0].contains("desc = sigstore is not built in this version"));
    }

    #[test]
    fn values_of_a_wrong_type_are_refused() {
        // PL-007
        for text in ["docker_version = [\"x\"]", "use_new_container_locator = \"x\""] {
            assert!(
                refused(text)[0].contains("InvalidArgument desc = unable to decode configuration: At 1:")
            );
        }
    }

    #[test]
    fn matchers_need_the_legacy_locator() {
        // PL-075
        for text in ["", "use_new_container_locator = true "] {
            let text = format!("{text}\ncontainer_id_cgroup_matchers = [\"/docker/<id>\"]");
            let start = "rpc error: code = InvalidArgument desc = the new container locator and custom cgroup \
                         matchers cannot both be used; please open an issue if the new container locator fails";
            assert!(refused(&text)[0].starts_with(start));
        }
    }

    #[test]
    fn bad_sockets_versions_templates_and_patterns_are_refused_in_upstreams_words() {
        // PL-070, PL-071, PL-074, PL-079, PL-080; recorded from SPIRE 1.15.3
        for (text, error) in [
            (
                r#"docker_socket_path = "/var/run/docker.sock""#,
                "Unknown desc = unable to parse docker host `/var/run/docker.sock`",
            ),
            (r#"docker_socket_path = "npipe:////./x""#, "Unknown desc = protocol not available"),
            (
                r#"docker_version = "x""#,
                "Unknown desc = invalid API version (x): must be formatted <major>.<minor>",
            ),
            (
                r#"docker_version = " v1.2.3 ""#,
                "Unknown desc = invalid API version (v1.2.3): invalid minor version: must be formatted <major>.<minor>",
            ),
            (
                r#"podman_socket_path_template = "unix:///x/%s""#,
                "InvalidArgument desc = invalid podman_socket_path_template: template only supports escaped %% or \
                 the %d UID placeholder",
            ),
            (
                r#"use_new_container_locator = false container_id_cgroup_matchers = ["/docker/"]"#,
                "InvalidArgument desc = pattern \"/docker/\" must contain the container id token \"<id>\" exactly once",
            ),
        ] {
            assert_eq!(refused(text), [format!("rpc error: code = {error}")], "{text}");
        }
    }

    #[test]
    fn all_problems_are_told() {
        let problems = refused("nope = 1\nsigstore {}\ndocker_version = \"x\"");
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("nope"));
    }
}
