//! Zones as dates write them: offsets, and abbreviations with the offset that is usual for them.
//!
//! Abbreviations are ambiguous (`CST`, `IST`): those are here that have one usual meaning in logs. They are fixed
//! offsets: CET is UTC+1 in summer, too. A date with another one cannot be read.

/// Minutes east of Greenwich for `Z`, `UTC`, `+0200`, `-07:30`, `CEST`, `GMT+2`; none for what is no zone.
pub(super) fn offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "UTC" | "GMT") {
        return Some(0);
    }
    let split = text.find(['+', '-']).unwrap_or(text.len());
    let (name, rest) = text.split_at(split);
    let base = if name.is_empty() { 0 } else { abbreviation(name)? };
    let mut characters = rest.chars();
    let sign = match characters.next() {
        None => return Some(base),
        Some('-') => -1,
        Some(_) => 1,
    };
    let digits: String = characters.filter(|c| *c != ':').collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Ok(0), str::parse).ok()?;
    Some(base + sign * (hours * 60 + minutes))
}

fn abbreviation(name: &str) -> Option<i32> {
    if let [only] = name.as_bytes() {
        return letter(*only);
    }
    ABBREVIATIONS
        .iter()
        .find(|(_, names)| names.split(' ').any(|known| known == name))
        .map(|(minutes, _)| *minutes)
}

/// The military letters: A to M without J are east of Greenwich, N to Y west.
fn letter(letter: u8) -> Option<i32> {
    let hours = match letter {
        b'A'..=b'I' => i32::from(letter - b'A') + 1,
        b'K'..=b'M' => i32::from(letter - b'K') + 10,
        b'N'..=b'Y' => -i32::from(letter - b'N') - 1,
        b'Z' => 0,
        _ => return None,
    };
    Some(hours * 60)
}

/// Minutes east of Greenwich, and the abbreviations for it.
const ABBREVIATIONS: &[(i32, &str)] = &[
    (-660, "SST"),
    (-600, "HAST HST"),
    (-570, "MART"),
    (-540, "AKST"),
    (-480, "AKDT PST PT"),
    (-420, "MST PDT"),
    (-360, "CST MDT"),
    (-300, "CDT EST ET PET COT"),
    (-240, "AST EDT"),
    (-210, "NST NT"),
    (-180, "ADT ART BRT UYT"),
    (-150, "NDT"),
    (-120, "BRST FNT"),
    (-60, "AZOT CVT"),
    (0, "EGST GMT UTC WET"),
    (60, "CET WAT WEST"),
    (120, "CAT CEST EET SAST"),
    (180, "EAT EEST IDT MSK"),
    (210, "IRST"),
    (240, "AMT AZT GET GST MSD SAMT"),
    (270, "AFT"),
    (300, "PKT TJT TMT UZT YEKT MVT"),
    (330, "SLT"),
    (345, "NPT"),
    (360, "ALMT BTT KGT NOVT OMST YEKST"),
    (390, "CCT MMT"),
    (420, "CXT KRAT THA WIB"),
    (480, "ACT AWST BNT HKT IRKT PHT SGT ULAT WITA"),
    (540, "AWDT JST KST PWT TLT WIT YAKT"),
    (570, "ACST"),
    (600, "AEST VLAT ChST"),
    (630, "ACDT"),
    (660, "AEDT MAGT SBT"),
    (720, "FJT NZST PETT TVT ANAT"),
    (780, "NZDT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_abbreviations() {
        for (text, minutes) in
            [("Z", 0), ("+02", 120), ("-0730", -450), ("+05:45", 345), ("CEST", 120), ("Y", -720)]
        {
            assert_eq!(offset(text), Some(minutes), "{text}");
        }
        assert_eq!(offset("UTC+0200"), Some(120));
        assert_eq!(offset("QQQ"), None);
    }
}
