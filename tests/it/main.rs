//! kban as its user meets it: the real programs on a real kernel, each test in namespaces of its own.

#[cfg(test)]
mod features;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod manager;

#[cfg(test)]
mod allow;
#[cfg(test)]
mod bans;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod burst;
#[cfg(test)]
mod catalogue;
#[cfg(test)]
mod chosen;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dialect;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod feeds;
#[cfg(test)]
mod firewall;
#[cfg(test)]
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(test)]
mod habits;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod house;
#[cfg(test)]
mod import;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod judgement;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod many;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod mutate;
#[cfg(test)]
mod ports;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod replayed;
#[cfg(test)]
mod rsyslog;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod sshd;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod syslog;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod top;
#[cfg(test)]
mod watch;
