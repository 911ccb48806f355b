use std::process::ExitCode;

use spire_cli::Env;

/// Server and agent share them.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut env = Env::of_process();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                env.err(&format!("could not start the runtime: {error}\n"));
                return ExitCode::FAILURE;
            }
        };
    let code = runtime.block_on(spire_dev::main(&args, &mut env));
    runtime.shutdown_background();
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
