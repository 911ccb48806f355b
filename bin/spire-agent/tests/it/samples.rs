use std::path::Path;
use std::process::Command;

#[test]
fn the_sample_configuration_is_valid_and_is_what_the_program_reads_by_default() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for args in [&["validate"][..], &["validate", "-config", "conf/agent/agent.conf"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spire-agent"));
        let output = command.args(args).current_dir(&repository).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{args:?}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(stdout, "SPIRE agent configuration file is valid.\n", "{args:?}");
    }
}
