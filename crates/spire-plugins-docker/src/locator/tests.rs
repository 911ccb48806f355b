use std::fs;

use super::*;

const A: &str = "6469646e742065787065637420616e796f6e6520746f20726561642074686973";
const B: &str = "41e4ab61d2860b0e1467de0da0a9c6068012761febec402dc04a5a94f32ea867";

/// A folder that looks like `/` with one process, 123.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(cgroup: Option<&str>, mountinfo: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path().join("proc/123");
        fs::create_dir_all(&proc).unwrap();
        for (name, text) in [("cgroup", cgroup), ("mountinfo", mountinfo)] {
            if let Some(text) = text {
                fs::write(proc.join(name), text).unwrap();
            }
        }
        Self(folder)
    }

    fn locator(&self) -> Locator {
        Locator { root: self.0.path().to_owned(), verbose: true }
    }

    fn id(&self) -> Result<Option<String>, String> {
        let located = self.locator().locate(123);
        located.map(|found| found.map(|found| found.container_id)).map_err(|error| error.rpc_text())
    }
}

fn by_cgroup(text: &str) -> Result<Option<String>, String> {
    Tree::new(Some(text), None).id()
}

fn by_mounts(roots: &[(&str, &str)]) -> Result<Option<String>, String> {
    let lines = roots.iter().map(|(root, kind)| {
        format!("35 30 0:30 {root} /sys/fs/cgroup/x ro,nosuid master:11 - {kind} cgroup rw,seclabel\n")
    });
    Tree::new(Some("0::/\n"), Some(&lines.collect::<String>())).id()
}

#[test]
fn cgroups_of_version_1_and_2_name_the_container() {
    // PL-030, PL-038
    let a = Ok(Some(A.to_owned()));
    assert_eq!(by_cgroup(&format!("10:devices:/docker/{A}\n9:cpu,cpuacct:/docker/{A}\n")), a);
    assert_eq!(by_cgroup(&format!("0::/system.slice/docker-{A}.scope")), a);
    assert_eq!(by_cgroup(&format!("0::/../{A}\n")), a);
    assert_eq!(by_cgroup(&format!("1:name=systemd:/kubepods/pod1:cri-containerd:{A}\n")), a);
    assert_eq!(by_cgroup("0::/user.slice/user-1000.slice/session-1.scope\n"), Ok(None));
}

#[test]
fn two_containers_are_none() {
    // PL-041
    let error = by_cgroup(&format!("2:a:/docker/{A}\n1:b:/docker/{B}\n")).unwrap_err();
    assert_eq!(
        error,
        format!(
            "rpc error: code = FailedPrecondition desc = multiple container IDs found (\"{A}\", \"{B}\")"
        )
    );
    let roots = [(format!("/docker/{A}"), "cgroup"), (format!("/docker/{B}"), "cgroup")];
    let roots: Vec<_> = roots.iter().map(|(root, kind)| (root.as_str(), *kind)).collect();
    assert!(by_mounts(&roots).unwrap_err().contains("multiple container IDs found"));
}

#[test]
fn a_cgroup_without_an_id_contradicts_nothing() {
    // PL-042, PL-741: deviates from SPIRE, which fails if the ID comes first.
    let a = Ok(Some(A.to_owned()));
    assert_eq!(by_cgroup(&format!("1:cpu:/\n0::/docker/{A}\n")), a);
    assert_eq!(by_cgroup(&format!("1:cpu:/docker/{A}\n0::/\n")), a);
}

