//! Names that SPIRE 1.15 has and this build has not (SC-142, AG-086), so
//! that their absence is not taken for a misspelling.

const NAMES: &[(&str, &[&str])] = &[
    ("KeyManager", &["aws_kms", "gcp_kms", "azure_key_vault", "hashicorp_vault"]),
    (
        "NodeAttestor",
        &[
            "aws_iid",
            "azure_imds",
            "azure_msi",
            "gcp_iit",
            "http_challenge",
            "k8s_psat",
            "sshpop",
            "tpm_devid",
        ],
    ),
    (
        "UpstreamAuthority",
        &["disk", "aws_pca", "awssecret", "gcp_cas", "vault", "spire", "cert-manager", "ejbca"],
    ),
    ("Notifier", &["gcs_bundle", "k8sbundle"]),
    ("CredentialComposer", &["uniqueid"]),
    (
        "BundlePublisher",
        &["aws_s3", "azure_blob", "gcp_cloudstorage", "aws_rolesanywhere_trustanchor", "k8s_configmap"],
    ),
    ("WorkloadAttestor", &["k8s", "slurm", "systemd", "windows"]),
    ("SVIDStore", &["aws_secretsmanager", "gcp_secretmanager"]),
];

/// What to say of a built-in that was asked for and is not here.
pub(crate) fn missing(kind: &str, name: &str) -> String {
    let known = NAMES.iter().any(|(k, names)| *k == kind && names.contains(&name));
    match known {
        true => format!("built-in plugin {name:?} for type {kind:?} is not built in this version"),
        false => format!("no built-in plugin {name:?} for type {kind:?}"),
    }
}
