//! The countries of addresses, out of a local database in MaxMind's format. Nothing is asked of anybody.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{PathElement, Reader};

use super::exit::{Failure, usage};
use crate::jail::written;

/// Where distributions and the vendors' updaters put databases.
const DIRECTORIES: [&str; 3] = ["/usr/share/GeoIP", "/var/lib/GeoIP", "/usr/local/share/GeoIP"];
/// What databases with countries are called there.
const NAMES: [&str; 5] = [
    "GeoLite2-Country.mmdb",
    "GeoIP2-Country.mmdb",
    "dbip-country-lite.mmdb",
    "GeoLite2-City.mmdb",
    "GeoIP2-City.mmdb",
];

/// A database.
pub(super) struct Countries(Reader<Vec<u8>>);

impl Countries {
    /// The database in `file`, or the first of the usual ones.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let usual =
            || DIRECTORIES.iter().flat_map(|dir| NAMES.iter().map(move |name| Path::new(dir).join(name)));
        let found = file.map(PathBuf::from).or_else(|| usual().find(|path| path.exists()));
        let Some(path) = found else {
            let places = DIRECTORIES.join(", ");
            return Err(usage(format!(
                "there is no database of countries in {places}: install one (geoipupdate gets GeoLite2-Country.mmdb), \
                 or name it: --country=FILE"
            )));
        };
        let reader = Reader::open_readfile(&path).map_err(|error| {
            let path = path.display();
            usage(format!(
                "{path} cannot be read as a database of countries ({error}): name one in MaxMind's format"
            ))
        })?;
        Ok(Self(reader))
    }

    /// Where an address or prefix is, if the database knows.
    pub(super) fn of(&self, address: &str) -> Option<String> {
        let address: IpAddr = written(address)?.addr();
        let code = [PathElement::Key("country"), PathElement::Key("iso_code")];
        // A database of IPv4 alone knows nothing of IPv6.
        self.0.lookup(address).ok()?.decode_path(&code).ok()?
    }
}
