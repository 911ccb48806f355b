/// Letters of a container ID: 32 bytes in hex.
const LENGTH: usize = 64;

/// The container ID in the last component of a path that has one (PL-033, PL-035, PL-036). An empty component ends the
/// search.
pub fn last_in(path: &str) -> Option<&str> {
    path.rsplit('/').take_while(|segment| !segment.is_empty()).find_map(first_in)
}

/// The first word that is an ID; words end where ASCII letters, digits and `_` do (PL-047).
fn first_in(segment: &str) -> Option<&str> {
    let mut words = segment.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.find(|word| word.len() == LENGTH && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "6469646e742065787065637420616e796f6e6520746f20726561642074686973";
    const B: &str = "41E4AB61D2860B0E1467DE0DA0A9C6068012761FEBEC402DC04A5A94F32EA867";

    #[test]
    fn ids_are_found_in_the_paths_of_all_runtimes() {
        // PL-033, PL-035, PL-036
        for (path, id) in [
            (format!("/docker/{A}"), Some(A)),
            (format!("/docker/{B}"), Some(B)),
            (format!("/system.slice/docker-{A}.scope"), Some(A)),
            (format!("/system.slice/{A}.scope"), Some(A)),
            (format!("/machine.slice/libpod-{A}.scope/container"), Some(A)),
            (format!("/user.slice/libpod-conmon-{A}.scope"), Some(A)),
            (format!("/../{A}"), Some(A)),
            (format!("/docker/{B}/docker/{A}/system.slice/containerd.service"), Some(A)),
            (format!("/kubepods.slice/podx.slice:cri-containerd:{A}"), Some(A)),
            (format!("{A}-{B}"), Some(A)),
            (format!("/é{A}é"), Some(A)),
            (format!("/x_{A}"), None),
            (format!("/x{A}"), None),
            (format!("/{A}0"), None),
            (format!("/{}", &A[1..]), None),
            (format!("/{}g", &A[1..]), None),
            (format!("/{A}/"), None),
            (format!("/{A}//x"), None),
            ("/".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(last_in(&path), id, "{path}");
        }
    }
}
