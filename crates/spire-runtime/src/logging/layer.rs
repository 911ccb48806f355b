//! From `tracing` events to lines.

use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use time::OffsetDateTime;
use tracing::field::{Field as FieldKey, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::emit::{self, Emitted};
use super::level::LogLevel;
use super::output::Output;
use super::record::{Field, Record};
use super::value::LogValue;
use super::{LogError, LogFormat, LogOptions, go_text, json, text};

/// Settings and output behind all handles.
#[derive(Debug)]
pub(super) struct Sink {
    level: AtomicU8,
    launch_level: AtomicU8,
    source_location: AtomicBool,
    started: Instant,
    destination: Mutex<Destination>,
}

#[derive(Debug)]
struct Destination {
    layout: Layout,
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Plain { nanoseconds: bool },
    Coloured,
    Json,
}

impl Layout {
    fn new(format: LogFormat, terminal: bool) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            _ if terminal => Self::Coloured,
            format => Self::Plain { nanoseconds: format == LogFormat::Text },
        }
    }
}

impl Sink {
    pub fn new(options: &LogOptions) -> Result<Self, LogError> {
        Ok(Self::with_output(options, Output::open(options)?))
    }

    pub fn with_output(options: &LogOptions, output: Output) -> Self {
        let layout = Layout::new(options.format, output.is_terminal());
        Self {
            level: AtomicU8::new(options.level as u8),
            launch_level: AtomicU8::new(options.level as u8),
            source_location: AtomicBool::new(options.source_location),
            started: Instant::now(),
            destination: Mutex::new(Destination { layout, output }),
        }
    }

    pub fn configure(&self, options: &LogOptions) -> Result<(), LogError> {
        let output = Output::open(options)?;
        let layout = Layout::new(options.format, output.is_terminal());
        *self.destination.lock() = Destination { layout, output };
        self.source_location.store(options.source_location, Ordering::Relaxed);
        self.launch_level.store(options.level as u8, Ordering::Relaxed);
        self.set_level(options.level);
        Ok(())
    }

    pub fn level(&self) -> LogLevel {
        LogLevel::from_index(self.level.load(Ordering::Relaxed))
    }

    pub fn launch_level(&self) -> LogLevel {
        LogLevel::from_index(self.launch_level.load(Ordering::Relaxed))
    }

    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        // Every call site has cached whether it is on; this makes them ask again.
        tracing::callsite::rebuild_interest_cache();
    }

    pub fn has_file(&self) -> bool {
        matches!(self.destination.lock().output, Output::File { .. })
    }

    pub fn reopen(&self) -> Result<(), LogError> {
        self.destination.lock().output.reopen()
    }

    fn write(&self, record: &Record) {
        thread_local!(static LINE: RefCell<String> = const { RefCell::new(String::new()) });
        LINE.with_borrow_mut(|line| {
            line.clear();
            let mut destination = self.destination.lock();
            match destination.layout {
                Layout::Plain { nanoseconds } => text::plain(line, record, nanoseconds),
                Layout::Coloured => text::coloured(line, record, self.started.elapsed()),
                Layout::Json => json::line(line, record),
            }
            destination.output.write(line.as_bytes());
            // One huge line must not cost memory for ever.
            line.shrink_to(4096);
        });
    }

    #[cfg(test)]
    pub fn written(&self) -> String {
        match &self.destination.lock().output {
            Output::Memory(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            _ => String::new(),
        }
    }
}

/// Turns events into records and hands them to `write`.
pub(super) struct LogLayer<W = std::sync::Arc<Sink>> {
    writer: W,
}

/// What a [`LogLayer`] needs of its receiver.
pub(super) trait Writer: Send + Sync + 'static {
    fn level(&self) -> LogLevel;
    fn source_location(&self) -> bool;
    fn write(&self, record: Record);
}

impl Writer for std::sync::Arc<Sink> {
    fn level(&self) -> LogLevel {
        Sink::level(self)
    }

    fn source_location(&self) -> bool {
        self.source_location.load(Ordering::Relaxed)
    }

    fn write(&self, record: Record) {
        Sink::write(self, &record);
    }
}

