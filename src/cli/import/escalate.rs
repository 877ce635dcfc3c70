//! `bantime.increment` and what belongs to it, as `escalate`.

use std::time::Duration;

use super::jail::quoted;
use super::keys::is_no;
use super::{Import, value};
use crate::config::duration::BanTime;

/// fail2ban doubles so many times at most.
const DOUBLED: i32 = 20;
/// The largest multiplier that kban takes.
const LARGEST: f64 = 1000.0;
/// The longest time that kban takes: without `bantime.maxtime` there is no limit.
const LONGEST: i64 = 36_500 * 86_400;

impl Import<'_> {
    /// The value of `escalate`, if fail2ban's configuration says something of it.
    pub(super) fn escalate(&mut self, jail: Option<&str>) -> Option<String> {
        let increment = self.value(jail, "bantime.increment")?;
        if is_no(&increment) {
            return Some("false".to_owned());
        }
        let mut keys = vec![self.growth(jail)];
        let max = self.time(jail, "bantime.maxtime").unwrap_or(LONGEST);
        keys.push(format!("max = {}", written(max)));
        let jitter = self.time(jail, "bantime.rndtime").filter(|jitter| *jitter > 0);
        keys.extend(jitter.map(|jitter| format!("jitter = {}", written(jitter))));
        if self.value(jail, "bantime.overalljails").is_some_and(|all| !is_no(&all)) {
            keys.push("across_jails = true".to_owned());
        }
        Some(format!("{{ {} }}", keys.join(", ")))
    }

    fn growth(&mut self, jail: Option<&str>) -> String {
        if self.value(jail, "bantime.formula").is_some() {
            let help = "write what comes nearest into escalate: factor, or multipliers";
            self.tell(
                jail,
                "bantime.formula",
                "bantime.formula is not carried over: kban has no formulas",
                help,
            );
        }
        let factor = self.value(jail, "bantime.factor").and_then(|factor| factor.trim().parse::<f64>().ok());
        let factor = factor.unwrap_or(1.0);
        let listed = self.value(jail, "bantime.multipliers").map(|list| {
            let words = list.split_whitespace();
            words.filter_map(|word| word.parse::<f64>().ok()).collect::<Vec<f64>>()
        });
        let times: Vec<f64> = match listed {
            // The first ban has the bantime itself; the first number of the list is never used.
            Some(listed) => listed.into_iter().skip(1).map(|times| times * factor).collect(),
            None if (factor - 1.0).abs() < f64::EPSILON => return "factor = 2".to_owned(),
            None => (1..=DOUBLED).map(|doubled| 2.0_f64.powi(doubled) * factor).collect(),
        };
        if times.iter().any(|times| !(1.0..=LARGEST).contains(times)) {
            let message =
                format!("bantime.multipliers: kban takes those from 1 to {LARGEST}: the others are cut");
            self.tell(jail, "bantime.multipliers", message, "see that max is what you want");
        }
        let mut cut: Vec<f64> = times.into_iter().map(|times| times.clamp(1.0, LARGEST)).collect();
        cut.dedup();
        let list: Vec<String> = cut.iter().map(ToString::to_string).collect();
        format!("multipliers = [1, {}]", list.join(", "))
    }

    fn time(&mut self, jail: Option<&str>, option: &str) -> Option<i64> {
        let typed = self.value(jail, option)?;
        let seconds = value::seconds(&typed).filter(|seconds| (0..=LONGEST).contains(seconds));
        if seconds.is_none() {
            let help = "write it into escalate in kban.toml, as \"10m\", \"12h\" or \"1d 6h\"";
            self.tell(jail, option, format!("{option} is not carried over: it is no length of time"), help);
        }
        seconds
    }
}

fn written(seconds: i64) -> String {
    quoted(&BanTime::For(Duration::from_secs(seconds.unsigned_abs())).to_string())
}
