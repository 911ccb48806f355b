//! Closed-loop callers: each sends the next request when the last is answered.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::proc::Process;
use crate::scenario::Measure;

/// What a load did and what it cost the process under it.
#[derive(Debug)]
pub struct Outcome {
    pub calls: u64,
    pub elapsed: Duration,
    pub cpu: Duration,
    /// Sorted.
    pub latencies: Vec<Duration>,
}

/// Runs `callers` loops over `call` for `length` after a short warm-up.
pub async fn closed_loop<C, F>(
    process: &Process,
    callers: usize,
    length: Duration,
    call: C,
) -> Result<Outcome>
where
    C: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    round(callers, length / 10, &call).await?;
    let before = process.cost()?;
    let begun = Instant::now();
    let latencies = round(callers, length, &call).await?;
    let elapsed = begun.elapsed();
    let cpu = process.since(before)?;
    let mut latencies = latencies;
    latencies.sort_unstable();
    Ok(Outcome { calls: latencies.len() as u64, elapsed, cpu, latencies })
}

async fn round<C, F>(callers: usize, length: Duration, call: &C) -> Result<Vec<Duration>>
where
    C: Fn(usize) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let until = Instant::now() + length;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < until {
                    let begun = Instant::now();
                    call(caller).await?;
                    latencies.push(begun.elapsed());
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// Sends a fixed number of calls, `width` at a time.
pub async fn fixed<C, F>(process: &Process, width: usize, total: u64, call: C) -> Result<Outcome>
where
    C: Fn(u64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let before = process.cost()?;
    let begun = Instant::now();
    let tasks: Vec<_> = (0..width)
        .map(|_| {
            let (call, next) = (call.clone(), next.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return anyhow::Ok(latencies);
                    }
                    let begun = Instant::now();
                    call(number).await?;
                    latencies.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    Ok(Outcome { calls: total, elapsed: begun.elapsed(), cpu: process.since(before)?, latencies })
}

impl Outcome {
    /// CPU, throughput and delay of `per_call` things a call.
    pub fn measures(&self, name: &str, per_call: u64) -> Vec<Measure> {
        let things = (self.calls * per_call).max(1) as f64;
        vec![
            Measure::less(format!("{name}: CPU"), "ms", self.cpu.as_secs_f64() * 1e3 / things),
            Measure::more(format!("{name}: rate"), "1/s", things / self.elapsed.as_secs_f64()),
            Measure::less(format!("{name}: p50"), "ms", ms(percentile(&self.latencies, 50))),
            Measure::less(format!("{name}: p99"), "ms", ms(percentile(&self.latencies, 99))),
        ]
    }
}

/// Of a sorted list; zero when it is empty.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    match sorted.len() {
        0 => Duration::ZERO,
        n => sorted[(n * percent / 100).min(n - 1)],
    }
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