#[test]
fn mounts_are_asked_only_where_cgroups_are_silent() {
    // PL-031
    let mounts = format!("35 30 0:30 /docker/{B} /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    let forged = Tree::new(Some(&format!("0::/docker/{A}\n")), Some(&mounts));
    assert_eq!(forged.id(), Ok(Some(A.to_owned())));
    let silent = Tree::new(Some("0::/\n"), Some(&mounts));
    assert_eq!(silent.id(), Ok(Some(B.to_owned())));
    let located = silent.locator().locate(123).unwrap().unwrap();
    assert_eq!(located.cgroups, ["/"]);
}

#[test]
fn only_cgroup_mounts_below_the_hierarchys_root_count() {
    // PL-044, PL-045
    let path = format!("/docker/{A}");
    assert_eq!(by_mounts(&[("/", "cgroup2"), (&path, "cgroup2"), ("/", "cgroup")]), Ok(Some(A.to_owned())));
    assert_eq!(by_mounts(&[(&path, "ext4"), ("/../..", "cgroup2")]), Ok(None));
}

#[test]
fn an_empty_source_of_a_mount_shifts_nothing() {
    // PL-043
    let text = format!(
        "119 206 0:68 / /local rw,relatime - tmpfs  rw,size=8192k\n\n35 30 0:30 /docker/{A} /x ro - cgroup2  rw\n"
    );
    assert_eq!(Tree::new(None, Some(&text)).id(), Ok(Some(A.to_owned())));
}

#[test]
fn missing_files_say_nothing() {
    // PL-032
    assert_eq!(Tree::new(None, None).id(), Ok(None));
}

#[test]
fn without_cgroups_podman_is_not_looked_for_and_the_log_says_so() {
    // PL-083
    let capture = spire_runtime::logging::capture();
    let mounts = format!("35 30 0:30 /docker/{A} /x ro - cgroup2 cgroup rw\n");
    let located = Tree::new(None, Some(&mounts)).locator().locate(123).unwrap().unwrap();
    assert_eq!(located, Located { container_id: A.to_owned(), cgroups: Vec::new() });
    let warned = capture.lines().into_iter().find(|line| line.message.starts_with("Failed to read cgroups"));
    assert_eq!(warned.unwrap().field("err"), "open proc/123/cgroup: no such file or directory");
}

#[test]
fn malformed_files_fail() {
    // PL-030, PL-032, PL-043
    assert_eq!(
        by_cgroup("0::/\n1:cpu\n").unwrap_err(),
        "rpc error: code = Internal desc = unable to obtain cgroups: invalid cgroup entry, contains 2 colon \
         separated fields but expected at least 3: \"1:cpu\""
    );
    for (line, problem) in [
        ("malformed", "missing separator in mountinfo line: malformed"),
        ("1 2 3 4 5 - x", "expected at least 6 fields before separator in mountinfo line: 1 2 3 4 5 - x"),
        ("1 2 3 4 5 6 -", "missing filesystem type in mountinfo line: 1 2 3 4 5 6 -"),
        ("1 2 3 4 5 6 -  x", "missing filesystem type in mountinfo line: 1 2 3 4 5 6 -  x"),
    ] {
        let tree = Tree::new(Some("0::/"), Some(line));
        let path = tree.0.path().join("proc/123/mountinfo");
        let expected = format!(
            "rpc error: code = Internal desc = failed to parse mount info at \"{}\": {problem}",
            path.display()
        );
        assert_eq!(tree.id().unwrap_err(), expected);
    }
}

#[test]
fn every_cgroup_and_mount_is_logged_on_request() {
    // PL-046
    let capture = spire_runtime::logging::capture();
    let tree = Tree::new(Some("1:cpu:/x\n0::/y\n"), Some("1 2 3 /z 5 6 - ext4 s o\n"));
    assert_eq!(tree.id(), Ok(None));
    let lines = capture.lines();
    let told: Vec<_> =
        lines.iter().map(|line| (line.message.as_str(), line.field("index"), line.field("total"))).collect();
    assert_eq!(
        told,
        [
            ("PID cgroup enumerated", "1", "2"),
            ("PID cgroup enumerated", "2", "2"),
            ("PID mount enumerated", "1", "1")
        ]
    );
    assert_eq!(
        (lines[1].field("path"), lines[2].field("root"), lines[2].field("type")),
        ("/y", "/z", "ext4")
    );
}

#[test]
fn patterns_look_at_cgroups_alone_and_need_them() {
    // PL-081
    let matchers = Matchers::new(&["/docker/<id>".to_owned()]).unwrap();
    let tree = Tree::new(Some("10:devices:/docker/short\n"), None);
    let located = tree.locator().locate_by(&matchers, 123).unwrap().unwrap();
    assert_eq!(
        located,
        Located { container_id: "short".to_owned(), cgroups: vec!["/docker/short".to_owned()] }
    );
    let error = Tree::new(None, None).locator().locate_by(&matchers, 123).unwrap_err();
    assert_eq!(
        error.rpc_text(),
        "rpc error: code = Unknown desc = open proc/123/cgroup: no such file or directory"
    );
}
