//! The scenarios. Their names are kept: results of years are compared by them.

mod attest;
mod create;
mod fetch;
mod list;
mod propagate;
mod restart;
mod rotation;
mod sign;
mod start;
mod streams;
mod sync;

use std::future::Future;
use std::pin::Pin;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::build::Build;
use crate::fixture::Fixtures;
use crate::options::Scale;

#[derive(Debug, Clone)]
pub struct Context {
    pub build: Build,
    pub scale: Scale,
    pub fixtures: Fixtures,
}

impl Context {
    /// One of two sizes.
    pub fn pick<T>(&self, quick: T, full: T) -> T {
        match self.scale {
            Scale::Quick => quick,
            Scale::Full => full,
        }
    }
}

/// One figure of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    pub name: String,
    pub unit: &'static str,
    pub value: f64,
    pub less_is_better: bool,
}

impl Measure {
    pub fn less(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, less_is_better: true }
    }

    pub fn more(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, less_is_better: false }
    }
}

type Measures = Pin<Box<dyn Future<Output = Result<Vec<Measure>>> + Send>>;

#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(Context) -> Measures,
}

pub static ALL: &[Scenario] = &[
    Scenario { name: "sign-x509", run: |c| Box::pin(sign::x509(c)) },
    Scenario { name: "sign-jwt", run: |c| Box::pin(sign::jwt(c)) },
    Scenario { name: "attest", run: |c| Box::pin(attest::run(c)) },
    Scenario { name: "create", run: |c| Box::pin(create::run(c)) },
    Scenario { name: "list", run: |c| Box::pin(list::run(c)) },
    Scenario { name: "sync", run: |c| Box::pin(sync::run(c)) },
    Scenario { name: "restart", run: |c| Box::pin(restart::run(c)) },
    Scenario { name: "propagate", run: |c| Box::pin(propagate::run(c)) },
    Scenario { name: "fetch", run: |c| Box::pin(fetch::run(c)) },
    Scenario { name: "streams", run: |c| Box::pin(streams::run(c)) },
    Scenario { name: "start", run: |c| Box::pin(start::run(c)) },
    Scenario { name: "rotation", run: |c| Box::pin(rotation::run(c)) },
];

pub fn find(name: &str) -> Result<&'static Scenario> {
    match ALL.iter().find(|scenario| scenario.name == name) {
        Some(scenario) => Ok(scenario),
        None => {
            let names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
            bail!("unknown scenario {name:?}; there are: {}", names.join(", "))
        }
    }
}
