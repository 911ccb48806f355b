//! Lines against those of SPIRE 1.15.3, times aside.

use super::layer::{LogLayer, Sink};
use super::output::Output;
use super::*;

/// Runs `work` with a logger of its own and returns what it wrote.
fn written(options: &LogOptions, work: impl FnOnce(&LogHandle)) -> String {
    let sink = Arc::new(Sink::with_output(options, Output::Memory(Vec::new())));
    let subscriber = Registry::default().with(LogLayer::new(sink.clone()));
    let handle = LogHandle { sink };
    tracing::subscriber::with_default(subscriber, || {
        // Another test may have cached this thread's call sites as off.
        tracing::callsite::rebuild_interest_cache();
        work(&handle);
    });
    handle.sink.written()
}

/// Drops the value of `time`, which differs each run.
fn without_time(line: &str) -> String {
    let mut rest = line;
    let mut out = String::new();
    for marker in ["time=\"", "\"time\":\""] {
        if let Some(at) = rest.find(marker) {
            let (head, tail) = rest.split_at(at + marker.len());
            out.push_str(head);
            rest = &tail[tail.find('"').unwrap()..];
        }
    }
    out + rest
}

#[test]
fn a_text_line_has_sorted_fields_and_quotes_only_where_needed() {
    // SC-521: as written by spire-server 1.15.3
    let text = written(&LogOptions::default(), |_| {
        tracing::info!(
            version = "1.15.3",
            data_dir = "/var/lib",
            launch_log_level = %LogLevel::Debug,
            admin_ids = LogValue::list(Vec::<String>::new()).as_value(),
            empty = "",
            count = 3,
            "Configured"
        );
    });
    assert_eq!(
        without_time(&text),
        "time=\"\" level=info msg=Configured admin_ids=\"[]\" count=3 data_dir=/var/lib empty= \
         launch_log_level=debug version=1.15.3\n"
    );
}

#[test]
fn the_default_format_has_whole_seconds_and_text_has_nanoseconds() {
    // SC-522
    let plain = written(&LogOptions::default(), |_| tracing::info!("x"));
    assert!(!plain.contains('.'), "{plain}");
    let options = LogOptions { format: LogFormat::Text, ..LogOptions::default() };
    let precise = written(&options, |_| tracing::info!("x"));
    assert!(precise.contains('.'), "{precise}");
}

#[test]
fn a_json_line_is_sorted_typed_and_html_escaped() {
    // SC-524
    let options = LogOptions { format: LogFormat::Json, ..LogOptions::default() };
    let text = written(&options, |_| {
        let error = std::io::Error::other("a <b> & \"c\"");
        let none = LogValue::list(Vec::<String>::new());
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            zone = 1,
            alert = true,
            time = "x",
            admin_ids = none.as_value(),
            ids = LogValue::list(["a", "b"]).as_value(),
            "Odd\nthing"
        );
    });
    assert_eq!(
        without_time(&text),
        "{\"admin_ids\":null,\"alert\":true,\"error\":\"a \\u003cb\\u003e \\u0026 \\\"c\\\"\",\"fields.time\":\"x\",\"ids\":[\"a\",\"b\"],\
         \"level\":\"warning\",\"msg\":\"Odd\\nthing\",\"time\":\"\",\"zone\":1}\n"
    );
}

#[test]
fn span_fields_are_added_and_inner_values_win() {
    let text = written(&LogOptions::default(), |_| {
        let outer = tracing::info_span!(
            "rpc",
            service = "entry.v1.Entry",
            method = "x",
            caller = tracing::field::Empty
        );
        let _outer = outer.enter();
        outer.record("caller", "me");
        let _inner = tracing::info_span!("inner", method = "y").entered();
        tracing::info!(service = "mine", "done");
    });
    assert_eq!(without_time(&text), "time=\"\" level=info msg=done caller=me method=y service=mine\n");
}

#[test]
fn emitted_lines_carry_any_fields_and_any_level() {
    let text = written(&LogOptions::default(), |_| {
        emit(
            LogLevel::Info,
            "API accessed",
            &[
                ("type", "audit".into()),
                ("status", "success".into()),
                ("ttl", 60.into()),
                ("msg", "m".into()),
            ],
        );
        emit(LogLevel::Fatal, "over", &[]);
        emit(LogLevel::Debug, "hidden", &[]);
    });
    let lines: Vec<String> = text.lines().map(without_time).collect();
    assert_eq!(
        lines,
        [
            "time=\"\" level=info msg=\"API accessed\" fields.msg=m status=success ttl=60 type=audit",
            "time=\"\" level=fatal msg=over",
        ]
    );
}

