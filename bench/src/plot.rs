//! Growth curves: how a figure changes with the number of entries or streams.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::report::Series;

struct Curve {
    file: &'static str,
    title: &'static str,
    scenario: &'static str,
    /// The part of the measure's name after the number that grows.
    after: &'static str,
    /// Which number of the name grows.
    number: usize,
}

const CURVES: &[Curve] = &[
    Curve {
        file: "performance-sync.svg",
        title: "CPU (ms) of one agent's sync, by entries in all",
        scenario: "sync",
        after: "closed loop: CPU",
        number: 1,
    },
    Curve {
        file: "performance-restart.svg",
        title: "Server start to ready (s), by entries",
        scenario: "restart",
        after: ": ready",
        number: 0,
    },
    Curve {
        file: "performance-memory.svg",
        title: "Server memory (MiB), by entries",
        scenario: "restart",
        after: "entries: server memory",
        number: 0,
    },
    Curve {
        file: "performance-streams.svg",
        title: "One change until all streams have it (ms), by streams",
        scenario: "streams",
        after: "until all have it",
        number: 0,
    },
];

/// Name and title of each plot.
pub fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    CURVES.iter().map(|curve| (curve.file, curve.title))
}

pub fn growth(series: &[Series], dir: &Path) -> Result<()> {
    for curve in CURVES {
        let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for one in series.iter().filter(|s| s.scenario == curve.scenario && s.measure.ends_with(curve.after))
        {
            let numbers: Vec<f64> = one
                .measure
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse().ok())
                .collect();
            if let Some(x) = numbers.get(curve.number) {
                lines.entry(&one.build).or_default().push((*x, one.median()));
            }
        }
        if lines.values().any(|points| points.len() > 1) {
            draw(curve, &mut lines, dir).map_err(|error| anyhow!("{}: {error}", curve.file))?;
        }
    }
    Ok(())
}

fn draw(
    curve: &Curve,
    lines: &mut BTreeMap<&str, Vec<(f64, f64)>>,
    dir: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let path = dir.join(curve.file);
    let root = SVGBackend::new(&path, (720, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || lines.values().flatten();
    let max_x = points().map(|p| p.0).fold(1.0, f64::max);
    let min_x = points().map(|p| p.0).fold(max_x, f64::min);
    let max_y = points().map(|p| p.1).fold(0.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(&root)
        .caption(curve.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d((min_x..max_x).log_scale(), 0.0..max_y)?;
    chart.configure_mesh().draw()?;
    let colors = [RED, BLUE, GREEN, MAGENTA];
    for (index, (label, points)) in lines.iter_mut().enumerate() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let color = colors[index % colors.len()];
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(*label)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    root.present()?;
    Ok(())
}
