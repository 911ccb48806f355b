use spire_cli::FlagSet;

use super::*;

const PLUGINS: &str = "plugins {}";

fn settings_of(text: &str, args: &[&str]) -> Result<AgentSettings, String> {
    let mut set = FlagSet::new("run");
    flags(&mut set);
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    set.parse(&args).unwrap();
    let document = spire_config::parse(text).unwrap();
    let mut file = raw::decode(&document).map_err(|error| error.to_string())?;
    merge(&mut file.agent, &set);
    check_presence(&file)?;
    let rebootstrap = Rebootstrap::of(&file.agent)?;
    let sync_interval = experimental::sync_interval(&file.agent.experimental)?;
    resolve(file, &rebootstrap, sync_interval)?.0
}

fn agent(extra: &str) -> String {
    format!(
        "agent {{\n trust_domain = \"example.org\"\n server_address = \"a.test\"\n server_port = 8081\n \
         insecure_bootstrap = true\n {extra}\n}}\n{PLUGINS}"
    )
}

#[test]
fn flags_go_before_the_file_and_empty_is_not_set() {
    // AG-005
    let text = agent("data_dir = \"\"\n rebootstrap_delay = \"1m\"\n disable_sds_api = true");
    let settings =
        settings_of(&text, &["-serverPort", "0", "-serverAddress", "b.test", "-disableSDSAPI=false"])
            .unwrap();
    assert_eq!(settings.server.target(), "b.test:8081");
    assert_eq!(settings.data_dir, PathBuf::from("."));
    assert_eq!(settings.rebootstrap_delay.as_secs(), 60);
    assert!(settings.disable_sds_api);
    assert_eq!(settings.x509_svid_cache_max_size, 1000);
}

#[test]
fn the_first_thing_that_is_missing_is_reported() {
    // AG-014
    for (text, error) in [
        ("", "plugins section must be configured"),
        (PLUGINS, "server_address must be configured"),
        (&format!("agent {{ server_address = \"a\" }}\n{PLUGINS}"), "server_port must be configured"),
    ] {
        assert_eq!(settings_of(text, &[]).unwrap_err(), error);
    }
}

#[test]
fn values_are_checked_in_upstreams_words() {
    // AG-029, AG-033 to AG-036, AG-052, AG-054, AG-058
    for (extra, error) in [
        ("rebootstrap_mode = \"sometimes\"", "unknown rebootstrap mode specified: sometimes"),
        ("rebootstrap_mode = \"auto\"", "insecure_bootstrap option can not be used with rebootstrapping"),
        (
            "workload_x509_svid_key_type = \"rsa-4096\"",
            "key type \"rsa-4096\" is unknown; must be one of [rsa-2048, ec-p256, ec-p384]",
        ),
        ("availability_target = \"23h\"", "availability_target must be at least 24h0m0s"),
        ("jwt_svid_cache_max_size = -1", "jwt_svid_cache_max_size should not be negative"),
        (
            "experimental { jwt_svid_cache_hit_timeout = \"30s\" }",
            "jwt_svid_cache_hit_timeout (30s) must be less than 30s",
        ),
        (
            "experimental { ratelimit { fetch_secrets = -1 } }",
            "experimental.ratelimit.fetch_secrets must not be negative",
        ),
        (
            "experimental { broker { socket_path = \"/tmp/spire-agent/public/b/s\" } }",
            "broker socket cannot be in the same directory or a subdirectory as that containing the Workload API \
             socket",
        ),
    ] {
        assert_eq!(settings_of(&agent(extra), &[]).unwrap_err(), error);
    }
}

#[test]
fn sockets_lie_apart_unless_nothing_public_is_served() {
    // AG-020
    let both = "socket_path = \"/run/a/../b/api.sock\"\n admin_socket_path = \"/run/b/x/admin.sock\"";
    assert!(settings_of(&agent(both), &[]).unwrap_err().starts_with("admin socket cannot be in the same"));
    let settings = settings_of(&agent(both), &["-disableSDSAPI", "-disableWorkloadAPI"]).unwrap();
    assert_eq!(settings.socket_path, PathBuf::from("/run/b/api.sock"));
    assert_eq!(settings.admin_socket_path, Some(PathBuf::from("/run/b/x/admin.sock")));
}

#[test]
fn what_this_version_cannot_do_is_refused_by_name() {
    // AG-027, AG-059
    let text = agent("experimental { broker { bind_address = \"127.0.0.1:1\" } }");
    let error = settings_of(&text, &[]).unwrap_err();
    assert!(error.starts_with("not built in this version: experimental.broker;"), "{error}");
    let error = settings_of(&agent("server_port = 99999"), &[]).unwrap_err();
    assert_eq!(error, "server_port must be between 1 and 65535: 99999");
}

#[test]
fn a_join_token_may_stand_in_a_file() {
    // AG-032
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let text = agent(&format!("join_token_file = \"{}\"", path.display()));
    let error = settings_of(&text, &[]).unwrap_err();
    let shown = path.display();
    assert_eq!(
        error,
        format!("unable to read join token file \"{shown}\": open {shown}: no such file or directory")
    );
    std::fs::write(&path, " \n").unwrap();
    assert_eq!(settings_of(&text, &[]).unwrap_err(), "join token file is empty");
    std::fs::write(&path, " abc\n").unwrap();
    assert!(settings_of(&text, &[]).unwrap().join_token.is_some());
}

#[test]
fn unknown_keys_are_reported_before_delegates_are_looked_at() {
    // AG-013
    let text = agent("nosuch = 1\n authorized_delegates = [\"x\"]");
    assert_eq!(settings_of(&text, &[]).unwrap_err(), "unknown configuration detected");
}