#[test]
fn the_level_changes_at_run_time_and_can_be_reset() {
    let text = written(&LogOptions::default(), |handle| {
        let say = |text: &str| {
            tracing::debug!("{text}");
            tracing::error!("{text}!");
            emit(LogLevel::Fatal, text, &[]);
        };
        say("launch");
        handle.set_level(LogLevel::Trace);
        say("trace");
        handle.set_level(LogLevel::Fatal);
        say("fatal");
        handle.reset_level();
        assert_eq!(handle.level(), handle.launch_level());
        say("reset");
    });
    let said: Vec<&str> = text.lines().map(|line| line.split("msg=").nth(1).unwrap()).collect();
    assert_eq!(
        said,
        ["\"launch!\"", "launch", "trace", "\"trace!\"", "trace", "fatal", "\"reset!\"", "reset"]
    );
}

#[test]
fn lines_of_libraries_are_dropped() {
    let text = written(&LogOptions { level: LogLevel::Trace, ..LogOptions::default() }, |_| {
        tracing::info!(target: "h2::proto", "frame");
    });
    assert_eq!(text, "");
}

#[test]
fn the_source_location_is_two_fields() {
    // SC-069
    let options = LogOptions { source_location: true, ..LogOptions::default() };
    let text = written(&options, |_| {
        tracing::info!("macro");
        emit(LogLevel::Info, "emit", &[]);
    });
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("file=\"tests.rs:") && lines[0].contains("func=\"spire_runtime::logging::tests\"")
    );
    assert!(
        lines[1].contains("file=\"tests.rs:") && lines[1].contains("func=\"spire_runtime::logging::tests\"")
    );
}

#[test]
fn a_terminal_gets_the_short_coloured_form() {
    // SC-523
    let mut record = super::record::Record {
        time: time::OffsetDateTime::UNIX_EPOCH,
        level: LogLevel::Warn,
        message: "Careful".into(),
        fields: vec![("k".into(), "a b".into())],
    };
    record.settle();
    let mut line = String::new();
    text::coloured(&mut line, &record, std::time::Duration::from_secs(7));
    assert_eq!(line, format!("\x1b[33mWARN\x1b[0m[0007] {:<44}  \x1b[33mk\x1b[0m=\"a b\"\n", "Careful"));
}

#[test]
fn a_moved_log_file_is_opened_anew_and_a_failure_keeps_the_old_one() {
    // SC-513, SC-066
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let options = LogOptions { file: Some(path.clone()), ..LogOptions::default() };
    let sink = Arc::new(Sink::new(&options).unwrap());
    let handle = LogHandle { sink: sink.clone() };
    assert!(handle.has_file());
    tracing::subscriber::with_default(Registry::default().with(LogLayer::new(sink)), || {
        tracing::info!("one");
        std::fs::rename(&path, &moved).unwrap();
        tracing::info!("two");
        std::fs::create_dir(&path).unwrap();
        let error = handle.reopen().unwrap_err().to_string();
        assert_eq!(error, format!("unable to reopen {0}: open {0}: is a directory", path.display()));
        tracing::info!("three");
        std::fs::remove_dir(&path).unwrap();
        handle.reopen().unwrap();
        tracing::info!("four");
    });
    assert_eq!(std::fs::read_to_string(&moved).unwrap().lines().count(), 3);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn unknown_formats_are_refused_in_spires_words() {
    assert_eq!("yaml".parse::<LogFormat>().unwrap_err().to_string(), "unknown logger format: \"yaml\"");
    assert_eq!("Json".parse::<LogFormat>().unwrap(), LogFormat::Json);
}

#[test]
fn captured_lines_show_their_fields() {
    let log = capture();
    tracing::debug!(path = "/x", "Looked");
    assert_eq!(log.find("Looked").unwrap().field("path"), "/x");
    assert_eq!(log.take().len(), 1);
    assert!(log.messages().is_empty());
}

#[tokio::test]
async fn sigusr2_reopens_the_file_of_the_process_wide_logger() {
    // SC-513; the only test that may install the process-wide logger
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let quiet = init(LogOptions { stream: LogStream::Discard, ..LogOptions::default() }).unwrap();
    assert!(!quiet.has_file());
    let handle = init(LogOptions { file: Some(path.clone()), ..LogOptions::default() }).unwrap();
    assert!(quiet.has_file(), "a second call changes the one logger there is");

    let shutdown = crate::Shutdown::new();
    let task = tokio::spawn(handle.clone().reopen_on_signal(shutdown.clone()));
    tokio::task::yield_now().await;
    std::fs::rename(&path, &moved).unwrap();
    let ourselves = rustix::process::getpid();
    rustix::process::kill_process(ourselves, rustix::process::Signal::USR2).unwrap();
    while !path.exists() {
        tokio::task::yield_now().await;
    }
    tracing::info!("after");
    assert!(std::fs::read_to_string(&path).unwrap().contains("msg=after"));
    shutdown.trigger();
    task.await.unwrap().unwrap();
    init(LogOptions { stream: LogStream::Discard, ..LogOptions::default() }).unwrap();
}
