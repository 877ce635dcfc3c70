//! Sizes as administrators write them: `"256MiB"`, `"2 GiB"`.
//!
//! A bare number is refused, as with durations: nobody remembers whether it is bytes or kilobytes.

use super::value::{Text, deserialize_text, short};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const UNITS: [(&str, u64); 6] =
    [("KiB", KIB), ("MiB", MIB), ("GiB", GIB), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

/// The store holds bans and positions, too: with less there would be no room for any history.
const SMALLEST: u64 = MIB;
const LARGEST: u64 = 64 * GIB;

/// How large the store may be, in bytes: from 1 MiB to 64 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSize(pub u64);

impl Text for StoreSize {
    const EXPECTED: &'static str = "a size such as \"256MiB\"";

    fn read(typed: &str) -> Result<Self, (String, String)> {
        let text = typed.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, bytes)| *bytes);
        let (Ok(number), Some(unit)) = (number.parse::<u64>(), unit) else {
            let help = "write a whole number and a unit (KiB, MiB, GiB, kB, MB, GB), such as \"256MiB\"";
            return Err((format!("`{}` is not a size", short(typed)), help.to_owned()));
        };
        let wrong = match number.saturating_mul(unit) {
            ..SMALLEST => "small",
            bytes @ SMALLEST..=LARGEST => return Ok(Self(bytes)),
            _ => "large",
        };
        let help = "write a size from \"1MiB\" to \"64GiB\"";
        Err((format!("`{}` is too {wrong}", short(typed)), help.to_owned()))
    }
}

deserialize_text!(StoreSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (typed, bytes) in
            [("256MiB", 256 << 20), ("2 GiB", 2 << 30), (" 5 MB ", 5_000_000), ("1024KiB", 1 << 20)]
        {
            assert_eq!(StoreSize::read(typed), Ok(StoreSize(bytes)), "{typed}");
        }
        for (typed, wrong) in [
            ("256", "not a size"),
            ("MiB", "not a size"),
            ("-1MiB", "not a size"),
            ("1.5GiB", "not a size"),
            ("0MiB", "too small"),
            ("1000KiB", "too small"),
            ("1000kB", "too small"),
            ("65GiB", "too large"),
            ("99999999999999999GiB", "too large"),
            ("99999999999999999999GiB", "not a size"),
        ] {
            let (what, _) = StoreSize::read(typed).unwrap_err();
            assert!(what.contains(wrong), "{typed}: {what}");
        }
    }
}
