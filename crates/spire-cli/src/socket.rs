//! Which socket a client command talks to (SC-221, SC-222, AG-165, AG-166).

/// The names of one program's environment variables.
#[derive(Debug, Clone, Copy)]
pub struct SocketNames {
    pub default_path: &'static str,
    pub path_variable: &'static str,
    pub template_variable: &'static str,
    /// What to say when the template is not set.
    pub template_missing: &'static str,
    pub placeholder_missing: &'static str,
}

/// A path given with the flag, unless it is the default; the instance's
/// template; the variable; the default.
pub fn choose(
    names: &SocketNames,
    flag: &str,
    instance: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut from_template = None;
    if !instance.is_empty() {
        let template = variable(names.template_variable).unwrap_or_default();
        if template.is_empty() {
            return Err(names.template_missing.to_owned());
        }
        if !template.contains("%i") {
            return Err(names.placeholder_missing.to_owned());
        }
        from_template = Some(template.replace("%i", instance));
    }
    if !flag.is_empty() && flag != names.default_path {
        return Ok(flag.to_owned());
    }
    if let Some(path) = from_template {
        return Ok(path);
    }
    match variable(names.path_variable) {
        Some(path) if !path.is_empty() => Ok(path),
        _ => Ok(names.default_path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: SocketNames = SocketNames {
        default_path: "/default",
        path_variable: "PATH_VAR",
        template_variable: "TEMPLATE",
        template_missing: "no template",
        placeholder_missing: "no placeholder",
    };

    #[test]
    fn flag_then_instance_then_variable_then_default() {
        let env = |name: &str| match name {
            "PATH_VAR" => Some("/env".to_owned()),
            "TEMPLATE" => Some("/run/%i/%i.sock".to_owned()),
            _ => None,
        };
        for (flag, instance, expected) in [
            ("/flag", "a", "/flag"),
            ("/default", "a", "/run/a/a.sock"),
            ("/default", "", "/env"),
            ("", "", "/env"),
        ] {
            assert_eq!(choose(&NAMES, flag, instance, env).unwrap(), expected);
        }
        assert_eq!(choose(&NAMES, "/default", "", |_| None).unwrap(), "/default");
        assert_eq!(choose(&NAMES, "/flag", "a", |_| None).unwrap_err(), "no template");
        assert_eq!(choose(&NAMES, "/flag", "a", |_| Some("/x".into())).unwrap_err(), "no placeholder");
    }
}
