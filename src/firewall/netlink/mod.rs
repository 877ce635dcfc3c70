//! The wire: netlink messages to and from the kernel's nf_tables.
//!
//! neli opens the socket and carries the bytes; what is in them is written and read here, because
//! an attribute's length is 16 bits on the wire and must never wrap (a set message that is too long
//! is otherwise accepted and applied in part). Everything read back is checked as if it were forged.
//!
//! - [`constants`]: the numbers of the kernel's headers
//! - [`attr`]: attributes, written and read with every length checked
//! - [`message`]: message headers, batches (one transaction each) and the walk over a datagram
//! - [`ack`]: what the kernel says about a request: errno and its own words
//! - [`diag`]: the connections of this machine, through another netlink family
//! - [`listener`]: hear of what others change
//! - [`socket`]: send a request, read every reply that belongs to it
//!
//! Nothing outside `firewall` can see this module; only its error is public.

pub(crate) mod ack;
pub(crate) mod attr;
pub(crate) mod constants;
pub(crate) mod diag;
mod error;
pub(crate) mod listener;
pub(crate) mod message;
pub(crate) mod socket;

pub use error::{NetlinkError, Step};