impl<W: Writer> LogLayer<W> {
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            // Their fields may be wanted by an event of any level inside of them.
            return is_ours(metadata.target()) && LogLevel::of(*metadata.level()) <= self.writer.level();
        }
        is_ours(metadata.target()) && emit::level_of(metadata) <= self.writer.level()
    }
}

/// Libraries log too; upstream's log has nothing of the kind.
fn is_ours(target: &str) -> bool {
    target.starts_with("spire")
        || target.starts_with("oidc_discovery_provider")
        || target.starts_with("spiffe_helper")
}

/// The fields of a span, kept with it.
struct SpanFields(Vec<Field>);

impl<W: Writer, S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer<W> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.writer.level() {
            // Lines above "error" are emitted as errors, see `emit`.
            LogLevel::Panic | LogLevel::Fatal | LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        })
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut collector = Collector::default();
        attributes.record(&mut collector);
        if !collector.fields.is_empty() {
            span.extensions_mut().insert(SpanFields(collector.fields));
        }
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut collector = Collector::default();
        values.record(&mut collector);
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<SpanFields>() {
            Some(SpanFields(fields)) => fields.append(&mut collector.fields),
            None => extensions.insert(SpanFields(collector.fields)),
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut collector = Collector::default();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
                    collector.fields.extend_from_slice(fields);
                }
            }
        }
        event.record(&mut collector);
        if self.writer.source_location() {
            collector.add_source(event.metadata());
        }
        let mut record = Record {
            time: go_text::local(OffsetDateTime::now_utc()),
            level: emit::level_of(event.metadata()),
            message: collector.message,
            fields: collector.fields,
        };
        record.settle();
        self.writer.write(record);
    }
}

#[derive(Default)]
struct Collector {
    message: String,
    fields: Vec<Field>,
    /// Set for lines of `emit`, whose call site is not in their metadata.
    location: Option<&'static std::panic::Location<'static>>,
}

impl Collector {
    fn add(&mut self, key: &FieldKey, value: LogValue) {
        if key.name() == "message" {
            self.message = match value {
                LogValue::Text(text) => text,
                other => other.to_string(),
            };
        } else {
            let name = key.name().strip_prefix("r#").unwrap_or(key.name());
            self.fields.push((Cow::Borrowed(name), value));
        }
    }

    fn add_source(&mut self, metadata: &Metadata<'_>) {
        let (file, line, function) = match self.location {
            Some(location) => (location.file(), location.line(), emit::module_of(location.file())),
            None => (
                metadata.file().unwrap_or_default(),
                metadata.line().unwrap_or_default(),
                metadata.module_path().unwrap_or_default().to_owned(),
            ),
        };
        let base = file.rsplit('/').next().unwrap_or(file);
        self.fields.push((Cow::Borrowed("file"), LogValue::Text(format!("{base}:{line}"))));
        self.fields.push((Cow::Borrowed("func"), LogValue::Text(function)));
    }
}

impl Visit for Collector {
    fn record_debug(&mut self, field: &FieldKey, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String fails only if the value's own formatting does; then what it wrote is all there is.
        let _ = write!(text, "{value:?}");
        self.add(field, LogValue::Text(text));
    }

    fn record_str(&mut self, field: &FieldKey, value: &str) {
        self.add(field, LogValue::Text(value.to_owned()));
    }

    fn record_i64(&mut self, field: &FieldKey, value: i64) {
        self.add(field, LogValue::Int(value));
    }

    fn record_u64(&mut self, field: &FieldKey, value: u64) {
        self.add(field, LogValue::Uint(value));
    }

    fn record_f64(&mut self, field: &FieldKey, value: f64) {
        self.add(field, LogValue::Float(value));
    }

    fn record_bool(&mut self, field: &FieldKey, value: bool) {
        self.add(field, LogValue::Bool(value));
    }

    fn record_error(&mut self, field: &FieldKey, value: &(dyn Error + 'static)) {
        if let Some(emitted) = value.downcast_ref::<Emitted>() {
            self.fields.extend(emitted.fields.iter().cloned());
            self.location = Some(emitted.location);
        } else if let Some(value) = value.downcast_ref::<LogValue>() {
            self.add(field, value.clone());
        } else {
            self.add(field, LogValue::Text(value.to_string()));
        }
    }
}
