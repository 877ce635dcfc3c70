//! The ways of writing a date that are known without being told, in the order in which they are tried.

/// As patterns with %-codes; see [`super::fields`].
pub(super) const PATTERNS: &[&str] = &[
    // 2006-03-09T08:07:06.5+01:00, 2006/03/09 08:07:06, 2006.03.09 8:07:06
    r"%ExY(?P<_sep>[./-])%m(?P=_sep)%d(?:T| {1,2})%H:%M:%S(?:[,.]%f)?(?:\s*%z)?",
    // Thu Mar 9 08:07:06.5 2006: syslog and asctime(3)
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    // Thu Mar 9 2006 08:07:06
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    // 09/03/2006 08:07:06, 09-03-06 08:07:06
    r"%d(?P<_sep>[/-])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    // 09/Mar/2006:08:07:06 +0100 (web servers), 09-Mar-2006 08:07:06.5 (named)
    r"%d(?P<_sep>[/-])%b(?P=_sep)%ExY[: ]?%H:%M:%S(?:\.%f)?(?: %z)?",
    // 03/09/2006:08:07:06
    r"%m/%d/%ExY:%H:%M:%S",
    // 03-09-2006 08:07:06.5
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    // 1141888026.5
    "EPOCH",
    // 08:07:06
    r"{^LN-BEG}%H:%M:%S",
    // <03/09/06@08:07:06>
    r"^<%m/%d/%Exy@%H:%M:%S>",
    // 060309  8:07:06 (MySQL)
    r"%Exy%Exm%Exd {1,2}%H:%M:%S",
    // Mar 9, 2006 8:07:06 AM (Tomcat)
    r"%b %d, %ExY %I:%M:%S %p",
    // Mar-09-06 08:07:06
    r"^%b-%d-%Exy %k:%M:%S",
    // 20060309T080706, 20060309 080706,5 +0100
    r"%ExY%Exm%Exd(?:T| {1,2})%ExH%ExM%ExS(?:[,.]%f)?(?:\s*%z)?",
    // PDT Mar 9 08:07:06
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    // +01:00 Mar 9 08:07:06.5 2006
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    // @4000000044100e1a1dcd6500
    "TAI64N",
];
