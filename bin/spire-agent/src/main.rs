use std::process::ExitCode;

use spire_cli::Env;

/// Few workloads call at a time, and the agent should be small.
const WORKERS: usize = 2;

/// In the place of the C library's, half a MiB of which would be resident for the one call that the runtime makes.
#[expect(unsafe_code, reason = "there is only one such name, and this is what it stands for")]
#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

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
    let code = runtime.block_on(spire_agent_bin::main(&args, &mut env));
    // A thread that still waits, on a resolver for example, must not keep the process.
    runtime.shutdown_background();
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
