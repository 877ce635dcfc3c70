//! What a jail makes of repeat offenders and of whole networks: tables that may also be just `true` or `false`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::duration::Period;
use super::value::{Count, Text, deserialize_text, refusal, short};

/// A table, `true` for one with nothing in it, or `false` for none.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch<T>(pub Option<T>);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnOff<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for OnOff<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a table such as { ... }")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Switch<T>, E> {
                Ok(Switch(on.then(T::default)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|table| Switch(Some(table)))
            }
        }
        deserializer.deserialize_any(OnOff(PhantomData))
    }
}

/// `escalate`: bans of repeat offenders become longer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Escalate {
    /// Each ban is so many times as long as the one before.
    pub factor: Factor,
    /// In place of `factor`: so many times `bantime` for the first ban, the second, and so on; the last one for all that
    /// follow.
    pub multipliers: Vec<Factor>,
    /// No ban is longer.
    pub max: Option<Period>,
    /// Each ban is longer by a random time up to this, so that nobody knows when it ends.
    pub jitter: Option<Period>,
    /// Bans of other jails count as well.
    pub across_jails: bool,
    /// Whoever was not banned for so long begins anew.
    pub forget_after: Option<Period>,
    /// Whoever was banned so many times is banned for good.
    pub permanent_after: Option<Count<1, 1_000>>,
}

impl Default for Escalate {
    fn default() -> Self {
        const WEEK: Duration = Duration::from_secs(7 * 86_400);
        Self {
            factor: Factor(2.0),
            multipliers: Vec::new(),
            max: Period::new(5 * WEEK),
            jitter: None,
            across_jails: false,
            forget_after: Period::new(Duration::from_secs(30 * 86_400)),
            permanent_after: None,
        }
    }
}

/// How many times as long: from 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor(pub f64);

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Factor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 1 to 1000")
            }

            fn visit_f64<E: de::Error>(self, typed: f64) -> Result<Factor, E> {
                if (1.0..=1000.0).contains(&typed) {
                    return Ok(Factor(typed));
                }
                Err(refusal(&format!("{typed} is no factor"), "write a number from 1 to 1000"))
            }

            fn visit_i64<E: de::Error>(self, typed: i64) -> Result<Factor, E> {
                match i16::try_from(typed) {
                    Ok(typed) => self.visit_f64(typed.into()),
                    Err(_) => Err(refusal(&format!("{typed} is no factor"), "write a number from 1 to 1000")),
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// `subnet`: a network in which many offend is banned as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Subnet {
    /// So many of its members were banned.
    pub after: Count<2, 256>,
    /// In this time.
    pub within: Option<Period>,
    /// The widest IPv6 network that is banned; of IPv4, it is 24 bits.
    pub widest_ipv6: Widest,
}

impl Default for Subnet {
    fn default() -> Self {
        Self { after: Count(5), within: Period::new(Duration::from_secs(3600)), widest_ipv6: Widest(56) }
    }
}

/// How wide an IPv6 network may become, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widest(pub u8);

impl<'de> Deserialize<'de> for Widest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = Count::<0, 128>::deserialize(deserializer)?;
        match bits.0 {
            64 => Ok(Self(64)),
            56 => Ok(Self(56)),
            48 => Ok(Self(48)),
            other => Err(refusal(
                &format!("{other} is not a prefix length that can be banned as a whole"),
                "write 64, 56 or 48",
            )),
        }
    }
}

/// `trust`: an address from which somebody lately logged in has a higher limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// For so long after a success.
    pub after_success: Period,
    /// So many failures within `findtime` lead to a ban, in place of `maxretry`.
    pub failures: Count<1, 1_000_000>,
}

impl Default for Trust {
    fn default() -> Self {
        Self { after_success: Period::HALF_A_DAY, failures: Count(30) }
    }
}

/// What a jail does about offenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It bans them.
    Ban,
    /// It says whom it would ban.
    Observe,
}

impl Text for Mode {
    const EXPECTED: &'static str = "\"ban\" or \"observe\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "ban" => Ok(Self::Ban),
            "observe" => Ok(Self::Observe),
            _ => Err((format!("`{}` is no mode", short(typed)), format!("write {}", Self::EXPECTED))),
        }
    }
}

/// What a jail counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Failures that its filter finds in logs.
    Failures,
    /// Bans by other jails.
    Bans,
}

impl Text for Counts {
    const EXPECTED: &'static str = "\"failures\" or \"bans\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        match typed {
            "failures" => Ok(Self::Failures),
            "bans" => Ok(Self::Bans),
            _ => Err((
                format!("`{}` is nothing that a jail counts", short(typed)),
                format!("write {}", Self::EXPECTED),
            )),
        }
    }
}

deserialize_text!(Mode, Counts);
