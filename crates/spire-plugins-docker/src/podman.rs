//! Containers that Podman runs, and where its daemons listen (PL-073, PL-074, PL-082).

use std::str::FromStr;

use crate::log::plugin_log;

/// A template that does not say where the daemon of a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    #[error("trailing % at end of template")]
    Trailing,
    #[error("template only supports escaped %% or the %d UID placeholder")]
    Placeholder,
    #[error("template must contain exactly one %d UID placeholder")]
    Count,
}

/// The address of a user's own daemon, with a gap for the user's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketTemplate {
    before: String,
    after: String,
}

impl SocketTemplate {
    pub fn of(&self, uid: u32) -> String {
        format!("{}{uid}{}", self.before, self.after)
    }
}

impl FromStr for SocketTemplate {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = vec![String::new()];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let literal = match letter {
                '%' => match letters.next() {
                    Some('%') => '%',
                    Some('d') => {
                        parts.push(String::new());
                        continue;
                    }
                    Some(_) => return Err(BadTemplate::Placeholder),
                    None => return Err(BadTemplate::Trailing),
                },
                other => other,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        let [before, after] = <[String; 2]>::try_from(parts).map_err(|_| BadTemplate::Count)?;
        Ok(Self { before, after })
    }
}

/// Where the daemons of Podman listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// The daemon of root.
    pub rootful: String,
    /// The daemons of other users.
    pub rootless: SocketTemplate,
}

impl Sockets {
    /// The daemon that runs the container with these cgroups, if it is one of Podman's.
    pub fn detect(&self, cgroups: &[String]) -> Option<String> {
        let path = cgroups.iter().find(|path| path.contains("libpod-") || path.contains("/libpod/"))?;
        let Some(digits) = user_slice(path) else { return Some(self.rootful.clone()) };
        Some(match digits.parse() {
            Ok(uid) => self.rootless.of(uid),
            Err(_) => {
                plugin_log!(
                    warn,
                    cgroup_path = path,
                    uid = digits,
                    "Failed to parse rootless Podman UID from cgroup path, falling back to rootful Podman socket"
                );
                self.rootful.clone()
            }
        })
    }
}

/// The digits of the first `/user-<digits>.slice/` in a path.
fn user_slice(path: &str) -> Option<&str> {
    path.split_once('/')?.1.rsplit_once('/')?.0.split('/').find_map(|part| {
        let digits = part.strip_prefix("user-")?.strip_suffix(".slice")?;
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        valid.then_some(digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets() -> Sockets {
        let rootless = "unix:///run/user/%d/podman/podman.sock".parse().unwrap();
        Sockets { rootful: "unix:///run/podman/podman.sock".to_owned(), rootless }
    }

    #[test]
    fn a_template_has_one_gap() {
        // PL-074
        for (text, outcome) in [
            ("/x/%d/%%d", Ok("/x/5/%d".to_owned())),
            ("%d", Ok("5".to_owned())),
            ("/x/%s", Err(BadTemplate::Placeholder)),
            ("/x/%d%", Err(BadTemplate::Trailing)),
            ("/x", Err(BadTemplate::Count)),
            ("/x/%%d", Err(BadTemplate::Count)),
            ("%d%d", Err(BadTemplate::Count)),
        ] {
            assert_eq!(text.parse::<SocketTemplate>().map(|template| template.of(5)), outcome, "{text}");
        }
    }

    #[test]
    fn the_first_cgroup_of_podman_decides() {
        // PL-082
        let user = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ab.scope";
        let rootful = "unix:///run/podman/podman.sock";
        for (paths, socket) in [
            (&["/docker/ab"][..], None),
            (&["/", user], Some("unix:///run/user/1000/podman/podman.sock")),
            (&["/user.slice/user-2000.slice/x/libpod/ab"], Some("unix:///run/user/2000/podman/podman.sock")),
            (&["/machine.slice/libpod-ab.scope", user], Some(rootful)),
            (&["/user.slice/user-4294967296.slice/x/libpod-ab.scope"], Some(rootful)),
            (&["/user.slice/user-x.slice/libpod-ab.scope"], Some(rootful)),
            (&["/libpod-ab/user-1000.slice"], Some(rootful)),
        ] {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(sockets().detect(&paths).as_deref(), socket, "{paths:?}");
        }
    }

    #[test]
    fn a_user_that_is_no_number_is_warned_about() {
        // PL-082
        let capture = spire_runtime::logging::capture();
        sockets().detect(&["/user-99999999999.slice/libpod-ab".to_owned()]);
        let line = &capture.lines()[0];
        assert_eq!(line.field("uid"), "99999999999");
        assert_eq!(line.field("plugin_name"), "docker");
        assert!(line.message.ends_with("falling back to rootful Podman socket"), "{}", line.message);
    }
}
