//! Bans on their way, in no order: to take them in together takes less time and memory than one after another.

use ipnet::IpNet;

use super::Ban;
use super::row::{Origins, Row};

/// Bans that are to be in force ([`super::bans::Bans::of`]).
#[derive(Debug, Default)]
pub struct Gathered {
    rows: Vec<(IpNet, Row)>,
    origins: Origins,
}

impl Gathered {
    /// One more.
    pub fn push(&mut self, ban: Ban) {
        self.rows.push((ban.prefix, Row::new(ban, &mut self.origins)));
    }

    /// Those behind the first `seen`, as they came.
    pub fn since(&self, seen: usize) -> impl Iterator<Item = Ban> + '_ {
        self.rows.iter().skip(seen).map(|(prefix, row)| row.ban(*prefix))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// By prefix and then by jail, each once.
    pub(super) fn in_order(self) -> (Vec<(IpNet, Row)>, Origins) {
        let Self { mut rows, origins } = self;
        rows.sort_unstable_by(|(a, one), (b, other)| (a, one.jail()).cmp(&(b, other.jail())));
        rows.dedup_by(|(a, one), (b, other)| a == b && one.jail() == other.jail());
        (rows, origins)
    }
}

impl FromIterator<Ban> for Gathered {
    fn from_iter<T: IntoIterator<Item = Ban>>(bans: T) -> Self {
        let mut gathered = Self::default();
        bans.into_iter().for_each(|ban| gathered.push(ban));
        gathered
    }
}
