//! Prints figures beside what was promised.

use std::time::Duration;

/// How often a process is run for one figure.
pub const ROUNDS: usize = 9;

/// Figures that were measured.
pub struct Board;

impl Board {
    /// A figure that is to be at most `most`.
    pub fn at_most(&mut self, what: &str, value: f64, most: f64, unit: &str) {
        let verdict = if value <= most { "" } else { "   MISSED" };
        println!("{what:<58} {value:>9.2} {unit:<7} at most {most}{verdict}");
    }

    /// A figure that is to be at least `least`.
    pub fn at_least(&mut self, what: &str, value: f64, least: f64, unit: &str) {
        let verdict = if value >= least { "" } else { "   MISSED" };
        println!("{what:<58} {value:>9.2} {unit:<7} at least {least}{verdict}");
    }

    /// A figure without a promise.
    pub fn tell(&mut self, what: &str, value: f64, unit: &str) {
        println!("{what:<58} {value:>9.2} {unit}");
    }

    pub fn skip(&mut self, what: &str, why: &str) {
        println!("{what:<58}   skipped: {why}");
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
