/// Why a daemon gave no answer that can be used. The texts are those of SPIRE's library of Docker.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(
        "failed to connect to the docker API at {address}; check if the path is correct and if the daemon is \
         running: {reason}"
    )]
    Missing { address: String, reason: String },
    #[error("permission denied while trying to connect to the docker API at {0}")]
    Denied(String),
    #[error("Cannot connect to the Docker daemon at {0}. Is the docker daemon running?")]
    Refused(String),
    /// The name of the host, or the network, is at fault.
    #[error("failed to connect to the docker API at {address}: {reason}")]
    Unreachable { address: String, reason: String },
    /// There was a connection, but no whole answer.
    #[error("error during connect: Get \"{url}\": {reason}")]
    Broken { url: String, reason: String },
    #[error("Error response from daemon: {0}")]
    Answered(String),
    #[error(
        "request returned {status} for API route and version {url}, check if the server supports the requested \
         API version"
    )]
    Bare { status: String, url: String },
    #[error("error reading JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("container {0} has no Config in the daemon's answer")]
    NoConfig(String),
    /// A name that would lead to another part of the API.
    #[error("image name {0:?} has an empty component, or one that is . or ..")]
    ImageName(String),
}
